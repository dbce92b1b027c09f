#include "ocelli/ops/attention.h"

#include <cmath>

#include "ocelli/backend/backend.h"
#include "ocelli/ops/flops.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

namespace {

thread_local AttentionObserver* observer = nullptr;

void check_queries(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  check(q.rank() == 4 && k.rank() == 4 && k.size(0) == q.size(0) && k.size(2) == q.size(2) &&
            k.size(3) == q.size(3),
        "attention: q is {} but k is {}", q.shape(), k.shape());
  const int64_t batch = q.size(0), nq = q.size(1), heads = q.size(2), nk = k.size(1);
  const Tensor& mask = options.key_mask;
  check(!mask.defined() || (mask.shape() == Shape{batch, nk} && mask.dtype() == DType::u8),
        "attention: key_mask is {} {} for {} keys in a batch of {}", mask.dtype(), mask.shape(), nk,
        batch);
  const Tensor& bias = options.bias;
  check(!bias.defined() || (bias.rank() == 4 && (bias.size(0) == 1 || bias.size(0) == batch) &&
                            (bias.size(1) == 1 || bias.size(1) == heads) && bias.size(2) == nq &&
                            bias.size(3) == nk),
        "attention: bias is {} for scores [{}, {}, {}, {}]", bias.shape(), batch, heads, nq, nk);
}

// The options as a backend takes them; the views live as long as this.
struct Arguments {
  View mask, bias;
  backend::Attention params;

  Arguments(const Tensor& q, const AttentionOptions& options)
      : mask(options.key_mask), bias(options.bias) {
    params.scale =
        options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<float>(q.size(3)));
    params.causal = options.causal;
    if (options.key_mask.defined()) params.key_mask = &mask;
    if (options.bias.defined()) params.bias = &bias;
  }
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
};

// The gradients of q, k and v: where those are the thirds of a memory [B, N, 3, H, D], of it.
struct HeadGradients {
  Tensor q, k, v, qkv;
  Place qkv_at;

  HeadGradients(const Tensor& q_, const Tensor& k_, const Tensor& v_) {
    const Shape& s = q_.shape();
    const Tensor all = Tensor::empty({s[0], s[1], 3, s[2], s[3]});
    if (is_third(q_, 0, q_, all) && is_third(k_, 1, q_, all) && is_third(v_, 2, q_, all)) {
      qkv = all;
      qkv_at = all;
      qkv_at.memory = Place(q_).memory;
      q = all.select(2, 0), k = all.select(2, 1), v = all.select(2, 2);
    } else {
      q = Tensor::empty(q_.shape()), k = Tensor::empty(k_.shape()), v = Tensor::empty(v_.shape());
    }
  }

  void add(const Tensor& q_, const Tensor& k_, const Tensor& v_, Gradients& gradients) const {
    if (qkv.defined()) return gradients.add(qkv_at, qkv);
    gradients.add(q_, q);
    gradients.add(k_, k);
    gradients.add(v_, v);
  }

 private:
  static bool is_third(const Tensor& x, int64_t i, const Tensor& first, const Tensor& all) {
    const Place at = x, start = first;
    const Tensor third = all.select(2, i);
    const bool same =
        !at.memory.owner_before(start.memory) && !start.memory.owner_before(at.memory);
    return same && at.memory_numel == all.numel() && at.shape == third.shape() &&
           at.strides == third.strides() && at.offset == Place(third).offset;
  }
};

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options) {
  check_queries(q, k, options);
  const int64_t batch = q.size(0), nq = q.size(1), heads = q.size(2), nk = k.size(1);
  check(v.rank() == 4 && v.shape() == Shape({batch, nk, heads, v.size(3)}),
        "attention: q is {} and k {} but v is {}", q.shape(), k.shape(), v.shape());
  check(k.dtype() == q.dtype() && v.dtype() == q.dtype() &&
            (q.dtype() == DType::f32 || q.dtype() == DType::bf16),
        "attention: q is {}, k {} and v {}", q.dtype(), k.dtype(), v.dtype());
  if (observer) observer->observe_(observer->calls_++, q, k, options);
  const Tensor y = Tensor::empty({batch, nq, heads, v.size(3)}, q.dtype());
  count_flops(2 * batch * heads * nq * nk * (q.size(3) + v.size(3)));
  backend::current().attention(y, q, k, v, Arguments(q, options).params);
  if (Tape* tape = Tape::recording({&q, &k, &v, &options.bias})) {
    tape->record("attention", y, [=](const Tensor& dy, Gradients& gradients) {
      const HeadGradients d(q, k, v);
      const bool bias = gradients.wants(options.bias);
      const Tensor dbias = bias ? Tensor::empty({batch, heads, nq, nk}) : Tensor();
      const View dbias_view = dbias;
      backend::current().attention_backward(d.q, d.k, d.v, bias ? &dbias_view : nullptr, dy, q, k,
                                            v, Arguments(q, options).params);
      if (bias) gradients.add(options.bias.expand(dbias.shape()), dbias);
      d.add(q, k, v, gradients);
    });
  }
  return y;
}

Tensor attention_weights(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  check_queries(q, k, options);
  Tape::refuse("attention_weights", {&q, &k});
  const Tensor y = Tensor::empty({q.size(0), q.size(2), q.size(1), k.size(1)});
  backend::current().attention_weights(y, to(q, DType::f32), to(k, DType::f32),
                                       Arguments(q, options).params);
  return y;
}

AttentionObserver::AttentionObserver(Observe observe)
    : observe_(std::move(observe)), outer_(observer) {
  observer = this;
}
AttentionObserver::~AttentionObserver() {
  observer = outer_;
}
bool AttentionObserver::is_watching() {
  return observer != nullptr;
}

}  // namespace ocelli
