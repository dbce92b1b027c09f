// Vector functions that Highway 1.0.3 lacks.

#if defined(OCELLI_BACKEND_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef OCELLI_BACKEND_CPU_MATH_INL_H_
#undef OCELLI_BACKEND_CPU_MATH_INL_H_
#else
#define OCELLI_BACKEND_CPU_MATH_INL_H_
#endif

#include "hwy/highway.h"
#include "ocelli/backend/backend.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln(2) / 2; a degree-6 polynomial for e^r.
// Relative error below 2e-7 on [-87, 88]; below, exp(-87) ~ 1e-38; above, infinity.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V fast_exp(D d, V x) {
  const hn::Rebind<int32_t, D> di;
  const V over = x;
  x = hn::Min(hn::Max(x, hn::Set(d, -87.3f)), hn::Set(d, 88.72f));
  const V n = hn::Round(hn::Mul(x, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), hn::Set(d, 1.0f));
  // Two halves of the exponent, so that 2^128 is reached without overflow on the way.
  const auto e = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(e);
  const auto pow2 = [&](auto k) HWY_ATTR {
    return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
  };
  const V y = hn::Mul(hn::Mul(p, pow2(half)), pow2(hn::Sub(e, half)));
  // NaN and infinity go through.
  return hn::IfThenElse(hn::Gt(hn::Set(d, 88.72f), over), y, hn::Add(over, y));
}

// kRough functions are for results that are rounded to bf16, whose own step is 4e-3.

// 2^x for x <= 0, which is 0 below -126: 2^n 2^r with n = round(x), and a polynomial for 2^r.
// Relative error below 3e-7; rough, 8e-5. Adding 1.5 * 2^23 rounds and leaves n in the low bits.
template <bool kRough = false, class D, class V = hn::Vec<D>>
HWY_INLINE V exp2_of_negative(D d, V x) {
  const hn::Rebind<int32_t, D> di;
  const V magic = hn::Set(d, 12582912.0f);
  const V rounded = hn::Add(x, magic);
  const V r = hn::Sub(x, hn::Sub(rounded, magic));
  V p;
  if constexpr (kRough) {
    p = hn::MulAdd(hn::Set(d, 5.517043e-2f), r, hn::Set(d, 2.426094e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 6.9326102e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 9.9992819e-1f));
  } else {
    p = hn::MulAdd(hn::Set(d, 1.32764725e-3f), r, hn::Set(d, 9.67554096e-3f));
    p = hn::MulAdd(p, r, hn::Set(d, 5.55071309e-2f));
    p = hn::MulAdd(p, r, hn::Set(d, 2.40221202e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 6.93146944e-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  }
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, rounded));
  const V y = hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -126.0f)), y);
}

// a / b, rough to 4e-4.
template <bool kRough, class V>
HWY_INLINE V quotient(V a, V b) {
  if constexpr (kRough) return hn::Mul(a, hn::ApproximateReciprocal(b));
  return hn::Div(a, b);
}

template <bool kRough = false, class D, class V = hn::Vec<D>>
HWY_INLINE V sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return quotient<kRough>(one, hn::Add(one, fast_exp(d, hn::Neg(x))));
}

// erf(x) ~ x P(x^2) / Q(x^2) on [-3.92, 3.92], beyond which float's erf is 1; error below 9e-7.
// Coefficients fitted by tools/fit_erf.py.
template <bool kRough = false, class D, class V = hn::Vec<D>>
HWY_INLINE V erf(D d, V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -3.92f)), hn::Set(d, 3.92f));
  const V s = hn::Mul(x, x);
  V p = hn::MulAdd(s, hn::Set(d, -1.440853616e-06f), hn::Set(d, 2.534663961e-04f));
  V q = hn::MulAdd(s, hn::Set(d, 2.364957033e-03f), hn::Set(d, 2.805306892e-02f));
  p = hn::MulAdd(p, s, hn::Set(d, 1.012155737e-02f));
  q = hn::MulAdd(q, s, hn::Set(d, 1.822933797e-01f));
  p = hn::MulAdd(p, s, hn::Set(d, 7.235685980e-02f));
  q = hn::MulAdd(q, s, hn::Set(d, 6.545185313e-01f));
  p = hn::MulAdd(p, s, hn::Set(d, 3.624040779e-01f));
  q = hn::MulAdd(q, s, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, s, hn::Set(d, 1.128382047e+00f));
  return quotient<kRough>(hn::Mul(x, p), q);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V tanh(D d, V x) {
  // tanh(x) = 1 - 2 / (e^2x + 1); near 0 its own series, where the difference would cancel.
  const V one = hn::Set(d, 1.0f), two = hn::Set(d, 2.0f);
  const V large = hn::Sub(one, hn::Div(two, hn::Add(fast_exp(d, hn::Add(x, x)), one)));
  const V s = hn::Mul(x, x);
  V p = hn::MulAdd(s, hn::Set(d, 62.0f / 2835), hn::Set(d, -17.0f / 315));
  p = hn::MulAdd(p, s, hn::Set(d, 2.0f / 15));
  p = hn::MulAdd(p, s, hn::Set(d, -1.0f / 3));
  const V small = hn::MulAdd(hn::Mul(p, s), x, x);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0.25f)), small, large);
}

// The formulas of Unary, for one vector.
template <Unary kKind, bool kRough = false, class D, class V = hn::Vec<D>>
HWY_INLINE V apply(D d, V x) {
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  if constexpr (kKind == Unary::neg) return hn::Neg(x);
  if constexpr (kKind == Unary::abs) return hn::Abs(x);
  if constexpr (kKind == Unary::exp) return fast_exp(d, x);
  if constexpr (kKind == Unary::sqrt) return hn::Sqrt(x);
  if constexpr (kKind == Unary::rsqrt) return hn::Div(one, hn::Sqrt(x));
  if constexpr (kKind == Unary::square) return hn::Mul(x, x);
  if constexpr (kKind == Unary::sigmoid) return sigmoid<kRough>(d, x);
  if constexpr (kKind == Unary::tanh) return tanh(d, x);
  // Written so that NaN stays NaN.
  if constexpr (kKind == Unary::relu) return hn::IfThenElse(hn::Lt(x, zero), zero, x);
  if constexpr (kKind == Unary::relu6) {
    const V six = hn::Set(d, 6.0f);
    const V low = hn::IfThenElse(hn::Lt(x, zero), zero, x);
    return hn::IfThenElse(hn::Gt(low, six), six, low);
  }
  if constexpr (kKind == Unary::silu) return hn::Mul(x, sigmoid<kRough>(d, x));
  if constexpr (kKind == Unary::gelu) {
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    return hn::MulAdd(half, erf<kRough>(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
  }
  if constexpr (kKind == Unary::gelu_tanh) {
    // 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    const V cubic =
        hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715f * 1.59576912f), hn::Set(d, 1.59576912f));
    return hn::Mul(x, sigmoid<kRough>(d, hn::Mul(x, cubic)));
  }
  if constexpr (kKind == Unary::quick_gelu) {
    return hn::Mul(x, sigmoid<kRough>(d, hn::Mul(x, hn::Set(d, 1.702f))));
  }
  if constexpr (kKind == Unary::hardswish) {
    const V shifted = hn::Add(x, hn::Set(d, 3.0f));
    const V gate = hn::Min(hn::Max(shifted, zero), hn::Set(d, 6.0f));
    return hn::Mul(hn::Mul(x, gate), hn::Set(d, 1.0f / 6));
  }
}

// The derivatives of Unary's formulas, for one vector; at a corner, PyTorch's choice.
template <Unary kKind, bool kRough = false, class D, class V = hn::Vec<D>>
HWY_INLINE V derivative(D d, V x) {
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  // s (1 + c x (1 - s)) with s = sigmoid(c x), the derivative of x sigmoid(c x)
  const auto gated = [&](V s, V slope) HWY_ATTR {
    return hn::Mul(s, hn::MulAdd(hn::Mul(x, slope), hn::Sub(one, s), one));
  };
  if constexpr (kKind == Unary::neg) return hn::Set(d, -1.0f);
  if constexpr (kKind == Unary::abs)
    return hn::IfThenElse(hn::Eq(x, zero), zero, hn::CopySign(one, x));
  if constexpr (kKind == Unary::exp) return fast_exp(d, x);
  if constexpr (kKind == Unary::log) return hn::Div(one, x);
  if constexpr (kKind == Unary::sqrt) return hn::Div(half, hn::Sqrt(x));
  if constexpr (kKind == Unary::rsqrt) return hn::Div(hn::Set(d, -0.5f), hn::Mul(x, hn::Sqrt(x)));
  if constexpr (kKind == Unary::square) return hn::Add(x, x);
  if constexpr (kKind == Unary::sigmoid) {
    const V s = sigmoid<kRough>(d, x);
    return hn::Mul(s, hn::Sub(one, s));
  }
  if constexpr (kKind == Unary::tanh) {
    const V t = tanh(d, x);
    return hn::NegMulAdd(t, t, one);
  }
  if constexpr (kKind == Unary::relu) return hn::IfThenElse(hn::Gt(x, zero), one, zero);
  if constexpr (kKind == Unary::relu6) {
    return hn::IfThenElse(hn::And(hn::Gt(x, zero), hn::Lt(x, hn::Set(d, 6.0f))), one, zero);
  }
  if constexpr (kKind == Unary::silu) return gated(sigmoid<kRough>(d, x), one);
  if constexpr (kKind == Unary::quick_gelu) {
    const V slope = hn::Set(d, 1.702f);
    return gated(sigmoid<kRough>(d, hn::Mul(x, slope)), slope);
  }
  if constexpr (kKind == Unary::gelu) {
    // Phi(x) + x phi(x)
    const V below = hn::MulAdd(half, erf<kRough>(d, hn::Mul(x, hn::Set(d, 0.70710678f))), half);
    const V s = hn::Mul(x, x);
    const V density = kRough ? exp2_of_negative<true>(d, hn::Mul(s, hn::Set(d, -0.72134752f)))
                             : fast_exp(d, hn::Mul(s, hn::Set(d, -0.5f)));
    return hn::MulAdd(hn::Mul(x, hn::Set(d, 0.39894228f)), density, below);
  }
  if constexpr (kKind == Unary::gelu_tanh) {
    // x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3)
    const V s = hn::Mul(x, x), c = hn::Set(d, 1.59576912f);
    const V cubic = hn::MulAdd(s, hn::Set(d, 0.044715f * 1.59576912f), c);
    const V slope = hn::MulAdd(s, hn::Set(d, 3 * 0.044715f * 1.59576912f), c);
    return gated(sigmoid<kRough>(d, hn::Mul(x, cubic)), slope);
  }
  if constexpr (kKind == Unary::hardswish) {
    const V three = hn::Set(d, 3.0f);
    const V middle = hn::Mul(hn::MulAdd(x, hn::Set(d, 2.0f), three), hn::Set(d, 1.0f / 6));
    return hn::IfThenElse(hn::Lt(hn::Abs(x), three), middle,
                          hn::IfThenElse(hn::Gt(x, zero), one, zero));
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
