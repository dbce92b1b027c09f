#include "ocelli/ops/attention.h"

#include <cmath>

#include "ocelli/backend/backend.h"
#include "ocelli/ops/flops.h"

namespace ocelli {

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options) {
  check(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "attention: q is {}, k {}, v {}",
        q.shape(), k.shape(), v.shape());
  const int64_t batch = q.size(0), nq = q.size(1), heads = q.size(2), nk = k.size(1);
  check(k.shape() == Shape({batch, nk, heads, q.size(3)}) &&
            v.shape() == Shape({batch, nk, heads, v.size(3)}),
        "attention: q is {} but k is {} and v is {}", q.shape(), k.shape(), v.shape());
  const Tensor& mask = options.key_mask;
  check(!mask.defined() || (mask.shape() == Shape{batch, nk} && mask.dtype() == DType::u8),
        "attention: key_mask is {} {} for {} keys in a batch of {}", mask.dtype(), mask.shape(), nk,
        batch);
  const Tensor& bias = options.bias;
  check(!bias.defined() ||
            (bias.rank() == 4 && (bias.size(0) == 1 || bias.size(0) == batch) &&
             (bias.size(1) == 1 || bias.size(1) == heads) && bias.size(2) == nq &&
             bias.size(3) == nk),
        "attention: bias is {} for scores [{}, {}, {}, {}]", bias.shape(), batch, heads, nq, nk);
  const Tensor y = Tensor::empty({batch, nq, heads, v.size(3)});
  count_flops(2 * batch * heads * nq * nk * (q.size(3) + v.size(3)));
  const View mask_view = mask, bias_view = bias;
  const float scale =
      options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<float>(q.size(3)));
  backend::current().attention(y, q, k, v,
                               {scale, options.causal, mask.defined() ? &mask_view : nullptr,
                                bias.defined() ? &bias_view : nullptr});
  return y;
}

}  // namespace ocelli
