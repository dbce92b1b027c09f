// Element by element, with NumPy's broadcasting; f32.
#pragma once

#include "ocelli/backend/backend.h"

namespace ocelli {

Tensor unary(backend::Unary kind, const Tensor& x);
Tensor binary(backend::Binary kind, const Tensor& a, const Tensor& b);

inline Tensor gelu(const Tensor& x) {
  return unary(backend::Unary::gelu, x);
}  // exact, by erf
inline Tensor gelu_tanh(const Tensor& x) {
  return unary(backend::Unary::gelu_tanh, x);
}
inline Tensor quick_gelu(const Tensor& x) {
  return unary(backend::Unary::quick_gelu, x);
}
inline Tensor silu(const Tensor& x) {
  return unary(backend::Unary::silu, x);
}
inline Tensor relu(const Tensor& x) {
  return unary(backend::Unary::relu, x);
}
inline Tensor relu6(const Tensor& x) {
  return unary(backend::Unary::relu6, x);
}
inline Tensor sigmoid(const Tensor& x) {
  return unary(backend::Unary::sigmoid, x);
}
inline Tensor tanh(const Tensor& x) {
  return unary(backend::Unary::tanh, x);
}
inline Tensor exp(const Tensor& x) {
  return unary(backend::Unary::exp, x);
}

inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return binary(backend::Binary::add, a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return binary(backend::Binary::sub, a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return binary(backend::Binary::mul, a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return binary(backend::Binary::div, a, b);
}
Tensor operator*(const Tensor& a, float b);
Tensor operator+(const Tensor& a, float b);

}  // namespace ocelli
