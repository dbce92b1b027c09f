#include "ocelli/curate/borders.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

constexpr int64_t kLongest = 256;
constexpr int kSame = 6;         // levels that a colour differs in at most
constexpr double kShare = 0.65;  // of a line that is one colour: there may be writing on it
constexpr double kLeast = 0.02;  // of the side: thinner borders are none

// Is the line of `count` pixels, `stride` bytes apart, mostly of its median colour?
bool is_border(const uint8_t* first, int64_t count, int64_t stride) {
  std::array<int, 3> median{};
  std::vector<uint8_t> values(count);
  for (int c = 0; c < 3; ++c) {
    for (int64_t i = 0; i < count; ++i) values[i] = first[i * stride + c];
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::ranges::nth_element(values, middle);
    median[c] = *middle;
  }
  int64_t same = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* p = first + i * stride;
    same += std::abs(p[0] - median[0]) <= kSame && std::abs(p[1] - median[1]) <= kSame &&
            std::abs(p[2] - median[2]) <= kSame;
  }
  return static_cast<double>(same) >= kShare * static_cast<double>(count);
}

// How many of `lines` are left, `step` bytes apart.
int64_t left_of(const uint8_t* first, int64_t lines, int64_t step, int64_t count, int64_t stride) {
  int64_t begin = 0, end = lines;
  while (begin < end && is_border(first + begin * step, count, stride)) ++begin;
  while (end > begin && is_border(first + (end - 1) * step, count, stride)) --end;
  const auto least = static_cast<int64_t>(std::ceil(kLeast * static_cast<double>(lines)));
  return (begin > least ? 0 : begin) + end - begin + (lines - end > least ? 0 : lines - end);
}

}  // namespace

double share_without_borders(const Image& image) {
  const double scale =
      std::min(1.0, static_cast<double>(kLongest) /
                        static_cast<double>(std::max(image.height(), image.width())));
  const auto side = [&](int64_t n) {
    return std::max<int64_t>(std::lround(static_cast<double>(n) * scale), 1);
  };
  // Nearest: a border stays of one colour up to its edge.
  const Image small = resize(image, side(image.height()), side(image.width()), Filter::nearest);
  const int64_t height = small.height(), width = small.width();
  const int64_t rows = left_of(small.data(), height, width * 3, width, 3);
  const int64_t columns = left_of(small.data(), width, 3, height, width * 3);
  if (rows == 0 || columns == 0) return 1;  // nothing but border: no photograph in a frame
  return static_cast<double>(rows * columns) / static_cast<double>(height * width);
}

}  // namespace ocelli
