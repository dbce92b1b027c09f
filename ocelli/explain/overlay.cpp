#include "ocelli/explain/overlay.h"

#include <algorithm>
#include <cmath>

#include "ocelli/base/threads.h"

namespace ocelli {
namespace {

using Rgb = std::array<float, 3>;

// Of even lightness from dark to bright; colour-blind readers see the same order.
constexpr Rgb kRamp[] = {{10, 7, 34}, {87, 16, 110}, {188, 55, 84}, {249, 142, 9}, {252, 255, 164}};

Rgb ramp(float share) {
  const float at = std::clamp(share, 0.0f, 1.0f) * (std::size(kRamp) - 1);
  const auto i = std::min(static_cast<size_t>(at), std::size(kRamp) - 2);
  Rgb color;
  for (size_t c = 0; c < 3; ++c)
    color[c] = std::lerp(kRamp[i][c], kRamp[i + 1][c], at - static_cast<float>(i));
  return color;
}

// Between the centres of patches, bilinear.
float sample(const Tensor& map, double y, double x) {
  const int64_t rows = map.size(0), columns = map.size(1);
  const float* values = map.data<float>();
  y = std::clamp(y - 0.5, 0.0, static_cast<double>(rows - 1));
  x = std::clamp(x - 0.5, 0.0, static_cast<double>(columns - 1));
  const auto top = static_cast<int64_t>(y), left = static_cast<int64_t>(x);
  const int64_t below = std::min(top + 1, rows - 1), right = std::min(left + 1, columns - 1);
  const auto dy = static_cast<float>(y - static_cast<double>(top)),
             dx = static_cast<float>(x - static_cast<double>(left));
  return std::lerp(std::lerp(values[top * columns + left], values[top * columns + right], dx),
                   std::lerp(values[below * columns + left], values[below * columns + right], dx),
                   dy);
}

}  // namespace

Image overlay(const Image& photo, const Tensor& map, const SeenPart& seen) {
  const int64_t rows = map.size(0), columns = map.size(1), width = photo.width();
  check(map.is_contiguous() && (map.rank() == 2 || (map.rank() == 3 && map.size(2) == 3)),
        "overlay: the map is {}, not [rows, columns] or [rows, columns, 3]", map.shape());
  const bool scalars = map.rank() == 2;
  const auto [least, most] = std::ranges::minmax(map.values<float>());
  const float low = least, range = std::max(most - least, 1e-12f);
  Image out{Tensor::empty(photo.pixels.shape(), DType::u8), "png"};
  parallel_for(photo.height(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * width; i < end * width; ++i) {
      const double y = (static_cast<double>(i / width) + 0.5 - seen.top) / seen.height,
                   x = (static_cast<double>(i % width) + 0.5 - seen.left) / seen.width;
      const uint8_t* from = photo.data() + 3 * i;
      Rgb color = {static_cast<float>(from[0]), static_cast<float>(from[1]),
                   static_cast<float>(from[2])};
      float share = 0.65f;  // of the map in the mix
      if (y < 0 || y >= 1 || x < 0 || x >= 1) {
        share = 0;
        for (float& c : color) c *= 0.35f;
      }
      Rgb paint = {};
      if (scalars && share > 0) {
        paint = ramp(
            (sample(map, y * static_cast<double>(rows), x * static_cast<double>(columns)) - low) /
            range);
      } else if (share > 0) {
        const auto patch = static_cast<int64_t>(y * static_cast<double>(rows)) * columns +
                           static_cast<int64_t>(x * static_cast<double>(columns));
        for (size_t c = 0; c < 3; ++c)
          paint[c] = 255 * map.data<float>()[3 * patch + static_cast<int64_t>(c)];
        share = paint == Rgb{} ? 0 : 0.8f;
      }
      for (size_t c = 0; c < 3; ++c) {
        out.pixels.data<uint8_t>()[3 * i + static_cast<int64_t>(c)] =
            static_cast<uint8_t>(std::lround(std::lerp(color[c], paint[c], share)));
      }
    }
  });
  return out;
}

}  // namespace ocelli
