#include "ocelli/engine/thumbnail.h"

#include <algorithm>

#include "ocelli/data/inputs.h"
#include "ocelli/image/page.h"
#include "ocelli/image/resize.h"

namespace ocelli {

Image thumbnail(const Image& image, int64_t height, int64_t width) {
  const double scale = std::min({1.0, static_cast<double>(height) / image.height(),
                                 static_cast<double>(width) / image.width()});
  const auto side = [&](int64_t n) {
    return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(n) * scale));
  };
  return resize(image, side(image.height()), side(image.width()), Filter::bicubic);
}

Image thumbnail(const std::string& path, int64_t height, int64_t width,
                const DecodeOptions& options) {
  return thumbnail(decode_input(path, options), height, width);
}

std::string page::picture(const std::string& path, const DecodeOptions& decode) {
  constexpr int64_t kSide = 480;
  return fmt::format("<img alt=\"\" loading=\"lazy\" src=\"{}\">",
                     inline_jpeg(thumbnail(path, kSide, kSide, decode)));
}

}  // namespace ocelli
