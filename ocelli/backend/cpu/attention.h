// A head of attention on plain pointers.
#pragma once

#include "ocelli/backend/backend.h"
#include "ocelli/tensor/convert.h"

namespace ocelli::backend {

// One head of one image; T is float, or uint16_t for bf16.
template <class T>
struct Head {
  const T *q, *k, *v;  // rows q_row, k_row, v_row apart
  T* y;
  int64_t q_row, k_row, v_row, y_row;
  int64_t nq, nk, d, dv;
  float scale;
  bool causal;
  const uint8_t* mask;  // [nk] or null
  int64_t mask_step;
  const float* bias;  // [nq, nk] rows bias_row apart, or null
  int64_t bias_row, bias_step;
};

// Rows must be compact: the innermost stride is 1.
inline Tensor compact_rows(const View& view) {
  const Tensor t = Tensor::borrow(view);
  return view.strides[-1] == 1 || view.shape[-1] == 1 ? t : contiguous(t);
}

// Whether rows of bf16 can be read as words.
inline bool has_whole_words(const Tensor& t) {
  const Shape& s = t.strides();
  return t.size(3) % 2 == 0 && s[0] % 2 == 0 && s[1] % 2 == 0 && s[2] % 2 == 0;
}

template <class T>
Head<T> head_of(const View& y, const Tensor& q, const Tensor& k, const Tensor& v,
                const Attention& p, int64_t b, int64_t i) {
  Head<T> h{};
  const auto base = [&](const View& t) {
    return static_cast<T*>(t.data) + b * t.strides[0] + i * t.strides[2];
  };
  h.q = base(q), h.k = base(k), h.v = base(v), h.y = base(y);
  h.q_row = q.strides()[1], h.k_row = k.strides()[1], h.v_row = v.strides()[1];
  h.y_row = y.strides[1];
  h.nq = q.size(1), h.nk = k.size(1), h.d = q.size(3), h.dv = v.size(3);
  h.scale = p.scale;
  h.causal = p.causal;
  if (p.key_mask) {
    h.mask = p.key_mask->as<uint8_t>() + b * p.key_mask->strides[0];
    h.mask_step = p.key_mask->strides[1];
  }
  if (p.bias) {
    const View& t = *p.bias;
    h.bias = t.as<float>() + (t.shape[0] > 1 ? b * t.strides[0] : 0) +
             (t.shape[1] > 1 ? i * t.strides[1] : 0);
    h.bias_row = t.strides[2];
    h.bias_step = t.strides[3];
  }
  return h;
}

}  // namespace ocelli::backend
