// The gradients of the optional operations, from the required ones.
#include "ocelli/backend/backend.h"
#include "ocelli/backend/rows.h"

namespace ocelli::backend {
namespace {

// [..., C] as rows, which it may have to be copied for.
Tensor compact(const Backend& backend, const View& x) {
  const Tensor t = Tensor::borrow(x);
  if (t.is_contiguous()) return t;
  const Tensor y = Tensor::empty(x.shape);
  backend.copy(y, x);
  return y;
}

// y[c] = sum of x[..., c]
void sum_rows(const Backend& backend, const View& y, const Tensor& x) {
  const int64_t columns = x.size(-1);
  if (columns == 0) return;
  backend.reduce(Reduce::sum, y, x.view({x.numel() / columns, columns}).transpose(0, 1));
}

}  // namespace

// With n = (x - mean) / s, s = sqrt(var + eps), g = dy * weight:
// dx = (g - mean(g) - n mean(g n)) / s,  dweight = sum dy n,  dbias = sum dy
void Backend::layer_norm_backward(const View& dx, const View* dweight, const View* dbias,
                                  const View& dy, const View& x, const View* weight,
                                  float eps) const {
  const Shape rows = without_last(x.shape);
  const Tensor n = Tensor::empty(x.shape), product = Tensor::empty(x.shape);
  const Tensor mean = Tensor::empty(rows), rate = Tensor::empty(rows);
  reduce(Reduce::mean, mean, x);
  binary(Binary::sub, n, x, spread(mean, x.shape));
  unary(Unary::square, product, n);
  reduce(Reduce::mean, rate, product);
  binary(Binary::add, rate, rate, Tensor::full({}, eps).expand(rows));
  unary(Unary::rsqrt, rate, rate);
  binary(Binary::mul, n, n, spread(rate, x.shape));
  if (dbias) sum_rows(*this, *dbias, compact(*this, dy));
  binary(Binary::mul, product, dy, n);
  if (dweight) sum_rows(*this, *dweight, product);
  const Tensor g = Tensor::empty(x.shape);
  copy(g, dy);
  if (weight) binary(Binary::mul, g, g, broadcast(*weight, x.shape));
  reduce(Reduce::mean, mean, g);
  binary(Binary::mul, product, g, n);
  binary(Binary::sub, g, g, spread(mean, x.shape));
  reduce(Reduce::mean, mean, product);
  binary(Binary::mul, n, n, spread(mean, x.shape));
  binary(Binary::sub, g, g, n);
  binary(Binary::mul, dx, g, spread(rate, x.shape));
}

// With n = x / s, s = sqrt(mean(x^2) + eps), g = dy * weight:
// dx = (g - n mean(g n)) / s,  dweight = sum dy n
void Backend::rms_norm_backward(const View& dx, const View* dweight, const View& dy, const View& x,
                                const View* weight, float eps) const {
  const Shape rows = without_last(x.shape);
  const Tensor n = Tensor::empty(x.shape), product = Tensor::empty(x.shape);
  const Tensor mean = Tensor::empty(rows), rate = Tensor::empty(rows);
  unary(Unary::square, product, x);
  reduce(Reduce::mean, rate, product);
  binary(Binary::add, rate, rate, Tensor::full({}, eps).expand(rows));
  unary(Unary::rsqrt, rate, rate);
  binary(Binary::mul, n, x, spread(rate, x.shape));
  binary(Binary::mul, product, dy, n);
  if (dweight) sum_rows(*this, *dweight, product);
  const Tensor g = Tensor::empty(x.shape);
  copy(g, dy);
  if (weight) binary(Binary::mul, g, g, broadcast(*weight, x.shape));
  binary(Binary::mul, product, g, n);
  reduce(Reduce::mean, mean, product);
  binary(Binary::mul, n, n, spread(mean, x.shape));
  binary(Binary::sub, g, g, n);
  binary(Binary::mul, dx, g, spread(rate, x.shape));
}

// With p = softmax(scale q k^T + ...):  dv = p^T dy,  dp = dy v^T,
// ds = dbias = p (dp - sum_j p dp),  dq = scale ds k,  dk = scale ds^T q
void Backend::attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                                 const View& dy, const View& q, const View& k, const View& v,
                                 const Attention& params) const {
  const Shape shape = {q.shape[0], q.shape[2], q.shape[1], k.shape[1]};
  const Tensor p = Tensor::empty(shape), dp = Tensor::empty(shape), products = Tensor::empty(shape);
  const Tensor total = Tensor::empty(without_last(shape));
  const auto heads_first = [](const View& t) { return Tensor::borrow(t).permute({0, 2, 1, 3}); };
  attention_weights(p, q, k, params);
  gemm(heads_first(dv), p.transpose(2, 3), heads_first(dy), 1);
  gemm(dp, heads_first(dy), heads_first(v).transpose(2, 3), 1);
  binary(Binary::mul, products, p, dp);
  reduce(Reduce::sum, total, products);
  binary(Binary::sub, dp, dp, spread(total, shape));
  binary(Binary::mul, dp, dp, p);
  if (dbias) copy(*dbias, dp);
  gemm(heads_first(dq), dp, heads_first(k), params.scale);
  gemm(heads_first(dk), dp.transpose(2, 3), heads_first(q), params.scale);
}

// With dz = dy activation'(z), z the sums:  dx = dz W,  dweight = dz^T x,  dbias = sum dz
void Backend::linear_backward(const View* dx, const View* dweight, const View* dbias,
                              const View& dy, const View& x, const View& weight,
                              const Epilogue& epilogue) const {
  if (epilogue.activation) unary_backward(*epilogue.activation, *epilogue.sums, dy, *epilogue.sums);
  const Tensor dz = Tensor::borrow(epilogue.activation ? *epilogue.sums : dy);
  if (dbias) sum_rows(*this, *dbias, dz);
  if (dweight) gemm(*dweight, dz.transpose(0, 1), x, 1);
  if (dx) gemm(*dx, dz, weight, 1);
}

// Tap by tap: at (r, s) the kernel multiplies the pixels [i * stride + r * dilation - padding, ...]
// of x that it has for the output (i, j); those lie in a view of x with zeros around it.
//   dweight[:, :, r, s] = dy^T x_rs,  dx_rs += dy weight[:, :, r, s]
void Backend::conv2d_backward(const View* dx, const View* dweight, const View& dy, const View& x,
                              const View& weight, const Conv2d& p) const {
  const int64_t top = p.padding[0], left = p.padding[1], bottom = p.padding[2];
  const int64_t right = p.padding[3];
  const int64_t batch = x.shape[0], height = x.shape[1], width = x.shape[2];
  const int64_t rows = dy.shape[1], columns = dy.shape[2], pixels = batch * rows * columns;
  const int64_t out = weight.shape[0] / p.groups, in = weight.shape[1];
  if (pixels == 0) {
    const Tensor zero = Tensor::zeros({});
    if (dx) copy(*dx, zero.expand(dx->shape));
    if (dweight) copy(*dweight, zero.expand(dweight->shape));
    return;
  }
  const Shape wide = {batch, height + top + bottom, width + left + right, x.shape[3]};
  const auto inside = [&](const Tensor& t) {
    return t.slice(1, top, top + height).slice(2, left, left + width);
  };
  const Tensor padded = Tensor::zeros(wide), sums = dx ? Tensor::zeros(wide) : Tensor();
  copy(inside(padded), x);
  const Tensor taps = Tensor::empty({batch, rows, columns, in}),
               given = Tensor::empty({pixels, out});
  for (int64_t g = 0; g < p.groups; ++g) {
    copy(given.view({batch, rows, columns, out}),
         Tensor::borrow(dy).slice(3, g * out, (g + 1) * out));
    for (int64_t r = 0; r < weight.shape[2]; ++r) {
      for (int64_t s = 0; s < weight.shape[3]; ++s) {
        const auto reached = [&](const Tensor& t) {
          const int64_t y0 = r * p.dilation[0], x0 = s * p.dilation[1];
          return t.slice(1, y0, y0 + (rows - 1) * p.stride[0] + 1, p.stride[0])
              .slice(2, x0, x0 + (columns - 1) * p.stride[1] + 1, p.stride[1])
              .slice(3, g * in, (g + 1) * in);
        };
        const auto tap = [&](const View& w) {
          return Tensor::borrow(w).slice(0, g * out, (g + 1) * out).select(3, s).select(2, r);
        };
        if (dweight) {
          copy(taps, reached(padded));
          gemm(tap(*dweight), given.transpose(0, 1), taps.view({pixels, in}), 1);
        }
        if (!dx) continue;
        gemm(taps.view({pixels, in}), given, tap(weight), 1);
        binary(Binary::add, reached(sums), reached(sums), taps);
      }
    }
  }
  if (dx) copy(*dx, inside(sums));
}

}  // namespace ocelli::backend
