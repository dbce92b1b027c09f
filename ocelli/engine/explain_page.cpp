#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/engine/explain.h"
#include "ocelli/engine/thumbnail.h"
#include "ocelli/image/page.h"

namespace ocelli {
namespace {

constexpr int64_t kSide = 640;  // pixels of a picture on the page, at most

constexpr std::string_view kPairs =
    R"(main{max-width:72rem;margin:auto;display:grid;gap:1.2rem}
article{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow:hidden}
h2{font-size:.95rem;margin:0;padding:.6rem 1rem;overflow-wrap:anywhere}
div{display:grid;grid-template-columns:1fr 1fr;gap:2px}
img{width:100%;display:block}
)";

std::string picture(const Image& image, std::string_view alt) {
  return fmt::format("<img alt=\"{}\" src=\"{}\">", alt,
                     page::inline_jpeg(thumbnail(image, kSide, kSide)));
}

}  // namespace

void write_explanation_page(const std::string& path, const std::string& model,
                            const Explanation& explanation) {
  AtomicFile file(path);
  file.write(page::head("Ocelli", kPairs));
  const bool scalars = !explanation.images.empty() && explanation.images[0].map.rank() == 2;
  file.write(fmt::format(
      "<header><h1>{}</h1><p>{}; {}what the model does not see is darkened</p></header>\n<main>\n",
      page::escape(explanation.title), page::escape(model),
      scalars ? "bright is much, dark is little; " : ""));
  for (const Explained& image : explanation.images) {
    throw_if_cancelled();
    file.write(fmt::format("<article><h2 title=\"{}\">{}</h2><div>{}{}</div></article>\n",
                           page::escape(image.path),
                           page::escape(std::filesystem::path(image.path).filename().string()),
                           picture(image.photo, "photograph"), picture(image.picture, "map")));
  }
  file.write(page::kEnd);
  file.commit();
}

}  // namespace ocelli
