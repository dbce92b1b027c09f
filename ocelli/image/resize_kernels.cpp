#include "ocelli/image/resize_kernels.h"

#include <algorithm>
#include <array>
#include <cstring>

#if defined(__x86_64__)
// GCC 12 takes the "undefined" operands inside its own intrinsics for mistakes.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

namespace ocelli {
namespace {

constexpr int32_t kHalf = 1 << (kResizePlaces - 1);

uint8_t clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kResizePlaces, 0, 255));
}

void pack_nothing(ResizeTaps*) {}

void across_scalar(const uint8_t* const* in, const ResizeTaps& taps, uint8_t* const* out) {
  uint8_t* into = *out;
  for (int64_t i = 0; i < taps.size(); ++i) {
    const auto n = static_cast<size_t>(i);
    const int32_t* weights = taps.weights.data() + i * taps.stride;
    const uint8_t* p = *in + 3 * taps.first[n];
    int32_t sum[3] = {kHalf, kHalf, kHalf};
    for (int k = 0; k < taps.count[n]; ++k, p += 3) {
      for (int c = 0; c < 3; ++c) sum[c] += p[c] * weights[k];
    }
    for (int c = 0; c < 3; ++c) *into++ = clip(sum[c]);
  }
}

void down_scalar(const uint8_t* const* in, const ResizeTaps& taps, int64_t output, int64_t size,
                 uint8_t* out) {
  const int32_t* weights = taps.weights.data() + output * taps.stride;
  for (int64_t i = 0; i < size; ++i) {
    int32_t sum = kHalf;
    for (int k = 0; k < taps.count[static_cast<size_t>(output)]; ++k) sum += in[k][i] * weights[k];
    out[i] = clip(sum);
  }
}

#if defined(__x86_64__)

#define OCELLI_AVX2 __attribute__((target("avx2")))
#define OCELLI_AVX2_INLINE __attribute__((target("avx2"), always_inline)) inline
#define OCELLI_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define OCELLI_VNNI_INLINE \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"), always_inline)) inline

// AVX2: a weight is 2^15 high + low, so that 16-bit products with pixels, summed in pairs, are
// exact:
//   sum w p = 2^15 sum high p + sum low p.
// Packed are, for each four taps, low01 low23 high01 high23.
void pack_pairs(ResizeTaps* taps) {
  taps->packed.clear();
  const auto low = [](int32_t a, int32_t b) { return (a & 0x7fff) | ((b & 0x7fff) << 16); };
  const auto high = [](int32_t a, int32_t b) { return ((a >> 15) & 0xffff) | ((b >> 15) << 16); };
  for (size_t i = 0; i < taps->weights.size(); i += 4) {
    const int32_t* w = taps->weights.data() + i;
    for (const int32_t pair :
         {low(w[0], w[1]), low(w[2], w[3]), high(w[0], w[1]), high(w[2], w[3])}) {
      taps->packed.push_back(pair);
    }
  }
}

OCELLI_AVX2_INLINE __m256i finish(__m256i low, __m256i high) {
  const __m256i sum = _mm256_add_epi32(low, _mm256_slli_epi32(high, 15));
  return _mm256_srai_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(kHalf)), kResizePlaces);
}

// One output of two rows, a row a lane: r g b x as 32-bit numbers.
OCELLI_AVX2_INLINE __m256i across_one(const uint8_t* a, const uint8_t* b, const int32_t* packed,
                                      int quads) {
  // Pixels 0 and 1 as (r0 r1) (g0 g1) (b0 b1), and 2 and 3.
  const __m256i first =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                       0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const __m256i second =
      _mm256_setr_epi8(6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,  //
                       6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  __m256i low = _mm256_setzero_si256(), high = low;
  for (int q = 0; q < quads; ++q, a += 12, b += 12, packed += 4) {
    const __m256i bytes = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a))),
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(b)), 1);
    const __m256i p01 = _mm256_shuffle_epi8(bytes, first);
    const __m256i p23 = _mm256_shuffle_epi8(bytes, second);
    low = _mm256_add_epi32(low, _mm256_madd_epi16(p01, _mm256_set1_epi32(packed[0])));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(p23, _mm256_set1_epi32(packed[1])));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(p01, _mm256_set1_epi32(packed[2])));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(p23, _mm256_set1_epi32(packed[3])));
  }
  return finish(low, high);
}

OCELLI_AVX2 void across_avx2(const uint8_t* const* in, const ResizeTaps& taps,
                             uint8_t* const* out) {
  for (int64_t i = 0; i < taps.size(); ++i) {
    const auto n = static_cast<size_t>(i);
    const int64_t at = 3 * int64_t{taps.first[n]};
    __m256i sum = across_one(in[0] + at, in[1] + at, taps.packed.data() + i * taps.stride,
                             (taps.count[n] + 3) / 4);
    sum = _mm256_packus_epi16(_mm256_packs_epi32(sum, sum), sum);
    const int32_t a = _mm256_extract_epi32(sum, 0), b = _mm256_extract_epi32(sum, 4);
    std::memcpy(out[0] + 3 * i, &a, 3);
    std::memcpy(out[1] + 3 * i, &b, 3);
  }
}

OCELLI_AVX2_INLINE __m256i widen(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

OCELLI_AVX2 void down_avx2(const uint8_t* const* in, const ResizeTaps& taps, int64_t output,
                           int64_t size, uint8_t* out) {
  const int quads = (taps.count[static_cast<size_t>(output)] + 3) / 4;
  int64_t i = 0;
  for (; i + 16 <= size; i += 16) {
    __m256i low0 = _mm256_setzero_si256(), low1 = low0, high0 = low0, high1 = low0;
    const int32_t* packed = taps.packed.data() + output * taps.stride;
    for (int q = 0; q < quads; ++q, packed += 4) {
      for (int pair = 0; pair < 2; ++pair) {
        const __m256i a = widen(in[4 * q + 2 * pair] + i), b = widen(in[4 * q + 2 * pair + 1] + i);
        const __m256i first = _mm256_unpacklo_epi16(a, b), second = _mm256_unpackhi_epi16(a, b);
        const __m256i low = _mm256_set1_epi32(packed[pair]);
        const __m256i high = _mm256_set1_epi32(packed[2 + pair]);
        low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(first, low));
        low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(second, low));
        high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(first, high));
        high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(second, high));
      }
    }
    const __m256i words = _mm256_packs_epi32(finish(low0, high0), finish(low1, high1));
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), bytes);
  }
  if (i == size) return;
  std::vector<const uint8_t*> rest;
  for (int k = 0; k < 4 * quads; ++k) rest.push_back(in[k] + i);
  down_scalar(rest.data(), taps, output, size - i, out + i);
}

// AVX-512 VNNI: a weight is 2^16 high + 2^8 middle + low with signed bytes, whose products with
// pixels are summed by fours into 32 bits without loss. Packed are, for each four taps, the three
// digits. Weights reach +-127.99 * 2^16, nearly twice 1.0; the filters here stay below 1.3.
void pack_digits(ResizeTaps* taps) {
  taps->packed.clear();
  for (size_t i = 0; i < taps->weights.size(); i += 4) {
    uint32_t digits[4] = {};
    for (size_t k = 0; k < 4; ++k) {
      int32_t w = taps->weights[i + k];
      for (size_t d = 0; d < 3; ++d) {
        const auto digit = static_cast<int8_t>(w & 0xff);
        digits[d] |= uint32_t{static_cast<uint8_t>(digit)} << (8 * k);
        w = (w - digit) >> 8;
      }
    }
    for (const uint32_t d : digits) taps->packed.push_back(static_cast<int32_t>(d));
  }
}

struct Digits {
  __m512i low, middle, high;
};

OCELLI_VNNI_INLINE void accumulate(Digits& sum, __m512i pixels, __m512i low, __m512i middle,
                                   __m512i high) {
  sum.low = _mm512_dpbusd_epi32(sum.low, pixels, low);
  sum.middle = _mm512_dpbusd_epi32(sum.middle, pixels, middle);
  sum.high = _mm512_dpbusd_epi32(sum.high, pixels, high);
}

OCELLI_VNNI_INLINE __m512i total(const Digits& sum) {
  const __m512i upper = _mm512_add_epi32(sum.middle, _mm512_slli_epi32(sum.high, 8));
  const __m512i all = _mm512_add_epi32(sum.low, _mm512_slli_epi32(upper, 8));
  return _mm512_srai_epi32(all, kResizePlaces);
}

OCELLI_VNNI_INLINE Digits zero_digits() {
  return {_mm512_set1_epi32(kHalf), _mm512_setzero_si512(), _mm512_setzero_si512()};
}

OCELLI_VNNI_INLINE __m128i load16(const uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

// One output of four rows, a row a lane: r g b x as 32-bit numbers.
OCELLI_VNNI_INLINE __m512i across_one_vnni(const uint8_t* const* in, const ResizeTaps& taps,
                                           int64_t i) {
  // Four pixels as (r0 r1 r2 r3) (g ...) (b ...).
  const __m512i spread =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
  const auto n = static_cast<size_t>(i);
  const int32_t* packed = taps.packed.data() + i * taps.stride;
  const int64_t first = 3 * int64_t{taps.first[n]}, last = first + 3 * int64_t{taps.count[n]};
  Digits sum = zero_digits();
  for (int64_t at = first; at < last; at += 12, packed += 4) {
    __m512i bytes = _mm512_castsi128_si512(load16(in[0] + at));
    bytes = _mm512_inserti32x4(bytes, load16(in[1] + at), 1);
    bytes = _mm512_inserti32x4(bytes, load16(in[2] + at), 2);
    bytes = _mm512_inserti32x4(bytes, load16(in[3] + at), 3);
    accumulate(sum, _mm512_shuffle_epi8(bytes, spread), _mm512_set1_epi32(packed[0]),
               _mm512_set1_epi32(packed[1]), _mm512_set1_epi32(packed[2]));
  }
  return total(sum);
}

OCELLI_VNNI void across_vnni(const uint8_t* const* in, const ResizeTaps& taps,
                             uint8_t* const* out) {
  const __m512i drop_fourth =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  for (int64_t i = 0; i < taps.size(); i += 4) {
    const int64_t last = taps.size() - 1;
    const __m512i ab = _mm512_packs_epi32(across_one_vnni(in, taps, i),
                                          across_one_vnni(in, taps, std::min(i + 1, last)));
    const __m512i cd = _mm512_packs_epi32(across_one_vnni(in, taps, std::min(i + 2, last)),
                                          across_one_vnni(in, taps, std::min(i + 3, last)));
    const __m512i rgb = _mm512_shuffle_epi8(_mm512_packus_epi16(ab, cd), drop_fourth);
    const auto bytes = static_cast<__mmask16>((1u << (3 * std::min<int64_t>(4, last + 1 - i))) - 1);
    _mm_mask_storeu_epi8(out[0] + 3 * i, bytes, _mm512_castsi512_si128(rgb));
    _mm_mask_storeu_epi8(out[1] + 3 * i, bytes, _mm512_extracti32x4_epi32(rgb, 1));
    _mm_mask_storeu_epi8(out[2] + 3 * i, bytes, _mm512_extracti32x4_epi32(rgb, 2));
    _mm_mask_storeu_epi8(out[3] + 3 * i, bytes, _mm512_extracti32x4_epi32(rgb, 3));
  }
}

OCELLI_VNNI void down_vnni(const uint8_t* const* in, const ResizeTaps& taps, int64_t output,
                           int64_t size, uint8_t* out) {
  const int count = taps.count[static_cast<size_t>(output)];
  for (int64_t i = 0; i < size; i += 64) {
    const __mmask64 bytes = size - i >= 64 ? ~__mmask64{0} : (__mmask64{1} << (size - i)) - 1;
    const int32_t* packed = taps.packed.data() + output * taps.stride;
    Digits sum[4] = {zero_digits(), zero_digits(), zero_digits(), zero_digits()};
    for (int k = 0; k < count; k += 4, packed += 4) {
      const __m512i a = _mm512_maskz_loadu_epi8(bytes, in[k] + i);
      const __m512i b = _mm512_maskz_loadu_epi8(bytes, in[k + 1] + i);
      const __m512i c = _mm512_maskz_loadu_epi8(bytes, in[k + 2] + i);
      const __m512i d = _mm512_maskz_loadu_epi8(bytes, in[k + 3] + i);
      const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
      const __m512i cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
      const __m512i low = _mm512_set1_epi32(packed[0]), middle = _mm512_set1_epi32(packed[1]);
      const __m512i high = _mm512_set1_epi32(packed[2]);
      accumulate(sum[0], _mm512_unpacklo_epi16(ab0, cd0), low, middle, high);
      accumulate(sum[1], _mm512_unpackhi_epi16(ab0, cd0), low, middle, high);
      accumulate(sum[2], _mm512_unpacklo_epi16(ab1, cd1), low, middle, high);
      accumulate(sum[3], _mm512_unpackhi_epi16(ab1, cd1), low, middle, high);
    }
    const __m512i first = _mm512_packs_epi32(total(sum[0]), total(sum[1]));
    const __m512i second = _mm512_packs_epi32(total(sum[2]), total(sum[3]));
    _mm512_mask_storeu_epi8(out + i, bytes, _mm512_packus_epi16(first, second));
  }
}

#endif

std::vector<ResizeKernels> supported() {
  std::vector<ResizeKernels> all = {{"scalar", 1, pack_nothing, across_scalar, down_scalar}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    all.push_back({"avx2", 2, pack_pairs, across_avx2, down_avx2});
  }
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    all.push_back({"avx512vnni", 4, pack_digits, across_vnni, down_vnni});
  }
#endif
  return all;
}

}  // namespace

int32_t ResizeTaps::begin() const {
  return *std::ranges::min_element(first);
}

int32_t ResizeTaps::end() const {
  int32_t last = 0;
  for (size_t i = 0; i < first.size(); ++i) last = std::max(last, first[i] + count[i]);
  return last;
}

std::span<const ResizeKernels> resize_kernels() {
  static const std::vector<ResizeKernels> all = supported();
  return all;
}

}  // namespace ocelli
