#include "ocelli/curate/dedup_report.h"

#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

constexpr int64_t kCopySize = 320;

constexpr std::string_view kCopiesStyle =
    R"(main{max-width:72rem;margin:auto;display:grid;gap:1.2rem}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem;
display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr))}
figure{margin:0}
figure div{height:11rem;display:flex;align-items:center;justify-content:center;
background:var(--paper);border-radius:6px;overflow:hidden}
img{max-width:100%;max-height:100%;display:block}
figure.kept div{outline:3px solid var(--bar)}
figcaption{font-size:.85rem;margin-top:.4rem;overflow-wrap:anywhere}
small{color:var(--soft);display:block}
b.kept{color:var(--bar)}
)";

std::string figure(const std::string& path, const FileFacts& facts, const std::string& caption,
                   bool kept, const DecodeOptions& decode) {
  std::string picture;
  try {
    picture = fmt::format("<img alt=\"\" src=\"{}\">",
                          page::inline_jpeg(thumbnail(path, kCopySize, kCopySize, decode)));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    picture = fmt::format("<small>{}</small>", page::escape(error.what()));
  }
  return fmt::format(
      "<figure{}><div>{}</div><figcaption>{}<br><span title=\"{}\">{}</span>"
      "<small>{:.1f} megapixels, {} KB</small></figcaption></figure>\n",
      kept ? " class=\"kept\"" : "", picture, caption, page::escape(path),
      page::escape(std::filesystem::path(path).filename().string()),
      static_cast<double>(facts.pixels) / 1e6, (facts.bytes + 1023) / 1024);
}

}  // namespace

void write_dedup_report(const std::string& path, const Duplicates& found,
                        const DecodeOptions& decode) {
  AtomicFile file(path);
  file.write(page::head("Ocelli: duplicates", kCopiesStyle));
  size_t copies = 0;
  for (const auto& group : found.groups) copies += group.duplicates.size();
  file.write(
      fmt::format("<header><h1>Duplicates</h1><p>{} images, {} groups, {} duplicates</p>"
                  "</header>\n<main>\n",
                  found.paths.size(), found.groups.size(), copies));
  for (const auto& group : found.groups) {
    throw_if_cancelled();
    file.write(std::string_view("<section>\n"));
    file.write(figure(found.paths[group.keep], found.facts[group.keep],
                      fmt::format("<b class=\"kept\">kept</b>: {}", page::escape(group.why_kept)),
                      true, decode));
    for (const auto& d : group.duplicates) {
      file.write(figure(found.paths[d.image], found.facts[d.image],
                        fmt::format("<b>{:.3f}</b> {}", d.score, page::escape(d.why)), false,
                        decode));
    }
    file.write(std::string_view("</section>\n"));
  }
  file.write(std::string_view("</main></body></html>\n"));
  file.commit();
}

}  // namespace ocelli
