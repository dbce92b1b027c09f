// One pass over memory for the update of a parameter, f32, for the instruction set at hand
// (Highway). Each function does [0, n) on the calling thread; optimizer.cpp splits the work.
#pragma once

#include <cstdint>

namespace ocelli::update {

// m += (1 - beta1) (g - m), v = beta2 v + (1 - beta2) g^2,
// p = decay p - step_size m / (sqrt(v) / correction + eps)
struct AdamW {
  float decay, one_minus_beta1, beta2, one_minus_beta2, correction, eps, step_size;
};
void adamw(const AdamW& c, int64_t n, float* p, const float* g, float* m, float* v);

// d = scale (g + weight_decay p), b = momentum b + (1 - dampening) d (the first time b = d),
// p -= lr (nesterov ? d + momentum b : b); without momentum p -= lr d, and b is not read.
struct Sgd {
  float weight_decay, scale, momentum, one_minus_dampening, lr;
  bool nesterov, first;
};
void sgd(const Sgd& c, int64_t n, float* p, const float* g, float* b);

// p = decay p - lr sign(m + (1 - beta1) (g - m)), m += (1 - beta2) (g - m)
struct Lion {
  float decay, one_minus_beta1, one_minus_beta2, lr;
};
void lion(const Lion& c, int64_t n, float* p, const float* g, float* m);

// a = momentum a + (1 - momentum) x
void average(float momentum, float one_minus_momentum, int64_t n, float* a, const float* x);

void scale(float factor, int64_t n, float* x);

// In double. Element i is added to the sum i mod 16, so that each instruction set gives the same.
double sum_of_squares(int64_t n, const float* x);

}  // namespace ocelli::update
