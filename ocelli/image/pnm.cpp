// PNM by hand: a header before rows of pixels. https://netpbm.sourceforge.net/doc/ppm.html
#include <algorithm>
#include <cctype>
#include <cstring>

#include "ocelli/image/codecs.h"

namespace ocelli {

// P1 to P6; comments run from # to the end of the line. Samples scale to 255 as Pillow does;
// beyond 255 grey scales to 65535 and is clipped, colour is scaled.
Tensor codec::decode_pnm(const Source& source) {
  size_t at = 2;
  const auto skip = [&] {
    while (at < source.bytes.size() &&
           (std::isspace(source.data()[at]) || source.data()[at] == '#')) {
      if (source.data()[at] == '#') {
        while (at < source.bytes.size() && source.data()[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
  };
  const auto next = [&]() -> int64_t {
    skip();
    int64_t value = 0;
    if (at >= source.bytes.size() || !std::isdigit(source.data()[at]))
      source.corrupt("PNM: a number is missing");
    while (at < source.bytes.size() && std::isdigit(source.data()[at])) {
      value = value * 10 + (source.data()[at++] - '0');
      if (value > 0x7fffffff) source.corrupt("PNM: a number is too large");
    }
    return value;
  };
  const char kind = static_cast<char>(source.data()[1]);
  const bool plain = kind <= '3', bitmap = kind == '1' || kind == '4',
             colour = kind == '3' || kind == '6';
  const int64_t width = next(), height = next(), largest = bitmap ? 1 : next();
  if (largest < 1 || largest > 65535)
    source.corrupt("PNM: the largest value is not between 1 and 65535");
  const Tensor pixels = source.allocate(height, width);
  if (!plain) ++at;  // one white space before the samples
  const int64_t channels = colour ? 3 : 1, wide = largest > 255 ? 2 : 1;
  const int64_t row = bitmap ? (width + 7) / 8 : width * channels * wide;
  const auto left = static_cast<int64_t>(source.bytes.size() - std::min(at, source.bytes.size()));
  if (!plain && height > left / row) source.corrupt("PNM: the file is cut off");
  const auto sample = [&](int64_t y, int64_t i) -> int64_t {
    const uint8_t* p = source.data() + at + y * row;
    if (plain && bitmap) {  // digits need no space between them
      skip();
      if (at >= source.bytes.size()) source.corrupt("PNM: the file is cut off");
      return source.data()[at++] == '0' ? 1 : 0;
    }
    if (plain) return next();
    if (bitmap) return (p[i / 8] >> (7 - i % 8)) & 1 ? 0 : 1;
    return wide == 2 ? p[2 * i] << 8 | p[2 * i + 1] : p[i];
  };
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t i = 0; i < width * channels; ++i) {
      const int64_t value = std::min(sample(y, i), largest);
      const int64_t top = largest > 255 && !colour ? 65535 : 255;
      const int64_t rounded = largest == top ? value : (value * top * 2 + largest) / (2 * largest);
      const auto scaled = static_cast<uint8_t>(std::min<int64_t>(rounded, 255));
      uint8_t* into = pixels.data<uint8_t>() + y * width * 3;
      if (colour)
        into[i] = scaled;
      else
        std::memset(into + 3 * i, scaled, 3);
    }
  }
  return pixels;
}

}  // namespace ocelli
