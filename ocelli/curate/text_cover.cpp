#include "ocelli/curate/text_cover.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace ocelli {
namespace {

constexpr int64_t kWindow = 12;                // surroundings: pixels to each side
constexpr int kContrast = 20;                  // grey levels from the mean of the surroundings
constexpr int64_t kLetters = 6;                // of a line, at least
constexpr int64_t kLowest = 4, kHighest = 80;  // pixels
constexpr double kInk = 30;                    // levels between the inks of two neighbours
constexpr double kTwoLevels = 0.68;

struct Letter {
  int64_t top, left, bottom, right;  // the last two excluded
  int64_t pixels;
  double ink;  // mean grey

  int64_t height() const { return bottom - top; }
  int64_t width() const { return right - left; }
  bool is_likely() const {
    const double fill = static_cast<double>(pixels) / static_cast<double>(height() * width());
    return height() >= kLowest && height() <= kHighest && width() <= 3 * height() &&
           height() <= 10 * width() && fill > 0.15 && (fill < 0.9 || height() > 2 * width());
  }
};

// Sums over all rectangles from the top left corner, one row and column larger than grey.
std::vector<int64_t> integral(std::span<const uint8_t> grey, int64_t height, int64_t width) {
  std::vector<int64_t> sums(static_cast<size_t>((height + 1) * (width + 1)));
  for (int64_t y = 0; y < height; ++y) {
    int64_t row = 0;
    for (int64_t x = 0; x < width; ++x) {
      row += grey[static_cast<size_t>(y * width + x)];
      sums[static_cast<size_t>((y + 1) * (width + 1) + x + 1)] =
          sums[static_cast<size_t>(y * (width + 1) + x + 1)] + row;
    }
  }
  return sums;
}

// 1 where a pixel is darker (sign 1), or lighter (-1), than its surroundings.
std::vector<uint8_t> ink_of(std::span<const uint8_t> grey, int64_t height, int64_t width,
                            const std::vector<int64_t>& sums, int sign) {
  std::vector<uint8_t> ink(grey.size());
  for (int64_t y = 0; y < height; ++y) {
    const int64_t y0 = std::max<int64_t>(y - kWindow, 0), y1 = std::min(y + kWindow + 1, height);
    for (int64_t x = 0; x < width; ++x) {
      const int64_t x0 = std::max<int64_t>(x - kWindow, 0), x1 = std::min(x + kWindow + 1, width);
      const auto at = [&](int64_t row, int64_t column) {
        return sums[static_cast<size_t>(row * (width + 1) + column)];
      };
      const int64_t mean =
          (at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0)) / ((y1 - y0) * (x1 - x0));
      const auto i = static_cast<size_t>(y * width + x);
      ink[i] = sign * (mean - grey[i]) > kContrast;
    }
  }
  return ink;
}

// Connected pixels of `ink`, which is used up.
std::vector<Letter> letters_of(std::span<const uint8_t> grey, int64_t height, int64_t width,
                               std::vector<uint8_t> ink) {
  std::vector<Letter> letters;
  std::vector<int64_t> open;
  for (int64_t start = 0; start < height * width; ++start) {
    if (!ink[static_cast<size_t>(start)]) continue;
    Letter letter{height, width, 0, 0, 0, 0};
    open = {start};
    ink[static_cast<size_t>(start)] = 0;
    while (!open.empty()) {
      const int64_t at = open.back(), y = at / width, x = at % width;
      open.pop_back();
      letter.top = std::min(letter.top, y);
      letter.left = std::min(letter.left, x);
      letter.bottom = std::max(letter.bottom, y + 1);
      letter.right = std::max(letter.right, x + 1);
      letter.ink += grey[static_cast<size_t>(at)];
      ++letter.pixels;
      for (int64_t ny = std::max<int64_t>(y - 1, 0); ny < std::min(y + 2, height); ++ny) {
        for (int64_t nx = std::max<int64_t>(x - 1, 0); nx < std::min(x + 2, width); ++nx) {
          uint8_t& near = ink[static_cast<size_t>(ny * width + nx)];
          if (near) open.push_back(ny * width + nx);
          near = 0;
        }
      }
    }
    letter.ink /= static_cast<double>(letter.pixels);
    if (letter.is_likely()) letters.push_back(letter);
  }
  return letters;
}

// `b` may follow `a` in a line.
bool follows(const Letter& a, const Letter& b) {
  const int64_t low = std::min(a.height(), b.height()), high = std::max(a.height(), b.height());
  const int64_t overlap = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const bool aligned =
      3 * std::abs(b.bottom - a.bottom) <= high || 5 * std::abs(b.top - a.top) <= high;
  return high <= 2 * low && 2 * overlap >= low && aligned && b.left - a.right <= high &&
         b.left - a.right >= -low / 2 && std::abs(a.ink - b.ink) <= kInk;
}

// How well two levels, of the ink and of what is around it, describe the line: the share of the
// variance that is between them (Otsu, "A threshold selection method from gray-level histograms",
// 1979). Of textures, whose levels have one peak, two thirds at most.
double two_levels(std::span<const uint8_t> grey, const std::vector<uint8_t>& ink, int64_t width,
                  const Letter& line) {
  std::array<double, 2> count{}, sum{};
  double squares = 0;
  for (int64_t y = line.top; y < line.bottom; ++y) {
    for (int64_t x = line.left; x < line.right; ++x) {
      const auto i = static_cast<size_t>(y * width + x);
      ++count[ink[i]];
      sum[ink[i]] += grey[i];
      squares += grey[i] * grey[i];
    }
  }
  const double n = count[0] + count[1], mean = (sum[0] + sum[1]) / n;
  double between = 0;
  for (const int c : {0, 1}) {
    if (count[c] > 0) between += count[c] / n * std::pow(sum[c] / count[c] - mean, 2);
  }
  return between / std::max(squares / n - mean * mean, 1e-9);
}

// Marks what the lines of `letters`, from left to right, cover.
void mark_lines(std::span<const uint8_t> grey, const std::vector<uint8_t>& ink,
                std::vector<Letter> letters, int64_t width, std::vector<uint8_t>& covered) {
  std::ranges::sort(letters, {}, &Letter::left);
  std::vector<size_t> next(letters.size(), letters.size());
  std::vector<uint8_t> is_first(letters.size(), 1);
  for (size_t i = 0; i < letters.size(); ++i) {
    for (size_t j = i + 1; j < letters.size(); ++j) {
      if (letters[j].left > letters[i].right + 2 * kHighest) break;
      if (!is_first[j] || !follows(letters[i], letters[j])) continue;
      next[i] = j;
      is_first[j] = 0;
      break;
    }
  }
  for (size_t first = 0; first < letters.size(); ++first) {
    if (!is_first[first]) continue;
    int64_t count = 0;
    Letter line = letters[first];
    for (size_t i = first; i < letters.size(); i = next[i], ++count) {
      line.top = std::min(line.top, letters[i].top);
      line.bottom = std::max(line.bottom, letters[i].bottom);
      line.right = std::max(line.right, letters[i].right);
    }
    if (count < kLetters || two_levels(grey, ink, width, line) < kTwoLevels) continue;
    const Letter* before = nullptr;
    for (size_t i = first; i < letters.size(); i = next[i]) {
      const Letter& letter = letters[i];
      const int64_t left = before ? std::min(before->right, letter.left) : letter.left;
      for (int64_t y = letter.top; y < letter.bottom; ++y) {
        std::fill(covered.begin() + y * width + left, covered.begin() + y * width + letter.right,
                  1);
      }
      before = &letter;
    }
  }
}

}  // namespace

double text_cover(std::span<const uint8_t> grey, int64_t height, int64_t width) {
  if (grey.empty()) return 0;
  const std::vector<int64_t> sums = integral(grey, height, width);
  std::vector<uint8_t> covered(grey.size());
  for (const int sign : {1, -1}) {
    const std::vector<uint8_t> ink = ink_of(grey, height, width, sums, sign);
    mark_lines(grey, ink, letters_of(grey, height, width, ink), width, covered);
  }
  return static_cast<double>(std::accumulate(covered.begin(), covered.end(), int64_t{0})) /
         static_cast<double>(covered.size());
}

}  // namespace ocelli
