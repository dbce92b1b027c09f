// Element types. f16 and bf16 are held as their bits; arithmetic happens in f32.
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocelli {

enum class DType { f32, f16, bf16, i8, u8, i32, i64 };

struct Half {
  uint16_t bits = 0;
};
struct BFloat16 {
  uint16_t bits = 0;
};

size_t dtype_size(DType dtype);
const char* dtype_name(DType dtype);         // "f32"
DType parse_dtype(std::string_view name);    // "f32", "float32", "F32", ...; throws invalid_argument
bool is_floating_point(DType dtype);

template <typename T>
constexpr DType dtype_of();
template <> constexpr DType dtype_of<float>() { return DType::f32; }
template <> constexpr DType dtype_of<Half>() { return DType::f16; }
template <> constexpr DType dtype_of<BFloat16>() { return DType::bf16; }
template <> constexpr DType dtype_of<int8_t>() { return DType::i8; }
template <> constexpr DType dtype_of<uint8_t>() { return DType::u8; }
template <> constexpr DType dtype_of<int32_t>() { return DType::i32; }
template <> constexpr DType dtype_of<int64_t>() { return DType::i64; }

inline float to_float(BFloat16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
inline float to_float(Half x) {
  // _Float16 conversion is exact and handled by the compiler on every target.
  return static_cast<float>(std::bit_cast<_Float16>(x.bits));
}
// Round to nearest, ties to even; NaN stays NaN.
inline BFloat16 to_bfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
inline Half to_half(float x) { return {std::bit_cast<uint16_t>(static_cast<_Float16>(x))}; }

}  // namespace ocelli

template <>
struct fmt::formatter<ocelli::DType> : fmt::formatter<std::string_view> {
  auto format(ocelli::DType dtype, format_context& context) const {
    return formatter<std::string_view>::format(ocelli::dtype_name(dtype), context);
  }
};
