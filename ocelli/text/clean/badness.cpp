// ftfy's heuristic for mojibake: kinds of characters, and which of them do not stand side by side.
#include <algorithm>
#include <array>
#include <span>
#include <unordered_map>
#include <vector>

#include "ocelli/text/clean/mojibake.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

// Kinds of characters, as bits.
enum Kind : uint32_t {
  kCommon = 1 << 0,
  kC1 = 1 << 1,
  kBad = 1 << 2,
  kLaw = 1 << 3,
  kCurrency = 1 << 4,
  kStart = 1 << 5,  // of what is punctuated
  kEnd = 1 << 6,
  kNumeric = 1 << 7,
  kKaomoji = 1 << 8,
  kUpper = 1 << 9,  // accented
  kLower = 1 << 10,
  kUpperCommon = 1 << 11,
  kLowerCommon = 1 << 12,
  kBox = 1 << 13,
  kSmallAscii = 1 << 14,
  kCapitalAscii = 1 << 15,
  kSpace = 1 << 16,
  kWord = 1 << 17,
  kNotAscii = 1 << 18,  // no letter of ASCII
  kNoLineEnd = 1 << 19,
  kAscii = kSmallAscii | kCapitalAscii,
  kAccented = kUpper | kLower,
};

struct KindCharacters {
  uint32_t kind;
  std::u32string_view characters;  // "a-z" is a range
};

constexpr std::array kCharacters = {
    KindCharacters{kCommon, U"\u00a0\u00ad·´–—―…’"},
    KindCharacters{kBad, U"¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº"},
    KindCharacters{kLaw, U"¶§"},
    KindCharacters{kCurrency, U"¢£¥₧€"},
    KindCharacters{kStart, U"¡«¿©΄΅‘‚“„•‹\uf8ff"},
    KindCharacters{kEnd, U"®»˝”›™"},
    KindCharacters{kNumeric, U"²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№"},
    KindCharacters{kKaomoji, U"Ò-ÖÙ-Üò-öø-üŐŌŪŲ°"},
    KindCharacters{kUpper, U"À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ"},
    KindCharacters{kLower, U"ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ"},
    KindCharacters{kUpperCommon, U"ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я"},
    KindCharacters{kLowerCommon, U"α-ωάέήίΰа-џ"},
    KindCharacters{kBox, U"│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓"},
};

uint32_t kind_of(char32_t c) {
  static const auto kKinds = [] {
    std::unordered_map<char32_t, uint32_t> kinds;
    for (const auto& [kind, characters] : kCharacters) {
      for (size_t i = 0; i < characters.size(); ++i) {
        const bool range = i + 2 < characters.size() && characters[i + 1] == '-';
        const char32_t last = characters[range ? i + 2 : i];
        for (char32_t one = characters[i]; one <= last; ++one) kinds[one] |= kind;
        if (range) i += 2;
      }
    }
    for (char32_t one = 0x80; one < 0xA0; ++one) kinds[one] |= kC1;
    return kinds;
  }();
  const bool small = c >= 'a' && c <= 'z', capital = c >= 'A' && c <= 'Z';
  uint32_t kind = 0;
  if (c != '\n') kind |= kNoLineEnd;
  kind |= small ? kSmallAscii : capital ? kCapitalAscii : kNotAscii;
  if (is_python_space(c)) kind |= kSpace;
  if (c == '_' || is_letter(c) || is_number(c)) kind |= kWord;
  if (c < 0x80) return kind;
  const auto found = kKinds.find(c);
  return found == kKinds.end() ? kind : kind | found->second;
}

// One place of a rule: characters of some kinds, or of a list.
struct Place {
  uint32_t kinds = 0;
  std::u32string_view characters = {};

  bool takes(char32_t c, uint32_t kind) const {
    return (kinds & kind) != 0 || characters.find(c) != std::u32string_view::npos;
  }
};

using Rule = std::vector<Place>;

constexpr uint32_t kAnyPunctuation = kStart | kEnd;
constexpr uint32_t kNextToBad =
    kLower | kUpper | kBox | kAnyPunctuation | kCurrency | kNumeric | kLaw;
constexpr uint32_t kArabic = kCommon | kCurrency | kBad | kNumeric | kStart;
constexpr uint32_t kDoubled = kC1 | kBad | kAnyPunctuation | kCurrency;

const std::vector<Rule>& rules() {
  static const std::vector<Rule> kRules = {
      {{kC1}},
      {{kNextToBad | kBad}, {kBad}},
      {{kAscii}, {kLowerCommon | kUpperCommon}, {kBad}},
      {{kBad}, {kNextToBad}},
      {{kLower | kLowerCommon | kBox | kEnd | kCurrency | kNumeric}, {kUpper}},
      {{kBox | kEnd | kCurrency | kNumeric}, {kLower}},
      {{kLower | kBox | kEnd}, {kCurrency}},
      {{kSpace}, {kUpper}, {kCurrency}},
      {{kUpper | kBox}, {kNumeric | kLaw}},
      {{kAccented | kBox | kCurrency | kEnd}, {kStart}, {kNumeric}},
      {{kAccented | kCurrency | kNumeric | kBox | kLaw}, {kEnd}, {kStart}},
      {{kCurrency | kNumeric | kBox}, {kStart}},
      {{kSmallAscii}, {kUpper}, {kStart | kCurrency}},
      {{kBox}, {kKaomoji}},
      {{kAccented | kCurrency | kNumeric | kAnyPunctuation | kLaw}, {kBox}},
      {{kBox}, {kEnd}},
      {{kAccented}, {kAnyPunctuation}, {kWord}},
      {{0, U"Œœ"}, {kNotAscii}},
      {{kUpper}, {0, U"°"}},
      // Windows-1252
      {{0, U"ÂÃÎÐ"}, {kAnyPunctuation, U"€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´"}},
      {{0, U"×"}, {0, U"²³"}},
      {{0, U"ØÙ"}, {kArabic, U"ŸŠ®°µ»"}, {0, U"ØÙ"}, {kArabic, U"ŸŠ®°µ»"}},
      {{0, U"à"}, {0, U"²µ¹¼½¾"}},
      // MacRoman
      {{0, U"√"}, {0, U"±∂†≠®™´≤≥¥µø"}},
      {{0, U"≈"}, {0, U"°¢"}},
      {{0, U"‚"}, {0, U"Ä"}, {0, U"ìîïòôúùû†°¢π"}},
      {{0, U"‚"}, {0, U"âó"}, {0, U"àäê°"}},
      // Windows-1251
      {{0, U"в"}, {0, U"Ђ"}},
      {{0, U"ВГРС"}, {kDoubled, U"°µ"}, {0, U"ВГРС"}},
      {{0, U"Г"}, {0, U"ў"}, {0, U"В"}, {0, U"Ђ"}, {0, U"В"}, {kNoLineEnd}, {kAscii, U" "}},
      // à, á and the no-break space
      {{0, U"Ã"}, {0, U"\u00a0¡"}},
      {{kSmallAscii}, {0, U"ÃÂ"}, {0, U" "}},
      {{kSmallAscii}, {kSpace}, {0, U"ÃÂ"}, {0, U" "}},
      {{kSmallAscii | kEnd, U".,?!"}, {0, U"Â"}, {kAnyPunctuation, U" "}},
      // Windows-1253
      {{0, U"β"}, {0, U"€"}, {0, U"™\u00a0Ά\u00ad®°"}},
      {{0, U"ΒΓΞΟ"}, {kDoubled, U"°"}, {0, U"ΒΓΞΟ"}},
      // Windows-1257
      {{0, U"ā"}, {0, U"€"}},
  };
  return kRules;
}

}  // namespace

bool is_bad(std::u32string_view text) {
  std::vector<uint32_t> kinds;
  kinds.reserve(text.size());
  for (const char32_t c : text) kinds.push_back(kind_of(c));
  const auto matches = [&](const Rule& rule, size_t at) {
    if (rule.size() > text.size() - at) return false;
    for (size_t i = 0; i < rule.size(); ++i) {
      if (!rule[i].takes(text[at + i], kinds[at + i])) return false;
    }
    return true;
  };
  if (text.size() > 1 && (text[0] == U'Ã' || text[0] == U'Â') && text[1] == ' ') return true;
  for (size_t at = 0; at < text.size(); ++at) {
    if (std::ranges::any_of(rules(), [&](const Rule& rule) { return matches(rule, at); })) {
      return true;
    }
  }
  return false;
}

}  // namespace ocelli
