#include "ocelli/text/clip_bpe.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <limits>

namespace ocelli {
namespace {

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>", kWordEnd = "</w>";

std::string to_utf8(UChar32 c) {
  std::string text;
  icu::UnicodeString(c).toUTF8String(text);
  return text;
}

// GPT-2's printable stand-in for each byte.
const std::array<std::string, 256>& byte_symbols() {
  static const auto kSymbols = [] {
    std::array<std::string, 256> symbols;
    int next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      symbols[b] = to_utf8(printable ? b : next++);
    }
    return symbols;
  }();
  return kSymbols;
}

std::vector<UChar32> normalized(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const auto source = icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
  const icu::UnicodeString nfc = icu::Normalizer2::getNFCInstance(status)->normalize(source, status);
  if (U_FAILURE(status)) fail(ErrorCode::internal, "tokenizer: ICU: {}", u_errorName(status));
  std::vector<UChar32> points;
  for (int32_t i = 0; i < nfc.length(); i = nfc.moveIndex32(i, 1)) {
    const UChar32 c = nfc.char32At(i);
    if (u_isUWhiteSpace(c)) {
      if (points.empty() || points.back() != ' ') points.push_back(' ');
      continue;
    }
    // One by one: the mapping of the reference knows no context (final sigma).
    const icu::UnicodeString lower = icu::UnicodeString(c).toLower(icu::Locale::getRoot());
    for (int32_t j = 0; j < lower.length(); j = lower.moveIndex32(j, 1)) points.push_back(lower.char32At(j));
  }
  return points;
}

enum class Kind { space, letter, number, other };
Kind kind_of(UChar32 c) {
  if (u_isUWhiteSpace(c)) return Kind::space;
  if (U_GET_GC_MASK(c) & U_GC_L_MASK) return Kind::letter;
  if (U_GET_GC_MASK(c) & U_GC_N_MASK) return Kind::number;
  return Kind::other;
}

// Length of 's 't 're 've 'm 'll 'd at `i`, or 0.
size_t contraction(const std::vector<UChar32>& text, size_t i) {
  static constexpr std::u32string_view kEndings[] = {U"s", U"t", U"re", U"ve", U"m", U"ll", U"d"};
  if (text[i] != '\'') return 0;
  for (const auto& ending : kEndings) {
    if (text.size() - i - 1 < ending.size()) continue;
    if (std::equal(ending.begin(), ending.end(), text.begin() + i + 1,
                   [](char32_t a, UChar32 b) { return static_cast<UChar32>(a) == b; })) {
      return ending.size() + 1;
    }
  }
  return 0;
}

// Matches of 's|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+
std::vector<std::string> split_words(const std::vector<UChar32>& text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < text.size();) {
    const Kind kind = kind_of(text[i]);
    size_t length = contraction(text, i);
    if (kind == Kind::space) {
      ++i;
      continue;
    }
    if (length == 0) {
      length = 1;
      while (kind != Kind::number && i + length < text.size() && kind_of(text[i + length]) == kind) ++length;
    }
    std::string word;
    for (size_t j = i; j < i + length; ++j) word += to_utf8(text[j]);
    words.push_back(std::move(word));
    i += length;
  }
  return words;
}

class ClipBpe final : public Tokenizer {
 public:
  explicit ClipBpe(ClipBpeFiles files) : vocab_(std::move(files.vocab)) {
    const auto require = [&](std::string_view token) {
      const auto id = token_to_id(token);
      if (!id) fail(ErrorCode::corrupt_data, "{}: the token '{}' is missing from the vocabulary", files.name, token);
      return *id;
    };
    for (const std::string& symbol : byte_symbols()) {
      require(symbol);
      require(symbol + std::string(kWordEnd));
    }
    prefix_ = {require(kStart)};
    suffix_ = {require(kEnd)};
    info_.kind = "BPE";
    info_.context_length = files.context_length;
    info_.pad_id = require(files.pad_token);
    info_.bos_id = prefix_[0];
    info_.eos_id = info_.unk_id = suffix_[0];
    for (size_t i = 0; i < files.merges.size(); ++i) ranks_.emplace(std::move(files.merges[i]), static_cast<int>(i));
    for (const auto& [token, id] : vocab_) {
      if (id < 0) fail(ErrorCode::corrupt_data, "{}: the token '{}' has the id {}", files.name, token, id);
      tokens_.emplace(id, token);
      info_.vocab_size = std::max<int64_t>(info_.vocab_size, id + int64_t{1});
    }
  }

  std::optional<int32_t> token_to_id(std::string_view token) const override {
    const auto found = vocab_.find(std::string(token));
    return found == vocab_.end() ? std::nullopt : std::optional(found->second);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    static const auto kBytes = [] {
      std::unordered_map<std::string, char> bytes;
      for (int b = 0; b < 256; ++b) bytes.emplace(byte_symbols()[b], static_cast<char>(b));
      return bytes;
    }();
    std::string text;
    for (const int32_t id : ids) {
      const auto found = tokens_.find(id);
      check(found != tokens_.end(), "tokenizer: the id {} is not in the vocabulary", id);
      std::string token = found->second;
      if (id == *info_.bos_id || id == *info_.eos_id) {
        if (!skip_special) text += token;
        continue;
      }
      const bool ends = token.ends_with(kWordEnd);
      if (ends) token.resize(token.size() - kWordEnd.size());
      const auto points = icu::UnicodeString::fromUTF8(token);
      for (int32_t i = 0; i < points.length(); i = points.moveIndex32(i, 1)) {
        if (const auto byte = kBytes.find(to_utf8(points.char32At(i))); byte != kBytes.end()) text += byte->second;
      }
      if (ends) text += ' ';
    }
    if (text.ends_with(' ')) text.pop_back();
    return text;
  }

 protected:
  // Special tokens that stand in the text are found before it is normalised.
  void append_ids(std::string_view text, std::vector<int32_t>& ids) const override {
    while (!text.empty()) {
      const size_t start = text.find(kStart), end = text.find(kEnd), at = std::min(start, end);
      for (const std::string& word : split_words(normalized(text.substr(0, at)))) append_word(word, ids);
      if (at == std::string_view::npos) break;
      ids.push_back(at == start ? *info_.bos_id : *info_.eos_id);
      text.remove_prefix(at + (at == start ? kStart.size() : kEnd.size()));
    }
  }

 private:
  void append_word(const std::string& word, std::vector<int32_t>& ids) const {
    std::vector<std::string> parts;
    for (const char c : word) parts.push_back(byte_symbols()[static_cast<unsigned char>(c)]);
    parts.back() += kWordEnd;
    while (parts.size() > 1) {
      int best = std::numeric_limits<int>::max();
      for (size_t i = 0; i + 1 < parts.size(); ++i) best = std::min(best, rank(parts[i], parts[i + 1]));
      if (best == std::numeric_limits<int>::max()) break;
      std::vector<std::string> merged;
      for (size_t i = 0; i < parts.size(); ++i) {
        if (i + 1 < parts.size() && rank(parts[i], parts[i + 1]) == best) {
          merged.push_back(parts[i] + parts[i + 1]);
          ++i;
        } else {
          merged.push_back(parts[i]);
        }
      }
      parts = std::move(merged);
    }
    for (const std::string& part : parts) ids.push_back(token_to_id(part).value_or(*info_.unk_id));
  }

  int rank(const std::string& a, const std::string& b) const {
    const auto found = ranks_.find({a, b});
    return found == ranks_.end() ? std::numeric_limits<int>::max() : found->second;
  }

  std::unordered_map<std::string, int32_t> vocab_;
  std::unordered_map<int32_t, std::string> tokens_;
  std::map<std::pair<std::string, std::string>, int> ranks_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_clip_bpe(ClipBpeFiles files) {
  return std::make_shared<ClipBpe>(std::move(files));
}

}  // namespace ocelli
