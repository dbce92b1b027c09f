// Copies, unary and binary operations, rows by index.
#include <cstring>

#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/backend/cpu/strided.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/elementwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "hwy/contrib/math/math-inl.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/math-inl.h"
#include "ocelli/backend/cpu/words-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

using Tag = hn::ScalableTag<float>;

// Runs f over n values, the last ones through a padded buffer.
template <class F>
HWY_INLINE void transform(int64_t n, const float* x, float* y, const F& f) {
  const Tag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float rest[hn::MaxLanes(Tag())] = {};
  std::memcpy(rest, x + i, static_cast<size_t>(n - i) * sizeof(float));
  hn::Store(f(hn::Load(d, rest)), d, rest);
  std::memcpy(y + i, rest, static_cast<size_t>(n - i) * sizeof(float));
}

void unary_row(Unary kind, int64_t n, const float* x, float* y) {
  const Tag d;
  switch (kind) {
#define OCELLI_CASE(name) \
  case Unary::name:       \
    return transform(n, x, y, [&](auto v) HWY_ATTR { return apply<Unary::name>(d, v); })
    OCELLI_CASE(neg);
    OCELLI_CASE(abs);
    OCELLI_CASE(exp);
    OCELLI_CASE(sqrt);
    OCELLI_CASE(rsqrt);
    OCELLI_CASE(square);
    OCELLI_CASE(sigmoid);
    OCELLI_CASE(tanh);
    OCELLI_CASE(relu);
    OCELLI_CASE(relu6);
    OCELLI_CASE(silu);
    OCELLI_CASE(gelu);
    OCELLI_CASE(gelu_tanh);
    OCELLI_CASE(quick_gelu);
    OCELLI_CASE(hardswish);
#undef OCELLI_CASE
    case Unary::log:  // Highway's has no answer for 0, negatives, infinity and NaN
      for (int64_t i = 0; i < n; ++i) y[i] = std::log(x[i]);
      return;
  }
}

// Strides are 1, or 0 for a value that repeats.
template <class F>
HWY_INLINE void combine(int64_t n, const float* a, int64_t sa, const float* b, int64_t sb, float* y,
                        const F& f) {
  const Tag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto load = [&](const float* p, int64_t stride, int64_t i)
                        HWY_ATTR { return stride ? hn::LoadU(d, p + i) : hn::Set(d, *p); };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(load(a, sa, i), load(b, sb, i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float pa[hn::MaxLanes(Tag())] = {}, pb[hn::MaxLanes(Tag())] = {};
  for (int64_t j = i; j < n; ++j) {
    pa[j - i] = a[sa * j];
    pb[j - i] = b[sb * j];
  }
  hn::Store(f(hn::Load(d, pa), hn::Load(d, pb)), d, pa);
  std::memcpy(y + i, pa, static_cast<size_t>(n - i) * sizeof(float));
}

void binary_row(Binary kind, int64_t n, const float* a, int64_t sa, const float* b, int64_t sb,
                float* y) {
  switch (kind) {
#define OCELLI_CASE(name, expression) \
  case Binary::name:                  \
    return combine(n, a, sa, b, sb, y, [](auto p, auto q) HWY_ATTR { return expression; })
    OCELLI_CASE(add, hn::Add(p, q));
    OCELLI_CASE(sub, hn::Sub(p, q));
    OCELLI_CASE(mul, hn::Mul(p, q));
    OCELLI_CASE(div, hn::Div(p, q));
    // NaN wins, as in PyTorch.
    OCELLI_CASE(maximum, hn::IfThenElse(hn::Or(hn::Gt(p, q), hn::Ne(p, p)), p, q));
    OCELLI_CASE(minimum, hn::IfThenElse(hn::Or(hn::Lt(p, q), hn::Ne(p, p)), p, q));
#undef OCELLI_CASE
  }
}

// dx = dy * derivative(x); T float, or uint16_t (bf16), where dx is going to be rounded as well.
template <class T>
void unary_backward_row(Unary kind, int64_t n, const float* dy, const T* x, float* dx) {
  const Tag d;
  constexpr bool kRough = sizeof(T) < sizeof(float);
  switch (kind) {
#define OCELLI_CASE(name)                                                              \
  case Unary::name:                                                                    \
    for (int64_t i = 0; i < n; i += kLanes) {                                          \
      const Vec slope = derivative<Unary::name, kRough>(d, load_number(x + i, n - i)); \
      store_some(hn::Mul(load_some(dy + i, n - i), slope), dx + i, n - i);             \
    }                                                                                  \
    return
    OCELLI_CASE(neg);
    OCELLI_CASE(abs);
    OCELLI_CASE(exp);
    OCELLI_CASE(log);
    OCELLI_CASE(sqrt);
    OCELLI_CASE(rsqrt);
    OCELLI_CASE(square);
    OCELLI_CASE(sigmoid);
    OCELLI_CASE(tanh);
    OCELLI_CASE(relu);
    OCELLI_CASE(relu6);
    OCELLI_CASE(silu);
    OCELLI_CASE(gelu);
    OCELLI_CASE(gelu_tanh);
    OCELLI_CASE(quick_gelu);
    OCELLI_CASE(hardswish);
#undef OCELLI_CASE
  }
}

void unary_backward_row_f32(Unary kind, int64_t n, const float* dy, const float* x, float* dx) {
  unary_backward_row(kind, n, dy, x, dx);
}
void unary_backward_row_bf16(Unary kind, int64_t n, const float* dy, const uint16_t* x, float* dx) {
  unary_backward_row(kind, n, dy, x, dx);
}

void round_row(const float* x, int64_t n, uint16_t* y) {
  round_rows_here()(x, n, 1, n, y, n);
}
void widen_row(const uint16_t* x, int64_t n, float* y) {
  row_to_f32(x, n, y);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(unary_row);
HWY_EXPORT(binary_row);
HWY_EXPORT(unary_backward_row_f32);
HWY_EXPORT(unary_backward_row_bf16);
HWY_EXPORT(round_row);
HWY_EXPORT(widen_row);

void Cpu::copy(const View& y, const View& x) const {
  if (x.dtype != y.dtype) {
    const bool rounds = x.dtype == DType::f32 && y.dtype == DType::bf16,
               widens = x.dtype == DType::bf16 && y.dtype == DType::f32;
    if ((rounds || widens) && Tensor::borrow(x).is_contiguous() &&
        Tensor::borrow(y).is_contiguous()) {
      return parallel_for(x.shape.numel(), 16384, [&](int64_t begin, int64_t end) {
        if (rounds) {
          HWY_DYNAMIC_DISPATCH(round_row)
          (x.as<float>() + begin, end - begin, y.as<uint16_t>() + begin);
        } else {
          HWY_DYNAMIC_DISPATCH(widen_row)
          (x.as<uint16_t>() + begin, end - begin, y.as<float>() + begin);
        }
      });
    }
    if (Tensor::borrow(y).is_contiguous()) {
      const Tensor converted = to(Tensor::borrow(x), y.dtype);
      if (converted.nbytes()) std::memcpy(y.data, converted.raw(), converted.nbytes());
      return;
    }
    return Reference::copy(y, x);
  }
  const Strided<2> walk(y.shape, {&y.strides, &x.strides});
  const auto size = static_cast<int64_t>(dtype_size(x.dtype));
  const int64_t n = walk.inner(), into = walk.inner_stride(0), from = walk.inner_stride(1);
  walk.for_each_row([&](const std::array<int64_t, 2>& offset) {
    char* target = y.as<char>() + offset[0] * size;
    const char* source = x.as<const char>() + offset[1] * size;
    if (into == 1 && from == 1) {
      std::memcpy(target, source, static_cast<size_t>(n * size));
    } else if (size == 4) {
      auto* t = reinterpret_cast<uint32_t*>(target);
      const auto* s = reinterpret_cast<const uint32_t*>(source);
      for (int64_t i = 0; i < n; ++i) t[i * into] = s[i * from];
    } else {
      for (int64_t i = 0; i < n; ++i) {
        std::memcpy(target + i * into * size, source + i * from * size, static_cast<size_t>(size));
      }
    }
  });
}

void Cpu::unary(Unary kind, const View& y, const View& x) const {
  const Strided<2> walk(y.shape, {&y.strides, &x.strides});
  if (walk.inner_stride(0) != 1 || walk.inner_stride(1) != 1) return Reference::unary(kind, y, x);
  // A single long row is cut so that threads share it.
  if (walk.shape.rank() == 1) {
    return parallel_for(walk.inner(), 16384, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(unary_row)
      (kind, end - begin, x.as<float>() + begin, y.as<float>() + begin);
    });
  }
  walk.for_each_row([&](const std::array<int64_t, 2>& offset) {
    HWY_DYNAMIC_DISPATCH(unary_row)
    (kind, walk.inner(), x.as<float>() + offset[1], y.as<float>() + offset[0]);
  });
}

void Cpu::unary_backward(Unary kind, const View& dx, const View& dy, const View& x) const {
  const Strided<3> walk(dx.shape, {&dx.strides, &dy.strides, &x.strides});
  for (size_t v = 0; v < 3; ++v) {
    if (walk.inner_stride(v) != 1) return Reference::unary_backward(kind, dx, dy, x);
  }
  const auto row = [&](int64_t n, int64_t into, int64_t given, int64_t at) {
    const float* from = dy.as<float>() + given;
    if (x.dtype == DType::bf16) {
      HWY_DYNAMIC_DISPATCH(unary_backward_row_bf16)
      (kind, n, from, x.as<uint16_t>() + at, dx.as<float>() + into);
    } else {
      HWY_DYNAMIC_DISPATCH(unary_backward_row_f32)
      (kind, n, from, x.as<float>() + at, dx.as<float>() + into);
    }
  };
  if (walk.shape.rank() == 1) {
    return parallel_for(walk.inner(), 16384,
                        [&](int64_t begin, int64_t end) { row(end - begin, begin, begin, begin); });
  }
  walk.for_each_row([&](const std::array<int64_t, 3>& offset) {
    row(walk.inner(), offset[0], offset[1], offset[2]);
  });
}

void Cpu::binary(Binary kind, const View& y, const View& a, const View& b) const {
  const Strided<3> walk(y.shape, {&y.strides, &a.strides, &b.strides});
  const int64_t sa = walk.inner_stride(1), sb = walk.inner_stride(2);
  if (walk.inner_stride(0) != 1 || sa < 0 || sa > 1 || sb < 0 || sb > 1) {
    return Reference::binary(kind, y, a, b);
  }
  const auto row = [&](int64_t n, const float* p, const float* q, float* into) {
    HWY_DYNAMIC_DISPATCH(binary_row)(kind, n, p, sa, q, sb, into);
  };
  if (walk.shape.rank() == 1) {
    return parallel_for(walk.inner(), 16384, [&](int64_t begin, int64_t end) {
      row(end - begin, a.as<float>() + begin * sa, b.as<float>() + begin * sb,
          y.as<float>() + begin);
    });
  }
  walk.for_each_row([&](const std::array<int64_t, 3>& offset) {
    row(walk.inner(), a.as<float>() + offset[1], b.as<float>() + offset[2],
        y.as<float>() + offset[0]);
  });
}

void Cpu::gather(const View& y, const View& table, const View& indices) const {
  const Tensor rows = Tensor::borrow(table), into = Tensor::borrow(y);
  if (!into.is_contiguous() || !rows.is_contiguous()) return Reference::gather(y, table, indices);
  const auto bytes =
      static_cast<size_t>(table.shape[0] ? rows.nbytes() / static_cast<size_t>(table.shape[0]) : 0);
  for (int64_t i = 0; i < y.shape[0]; ++i) {
    const auto row = static_cast<size_t>(indices.as<int32_t>()[i * indices.strides[0]]);
    std::memcpy(y.as<char>() + static_cast<size_t>(i) * bytes, table.as<char>() + row * bytes,
                bytes);
  }
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
