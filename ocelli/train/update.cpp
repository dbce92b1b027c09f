#include "ocelli/train/update.h"

#include <cmath>

#include "ocelli/backend/backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/train/update.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::update::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using backend::HWY_NAMESPACE::kLanes;
using backend::HWY_NAMESPACE::load_some;
using backend::HWY_NAMESPACE::store_some;
using backend::HWY_NAMESPACE::Tag;
using backend::HWY_NAMESPACE::Vec;

// Calls body(i, lanes) for the vectors of [0, n).
template <class F>
HWY_INLINE void for_vectors(int64_t n, const F& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

// a + weight (b - a), from the end that is nearer, as torch.lerp does.
HWY_INLINE Vec lerp(Vec a, Vec b, float weight) {
  const Tag d;
  const Vec difference = hn::Sub(b, a);
  if (weight < 0.5f) return hn::MulAdd(hn::Set(d, weight), difference, a);
  return hn::MulAdd(hn::Set(d, weight - 1.0f), difference, b);
}

void adamw(const AdamW& c, int64_t n, float* p, const float* g, float* m, float* v) {
  const Tag d;
  const Vec decay = hn::Set(d, c.decay), beta2 = hn::Set(d, c.beta2), eps = hn::Set(d, c.eps);
  const Vec rest2 = hn::Set(d, c.one_minus_beta2), correction = hn::Set(d, c.correction);
  const Vec step = hn::Set(d, -c.step_size);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const Vec gradient = load_some(g + i, lanes);
    const Vec mean = lerp(load_some(m + i, lanes), gradient, c.one_minus_beta1);
    const Vec square =
        hn::MulAdd(hn::Mul(rest2, gradient), gradient, hn::Mul(load_some(v + i, lanes), beta2));
    const Vec below = hn::Add(hn::Div(hn::Sqrt(square), correction), eps);
    const Vec value = hn::Mul(load_some(p + i, lanes), decay);
    store_some(mean, m + i, lanes);
    store_some(square, v + i, lanes);
    store_some(hn::Add(value, hn::Div(hn::Mul(step, mean), below)), p + i, lanes);
  });
}

void sgd(const Sgd& c, int64_t n, float* p, const float* g, float* b) {
  const Tag d;
  const Vec weight_decay = hn::Set(d, c.weight_decay), scale = hn::Set(d, c.scale);
  const Vec momentum = hn::Set(d, c.momentum), rest = hn::Set(d, c.one_minus_dampening);
  const Vec lr = hn::Set(d, -c.lr);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const Vec value = load_some(p + i, lanes);
    Vec step = hn::Mul(hn::MulAdd(weight_decay, value, load_some(g + i, lanes)), scale);
    if (c.momentum != 0) {
      Vec buffer = step;
      if (!c.first) buffer = hn::MulAdd(rest, step, hn::Mul(load_some(b + i, lanes), momentum));
      store_some(buffer, b + i, lanes);
      step = c.nesterov ? hn::MulAdd(momentum, buffer, step) : buffer;
    }
    store_some(hn::MulAdd(lr, step, value), p + i, lanes);
  });
}

void lion(const Lion& c, int64_t n, float* p, const float* g, float* m) {
  const Tag d;
  const Vec decay = hn::Set(d, c.decay), lr = hn::Set(d, -c.lr);
  const Vec zero = hn::Zero(d), one = hn::Set(d, 1.0f);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const Vec gradient = load_some(g + i, lanes), mean = load_some(m + i, lanes);
    const Vec update = lerp(mean, gradient, c.one_minus_beta1);
    const Vec sign = hn::IfThenZeroElse(hn::Eq(update, zero), hn::CopySign(one, update));
    const Vec value = hn::Mul(load_some(p + i, lanes), decay);
    store_some(hn::MulAdd(lr, sign, value), p + i, lanes);
    store_some(lerp(mean, gradient, c.one_minus_beta2), m + i, lanes);
  });
}

void average(float momentum, float one_minus_momentum, int64_t n, float* a, const float* x) {
  const Tag d;
  const Vec keep = hn::Set(d, momentum), take = hn::Set(d, one_minus_momentum);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    const Vec kept = hn::Mul(load_some(a + i, lanes), keep);
    store_some(hn::MulAdd(take, load_some(x + i, lanes), kept), a + i, lanes);
  });
}

void scale(float factor, int64_t n, float* x) {
  const Vec by = hn::Set(Tag(), factor);
  for_vectors(n, [&](int64_t i, int64_t lanes) {
    store_some(hn::Mul(load_some(x + i, lanes), by), x + i, lanes);
  });
}

double sum_of_squares(int64_t n, const float* x) {
  constexpr int64_t kSums = 16;
  using Wide = hn::ScalableTag<double>;
  const Wide d;
  const hn::Rebind<float, Wide> narrow;
  constexpr auto kWide = static_cast<int64_t>(hn::MaxLanes(Wide()));
  hn::Vec<Wide> parts[kSums / kWide];
  for (auto& part : parts) part = hn::Zero(d);
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
#pragma GCC unroll 8
    for (int64_t s = 0; s < kSums / kWide; ++s) {
      const auto value = hn::PromoteTo(d, hn::LoadU(narrow, x + i + s * kWide));
      parts[s] = hn::MulAdd(value, value, parts[s]);
    }
  }
  HWY_ALIGN double sums[kSums];
  for (int64_t s = 0; s < kSums / kWide; ++s) hn::Store(parts[s], d, sums + s * kWide);
  for (int64_t s = 0; i < n; ++i, ++s) sums[s] += static_cast<double>(x[i]) * x[i];
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::update::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::update {

HWY_EXPORT(adamw);
HWY_EXPORT(sgd);
HWY_EXPORT(lion);
HWY_EXPORT(average);
HWY_EXPORT(scale);
HWY_EXPORT(sum_of_squares);

void adamw(const AdamW& c, int64_t n, float* p, const float* g, float* m, float* v) {
  backend::cpu();  // reads OCELLI_MAX_ISA, here and below
  HWY_DYNAMIC_DISPATCH(adamw)(c, n, p, g, m, v);
}

void sgd(const Sgd& c, int64_t n, float* p, const float* g, float* b) {
  backend::cpu();
  HWY_DYNAMIC_DISPATCH(sgd)(c, n, p, g, b);
}

void lion(const Lion& c, int64_t n, float* p, const float* g, float* m) {
  backend::cpu();
  HWY_DYNAMIC_DISPATCH(lion)(c, n, p, g, m);
}

void average(float momentum, float one_minus_momentum, int64_t n, float* a, const float* x) {
  backend::cpu();
  HWY_DYNAMIC_DISPATCH(average)(momentum, one_minus_momentum, n, a, x);
}

void scale(float factor, int64_t n, float* x) {
  backend::cpu();
  HWY_DYNAMIC_DISPATCH(scale)(factor, n, x);
}

double sum_of_squares(int64_t n, const float* x) {
  backend::cpu();
  return HWY_DYNAMIC_DISPATCH(sum_of_squares)(n, x);
}

}  // namespace ocelli::update
#endif  // HWY_ONCE
