#include "ocelli/text/clean/code_pages.h"

#include <algorithm>

namespace ocelli {
namespace {

// The characters of bytes 0x80 to 0xFF; _ is the one that has the byte's own number.
constexpr std::u32string_view kWindows1252 =
    U"€_‚ƒ„…†‡ˆ‰Š‹Œ_Ž__‘’“”•–—˜™š›œ_žŸ"
    U"_¡¢£¤¥¦§¨©ª«¬_®¯°±²³´µ¶·¸¹º»¼½¾¿"
    U"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß"
    U"àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";
constexpr std::u32string_view kWindows1251 =
    U"ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—_™љ›њќћџ"
    U"_ЎўЈ¤Ґ¦§Ё©Є«¬_®Ї°±Ііґµ¶·ё№є»јЅѕї"
    U"АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
    U"абвгдежзийклмнопрстуфхцчшщъыьэюя";
constexpr std::u32string_view kWindows1250 =
    U"€_‚_„…†‡_‰Š‹ŚŤŽŹ_‘’“”•–—_™š›śťžź"
    U"_ˇ˘Ł¤Ą¦§¨©Ş«¬_®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż"
    U"ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß"
    U"ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
constexpr std::u32string_view kWindows1253 =
    U"€_‚ƒ„…†‡_‰_‹_____‘’“”•–—_™_›____"
    U"_΅Ά£¤¥¦§¨©ª«¬_®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏ"
    U"ΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήί"
    U"ΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώÿ";
constexpr std::u32string_view kWindows1254 =
    U"€_‚ƒ„…†‡ˆ‰Š‹Œ____‘’“”•–—˜™š›œ__Ÿ"
    U"_¡¢£¤¥¦§¨©ª«¬_®¯°±²³´µ¶·¸¹º»¼½¾¿"
    U"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞß"
    U"àáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ";
constexpr std::u32string_view kWindows1257 =
    U"€_‚_„…†‡_‰_‹_¨ˇ¸_‘’“”•–—_™_›_¯˛_"
    U"_¡¢£¤¥¦§Ø©Ŗ«¬_®Æ°±²³´µ¶·ø¹ŗ»¼½¾æ"
    U"ĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽß"
    U"ąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙";
constexpr std::u32string_view kIso88592 =
    U"________________________________"
    U"_Ą˘Ł¤ĽŚ§¨ŠŞŤŹ_ŽŻ°ą˛ł´ľśˇ¸šşťź˝žż"
    U"ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß"
    U"ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
constexpr std::u32string_view kMacroman =
    U"ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü"
    U"†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø"
    U"¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ"
    U"‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ";
constexpr std::u32string_view kCp437 =
    U"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ"
    U"áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
    U"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
    U"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

}  // namespace

CodePage::CodePage(std::string_view name, std::u32string_view upper, bool sloppy)
    : name_(name), sloppy_(sloppy) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool own = byte < 0x80 || upper.empty() || upper[byte - 0x80] == '_';
    characters_[byte] = own ? static_cast<char32_t>(byte) : upper[byte - 0x80];
  }
  if (sloppy) characters_[0x1A] = 0xFFFD;
}

std::optional<std::string> CodePage::encode(std::u32string_view text) const {
  std::string bytes;
  for (const char32_t c : text) {
    // Most characters are at their own number.
    const bool own = c < 256 && characters_[c] == c;
    const auto found = own ? characters_.begin() + c : std::ranges::find(characters_, c);
    if (found == characters_.end()) return std::nullopt;
    bytes += static_cast<char>(found - characters_.begin());
  }
  return bytes;
}

std::span<const CodePage> code_pages() {
  static const std::array kPages = {
      CodePage("latin-1", {}, false),
      CodePage("windows-1252", kWindows1252, true),
      CodePage("windows-1251", kWindows1251, true),
      CodePage("windows-1250", kWindows1250, true),
      CodePage("windows-1253", kWindows1253, true),
      CodePage("windows-1254", kWindows1254, true),
      CodePage("windows-1257", kWindows1257, true),
      CodePage("iso-8859-2", kIso88592, false),
      CodePage("macroman", kMacroman, false),
      CodePage("cp437", kCp437, false),
  };
  return kPages;
}

}  // namespace ocelli
