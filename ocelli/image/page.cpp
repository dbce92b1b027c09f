#include "ocelli/image/page.h"

#include <fmt/format.h>

#include "ocelli/image/encode.h"

namespace ocelli::page {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t j) {
      return j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u;
    };
    const uint32_t group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    text += kDigits[group >> 18];
    text += kDigits[group >> 12 & 63];
    text += i + 1 < bytes.size() ? kDigits[group >> 6 & 63] : '=';
    text += i + 2 < bytes.size() ? kDigits[group & 63] : '=';
  }
  return text;
}

constexpr std::string_view kColours =
    R"(:root{color-scheme:light dark;--ink:#1d2430;--paper:#f6f5f2;--card:#fff;--line:#dfe1e6;
--bar:#3b7a72;--soft:#68707d;--bad:#b4442f}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ee;--paper:#14171c;--card:#1d2127;
--line:#31363f;--bar:#5fb3a8;--soft:#98a0ad;--bad:#e58b78}}
body{margin:0;padding:clamp(1rem,4vw,2rem);background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,sans-serif}
header{max-width:72rem;margin:0 auto 1.5rem}
h1{font-size:1.4rem;margin:0}
header p{margin:.2rem 0;color:var(--soft)}
)";

}  // namespace

std::string inline_jpeg(const Image& image) {
  return "data:image/jpeg;base64," + base64(encode_jpeg(image));
}

std::string head(std::string_view title, std::string_view style) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width\">\n"
      "<title>{}</title><style>\n{}{}</style></head><body>\n",
      escape(title), kColours, style);
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

const std::string_view kCards =
    R"(main{max-width:72rem;margin:auto;display:grid;gap:1.2rem;
grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr))}
article{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
img{width:100%;height:14rem;object-fit:cover;object-position:50% 20%;display:block}
div.body{padding:.9rem 1rem 1rem}
h2{font-size:.95rem;margin:0 0 .5rem;overflow-wrap:anywhere}
dl{margin:0;display:grid;grid-template-columns:1fr 4.2rem;gap:.15rem .6rem;align-items:center}
dt{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
dd{margin:0;text-align:right;color:var(--soft);font-variant-numeric:tabular-nums}
i{grid-column:1/-1;height:5px;border-radius:3px;margin-bottom:.35rem;
background:linear-gradient(var(--bar),var(--bar)) no-repeat 0/var(--p) 100%,var(--line)}
p.error{color:var(--bad);margin:0;overflow-wrap:anywhere}
)";

const std::string_view kEnd = "</main></body></html>\n";

}  // namespace ocelli::page
