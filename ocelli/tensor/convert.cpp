#include "ocelli/tensor/convert.h"

#include <cstring>
#include <type_traits>

#include "ocelli/base/threads.h"

namespace ocelli {
namespace {

template <typename T>
auto load(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return to_float(x);
  else
    return x;
}

template <typename To, typename From>
To convert(From from) {
  const auto x = load(from);
  if constexpr (std::is_same_v<To, Half>)
    return to_half(static_cast<float>(x));
  else if constexpr (std::is_same_v<To, BFloat16>)
    return to_bfloat16(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

template <typename F>
void dispatch(DType dtype, const F& f) {
  switch (dtype) {
    case DType::f32: return f(float{});
    case DType::f16: return f(Half{});
    case DType::bf16: return f(BFloat16{});
    case DType::i8: return f(int8_t{});
    case DType::u8: return f(uint8_t{});
    case DType::i32: return f(int32_t{});
    case DType::i64: return f(int64_t{});
  }
}

constexpr int64_t kGrain = 1 << 16;

}  // namespace

Tensor contiguous(const Tensor& t) {
  if (t.is_contiguous()) return t;
  Tensor out = Tensor::empty(t.shape(), t.dtype());
  const auto size = static_cast<int64_t>(dtype_size(t.dtype()));
  const int last = t.rank() - 1;
  const int64_t inner = t.size(last), stride = t.strides()[last] * size;
  parallel_for(t.numel() / std::max<int64_t>(inner, 1), kGrain / std::max<int64_t>(inner, 1) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end; ++row) {
                   const char* from = static_cast<const char*>(t.raw());
                   for (int64_t rest = row, d = last - 1; d >= 0; --d) {
                     const int64_t n = t.shape()[static_cast<int>(d)];
                     from += rest % n * t.strides()[static_cast<int>(d)] * size;
                     rest /= n;
                   }
                   char* into = static_cast<char*>(out.raw()) + row * inner * size;
                   if (stride == size) {
                     std::memcpy(into, from, static_cast<size_t>(inner * size));
                   } else {
                     for (int64_t i = 0; i < inner; ++i) {
                       std::memcpy(into + i * size, from + i * stride, static_cast<size_t>(size));
                     }
                   }
                 }
               });
  return out;
}

Tensor to(const Tensor& t, DType dtype) {
  const Tensor from = contiguous(t);
  if (from.dtype() == dtype) return from;
  Tensor out = Tensor::empty(from.shape(), dtype);
  dispatch(from.dtype(), [&](auto source) {
    using From = decltype(source);
    const From* x = from.data<From>();
    if constexpr (std::is_same_v<From, int64_t>) {
      for (int64_t i = 0; dtype == DType::i32 && i < from.numel(); ++i) {
        check(x[i] == static_cast<int32_t>(x[i]), "to: {} does not fit in i32", x[i]);
      }
    }
    dispatch(dtype, [&](auto target) {
      using To = decltype(target);
      To* y = out.data<To>();
      parallel_for(from.numel(), kGrain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) y[i] = convert<To>(x[i]);
      });
    });
  });
  return out;
}

}  // namespace ocelli
