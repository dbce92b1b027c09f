#include "ocelli/ops/pool.h"

#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"

namespace ocelli {
namespace {

// PyTorch's rule: with ceil_mode the last window must start inside the input or the padding before.
int64_t output_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad, bool ceil_mode) {
  if (in + 2 * pad < kernel) return 0;
  const int64_t extra = ceil_mode ? stride - 1 : 0;
  int64_t out = (in + 2 * pad - kernel + extra) / stride + 1;
  if (ceil_mode && (out - 1) * stride >= in + pad) --out;
  return out;
}

Tensor pool(backend::Pool kind, const Tensor& x, const PoolOptions& o) {
  check(x.rank() == 4 && x.dtype() == DType::f32, "pool2d: x is {} {}", x.dtype(), x.shape());
  for (size_t i = 0; i < 2; ++i) {
    check(o.kernel[i] >= 1 && o.stride[i] >= 1 && o.padding[i] >= 0 &&
              2 * o.padding[i] <= o.kernel[i],
          "pool2d: kernel {}, stride {}, padding {}", o.kernel[i], o.stride[i], o.padding[i]);
  }
  const Tensor y = Tensor::empty(
      {x.size(0), output_size(x.size(1), o.kernel[0], o.stride[0], o.padding[0], o.ceil_mode),
       output_size(x.size(2), o.kernel[1], o.stride[1], o.padding[1], o.ceil_mode), x.size(3)});
  const backend::Pool2d params{kind,
                               o.kernel,
                               o.stride,
                               {o.padding[0], o.padding[1], o.padding[0], o.padding[1]},
                               o.count_include_pad};
  backend::current().pool2d(y, x, params);
  if (Tape* tape = Tape::recording({&x})) {
    tape->record("pool2d", y, [=](const Tensor& dy, Gradients& gradients) {
      const Tensor dx = Tensor::empty(x.shape());
      backend::current().pool2d_backward(dx, dy, x, params);
      gradients.add(x, dx);
    });
  }
  return y;
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const PoolOptions& options) {
  return pool(backend::Pool::max, x, options);
}

Tensor avg_pool2d(const Tensor& x, const PoolOptions& options) {
  return pool(backend::Pool::avg, x, options);
}

Tensor global_avg_pool(const Tensor& x) {
  check(x.rank() >= 3, "global_avg_pool: x is {}", x.shape());
  return mean(reshape(x, {x.size(0), -1, x.size(-1)}), 1);
}

}  // namespace ocelli
