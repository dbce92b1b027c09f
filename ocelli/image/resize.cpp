#include "ocelli/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ocelli {
namespace {

constexpr int kPrecision = 32 - 8 - 2;
constexpr int kRound = 1 << (kPrecision - 1);

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

struct Kernel {
  double support;
  double (*weight)(double);
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box: return {0.5, [](double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }};
    case Filter::bilinear: return {1.0, [](double x) { return std::max(1.0 - std::abs(x), 0.0); }};
    case Filter::hamming:
      return {1.0, [](double x) {
                x = std::abs(x);
                if (x == 0.0) return 1.0;
                if (x >= 1.0) return 0.0;
                x *= std::numbers::pi;
                return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
              }};
    case Filter::bicubic:
      return {2.0, [](double x) {
                constexpr double a = -0.5;
                x = std::abs(x);
                if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
                if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
                return 0.0;
              }};
    case Filter::lanczos:
      return {3.0, [](double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }};
    case Filter::nearest: break;
  }
  return {0, nullptr};
}

// The input pixels and fixed-point weights of one output position.
struct Taps {
  int first = 0, count = 0;
  std::vector<int32_t> weights;
};

// Taps of the outputs [begin, end).
std::vector<Taps> taps_of(int64_t in, int64_t out, Filter filter, int64_t begin, int64_t end) {
  const Kernel kernel = kernel_of(filter);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0), support = kernel.support * stretch;
  std::vector<Taps> all;
  std::vector<double> weights;
  for (int64_t i = begin; i < end; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale, inverse = 1.0 / stretch;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int last = std::min(static_cast<int>(centre + support + 0.5), static_cast<int>(in));
    weights.clear();
    double sum = 0;
    for (int k = 0; k < last - first; ++k) {
      weights.push_back(kernel.weight((k + first - centre + 0.5) * inverse));
      sum += weights.back();
    }
    Taps taps{first, last - first, {}};
    for (double w : weights) {
      if (sum != 0.0) w /= sum;
      taps.weights.push_back(static_cast<int32_t>((w < 0 ? -0.5 : 0.5) + w * (1 << kPrecision)));
    }
    all.push_back(std::move(taps));
  }
  return all;
}

uint8_t clip(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255)); }

void across_scalar(const uint8_t* row, const std::vector<Taps>& taps, uint8_t* out) {
  for (const Taps& t : taps) {
    int32_t sum[3] = {kRound, kRound, kRound};
    const uint8_t* p = row + 3 * t.first;
    for (int k = 0; k < t.count; ++k, p += 3) {
      for (int c = 0; c < 3; ++c) sum[c] += p[c] * t.weights[static_cast<size_t>(k)];
    }
    for (int c = 0; c < 3; ++c) *out++ = clip(sum[c]);
  }
}

// rows[k] is the k-th input row under the output row.
void down_scalar(const uint8_t* const* rows, const Taps& t, int64_t begin, int64_t size, uint8_t* out) {
  for (int64_t i = begin; i < size; ++i) {
    int32_t sum = kRound;
    for (int k = 0; k < t.count; ++k) sum += rows[k][i] * t.weights[static_cast<size_t>(k)];
    out[i] = clip(sum);
  }
}

#if defined(__x86_64__)

// A weight of 23 bits is split as 2^15 high + low, so that sums of products with 8-bit pixels are
// exact in pairs of 16-bit multiplications (pmaddwd).
int32_t low_pair(int32_t a, int32_t b) { return (a & 0x7fff) | ((b & 0x7fff) << 16); }
int32_t high_pair(int32_t a, int32_t b) { return ((a >> 15) & 0xffff) | ((b >> 15) << 16); }

// Four taps at a time: their low pairs (two 32-bit lanes' worth, each repeated) and high pairs.
struct Quads {
  std::vector<int32_t> pairs;  // per quad: low01, low23, high01, high23
  std::vector<int> begin;      // per output, index of its first quad; one more at the end
};

Quads quads_of(const std::vector<Taps>& taps) {
  Quads q;
  for (const Taps& t : taps) {
    q.begin.push_back(static_cast<int>(q.pairs.size() / 4));
    for (int k = 0; k < t.count; k += 4) {
      int32_t w[4] = {};
      for (int j = 0; j < 4 && k + j < t.count; ++j) w[j] = t.weights[static_cast<size_t>(k + j)];
      for (int32_t pair : {low_pair(w[0], w[1]), low_pair(w[2], w[3]), high_pair(w[0], w[1]),
                           high_pair(w[2], w[3])}) {
        q.pairs.push_back(pair);
      }
    }
  }
  q.begin.push_back(static_cast<int>(q.pairs.size() / 4));
  return q;
}

__attribute__((target("avx2"), always_inline)) inline __m256i two_lanes(int32_t low, int32_t high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi32(low)), _mm_set1_epi32(high), 1);
}

// `end` is the first byte that must not be read.
__attribute__((target("avx2"))) void across_avx2(const uint8_t* row, const uint8_t* end,
                                                 const std::vector<Taps>& taps, const Quads& quads,
                                                 uint8_t* out) {
  // Pixels 0 and 1 as (r0 r1) (g0 g1) (b0 b1) in the lower lane, 2 and 3 in the upper.
  const __m256i spread = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
                                          6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (size_t i = 0; i < taps.size(); ++i) {
    const uint8_t* p = row + 3 * taps[i].first;
    __m256i low = _mm256_setzero_si256(), high = low;
    for (int q = quads.begin[i]; q < quads.begin[i + 1]; ++q, p += 12) {
      __m128i bytes;
      if (p + 16 <= end) {
        bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      } else {
        alignas(16) uint8_t rest[16] = {};
        std::memcpy(rest, p, static_cast<size_t>(std::max<std::ptrdiff_t>(end - p, 0)));
        bytes = _mm_load_si128(reinterpret_cast<const __m128i*>(rest));
      }
      const __m256i pixels = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
      const int32_t* w = quads.pairs.data() + 4 * q;
      low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, two_lanes(w[0], w[1])));
      high = _mm256_add_epi32(high, _mm256_madd_epi16(pixels, two_lanes(w[2], w[3])));
    }
    const __m256i both = _mm256_add_epi32(low, _mm256_slli_epi32(high, 15));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kRound)), kPrecision);
    sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    const int32_t rgb = _mm_cvtsi128_si32(sum);
    std::memcpy(out + 3 * i, &rgb, 3);
  }
}

__attribute__((target("avx2"), always_inline)) inline __m256i widen(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

__attribute__((target("avx2"), always_inline)) inline __m256i finish(__m256i low, __m256i high) {
  const __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, 15));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kRound)), kPrecision);
}

__attribute__((target("avx2"))) int64_t down_avx2(const uint8_t* const* rows, const Taps& t,
                                                  int64_t size, uint8_t* out) {
  int64_t i = 0;
  for (; i + 16 <= size; i += 16) {
    __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
    for (int k = 0; k < t.count; k += 2) {
      const bool pair = k + 1 < t.count;
      const int32_t w0 = t.weights[static_cast<size_t>(k)], w1 = pair ? t.weights[static_cast<size_t>(k) + 1] : 0;
      const __m256i a = widen(rows[k] + i), b = widen(rows[pair ? k + 1 : k] + i);
      const __m256i first = _mm256_unpacklo_epi16(a, b), second = _mm256_unpackhi_epi16(a, b);
      const __m256i low = _mm256_set1_epi32(low_pair(w0, w1)), high = _mm256_set1_epi32(high_pair(w0, w1));
      low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(first, low));
      low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(second, low));
      high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(first, high));
      high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(second, high));
    }
    const __m256i words = _mm256_packs_epi32(finish(low0, high0), finish(low1, high1));
    const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
  }
  return i;
}

bool has_avx2() { return __builtin_cpu_supports("avx2"); }

#endif

// Passes over rows of pixels; the vector paths where the processor has them.
class Across {
 public:
  explicit Across(std::vector<Taps> taps) : taps_(std::move(taps)) {
#if defined(__x86_64__)
    if (has_avx2()) quads_ = quads_of(taps_);
#endif
  }
  void run(const uint8_t* row, [[maybe_unused]] const uint8_t* end, uint8_t* out) const {
#if defined(__x86_64__)
    if (has_avx2()) return across_avx2(row, end, taps_, quads_, out);
#endif
    across_scalar(row, taps_, out);
  }

 private:
  std::vector<Taps> taps_;
#if defined(__x86_64__)
  Quads quads_;
#endif
};

void down(const uint8_t* const* rows, const Taps& taps, int64_t size, uint8_t* out) {
  int64_t done = 0;
#if defined(__x86_64__)
  if (has_avx2()) done = down_avx2(rows, taps, size, out);
#endif
  down_scalar(rows, taps, done, size, out);
}

Tensor nearest(const Image& image, int64_t height, int64_t width, const Window& w) {
  const Tensor out = Tensor::empty({w.height, w.width, 3}, DType::u8);
  uint8_t* into = out.data<uint8_t>();
  const auto source = [](int64_t i, int64_t in, int64_t n) {
    return std::min(static_cast<int64_t>((static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(n)), in - 1);
  };
  for (int64_t y = 0; y < w.height; ++y) {
    const uint8_t* row = image.data() + source(w.top + y, image.height(), height) * image.width() * 3;
    for (int64_t x = 0; x < w.width; ++x, into += 3) {
      std::memcpy(into, row + source(w.left + x, image.width(), width) * 3, 3);
    }
  }
  return out;
}

}  // namespace

Filter parse_filter(std::string_view name) {
  if (name == "nearest") return Filter::nearest;
  if (name == "lanczos") return Filter::lanczos;
  if (name == "bilinear") return Filter::bilinear;
  if (name == "bicubic" || name == "random") return Filter::bicubic;
  if (name == "box") return Filter::box;
  if (name == "hamming") return Filter::hamming;
  fail(ErrorCode::invalid_argument,
       "unknown resampling filter '{}'; one of nearest, box, bilinear, hamming, bicubic, lanczos", name);
}

Tensor resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                     const Window& w) {
  check(height > 0 && width > 0 && height < (1 << 24) && width < (1 << 24), "resize: to {} x {} pixels",
        width, height);
  check(w.top >= 0 && w.left >= 0 && w.height > 0 && w.width > 0 && w.top + w.height <= height &&
            w.left + w.width <= width,
        "resize: the window {} + {}, {} + {} leaves an image of {} x {}", w.left, w.width, w.top,
        w.height, width, height);
  if (filter == Filter::nearest) return nearest(image, height, width, w);
  const int64_t in_height = image.height(), in_width = image.width();
  const bool shrinks_across = width != in_width, shrinks_down = height != in_height;
  const uint8_t* pixels = image.data();
  const uint8_t* end = pixels + in_height * in_width * 3;
  const int64_t row_size = w.width * 3;

  const std::vector<Taps> vertical =
      shrinks_down ? taps_of(in_height, height, filter, w.top, w.top + w.height) : std::vector<Taps>();
  int64_t first = w.top, last = w.top + w.height;  // input rows that are needed
  if (shrinks_down) {
    first = vertical.front().first;
    last = vertical.back().first + vertical.back().count;
    for (const Taps& t : vertical) {
      first = std::min<int64_t>(first, t.first);
      last = std::max<int64_t>(last, t.first + t.count);
    }
  }
  const Tensor middle = Tensor::empty({last - first, w.width, 3}, DType::u8);
  uint8_t* rows = middle.data<uint8_t>();
  if (shrinks_across) {
    const Across across(taps_of(in_width, width, filter, w.left, w.left + w.width));
    for (int64_t y = first; y < last; ++y) {
      across.run(pixels + y * in_width * 3, end, rows + (y - first) * row_size);
    }
  } else {
    for (int64_t y = first; y < last; ++y) {
      std::memcpy(rows + (y - first) * row_size, pixels + (y * in_width + w.left) * 3, static_cast<size_t>(row_size));
    }
  }
  if (!shrinks_down) return middle;
  const Tensor out = Tensor::empty({w.height, w.width, 3}, DType::u8);
  std::vector<const uint8_t*> under;
  for (int64_t y = 0; y < w.height; ++y) {
    const Taps& taps = vertical[static_cast<size_t>(y)];
    under.clear();
    for (int k = 0; k < taps.count; ++k) under.push_back(rows + (taps.first + k - first) * row_size);
    down(under.data(), taps, row_size, out.data<uint8_t>() + y * row_size);
  }
  return out;
}

Image resize(const Image& image, int64_t height, int64_t width, Filter filter) {
  return {resize_window(image, height, width, filter, {0, 0, height, width}), image.format};
}

}  // namespace ocelli
