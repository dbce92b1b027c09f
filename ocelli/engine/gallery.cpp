#include "ocelli/engine/gallery.h"

#include "ocelli/base/file.h"
#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

std::string card(const FoundImage& found, const DecodeOptions& decode) {
  const ImageRecord& image = found.image;
  std::string html = "<article>";
  std::string problem;
  try {
    html += page::picture(image.path, decode);
  } catch (const Error& error) {
    problem = error.what();
  }
  html += fmt::format("<div class=\"body\"><h2 title=\"{}\">{}</h2>", page::escape(image.path),
                      page::escape(image.name));
  if (!problem.empty()) html += fmt::format("<p class=\"error\">{}</p>", page::escape(problem));
  std::string facts = fmt::format("{} x {}", image.width, image.height);
  if (!image.taken.empty()) facts += ", " + image.taken;
  if (image.caption) facts += ", " + *image.caption;
  html +=
      fmt::format("<dl><dt title=\"{0}\">{0}</dt><dd>{1:.3f}</dd><i style=\"--p:{2:.1f}%\"></i>",
                  page::escape(facts), found.score, 100 * std::max(found.score, 0.0f));
  if (!found.folded.empty()) {
    html += fmt::format("<dt>and {} like it</dt><dd></dd>", found.folded.size());
  }
  return html + "</dl></div></article>\n";
}

}  // namespace

void write_gallery(const std::string& path, const std::string& title,
                   std::span<const FoundImage> images, const DecodeOptions& decode) {
  AtomicFile file(path);
  file.write(page::head("Ocelli"));
  file.write(
      fmt::format("<header><h1>{}</h1><p>{} image{}, best first; cosines</p></header>\n<main>\n",
                  page::escape(title), images.size(), images.size() == 1 ? "" : "s"));
  for (const FoundImage& image : images) {
    throw_if_cancelled();
    file.write(card(image, decode));
  }
  file.write(page::kEnd);
  file.commit();
}

}  // namespace ocelli
