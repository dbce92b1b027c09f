#include "ocelli/backend/reference/reference.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "ocelli/tensor/convert.h"

namespace ocelli::backend {
namespace {

double load(const View& x, int64_t offset) {
  switch (x.dtype) {
    case DType::f32: return x.as<float>()[offset];
    case DType::f16: return to_float(x.as<Half>()[offset]);
    case DType::bf16: return to_float(x.as<BFloat16>()[offset]);
    case DType::i8: return x.as<int8_t>()[offset];
    case DType::u8: return x.as<uint8_t>()[offset];
    case DType::i32: return x.as<int32_t>()[offset];
    case DType::i64: return static_cast<double>(x.as<int64_t>()[offset]);
  }
  return 0;
}

void store(const View& y, int64_t offset, double value) {
  switch (y.dtype) {
    case DType::f32: y.as<float>()[offset] = static_cast<float>(value); return;
    case DType::f16: y.as<Half>()[offset] = to_half(static_cast<float>(value)); return;
    case DType::bf16: y.as<BFloat16>()[offset] = to_bfloat16(static_cast<float>(value)); return;
    case DType::i8: y.as<int8_t>()[offset] = static_cast<int8_t>(value); return;
    case DType::u8: y.as<uint8_t>()[offset] = static_cast<uint8_t>(value); return;
    case DType::i32: y.as<int32_t>()[offset] = static_cast<int32_t>(value); return;
    case DType::i64: y.as<int64_t>()[offset] = static_cast<int64_t>(value); return;
  }
}

double evaluate(Unary kind, double x) {
  switch (kind) {
    case Unary::neg: return -x;
    case Unary::abs: return std::abs(x);
    case Unary::exp: return std::exp(x);
    case Unary::log: return std::log(x);
    case Unary::sqrt: return std::sqrt(x);
    case Unary::rsqrt: return 1 / std::sqrt(x);
    case Unary::square: return x * x;
    case Unary::sigmoid: return 1 / (1 + std::exp(-x));
    case Unary::tanh: return std::tanh(x);
    case Unary::relu: return x < 0 ? 0 : x;
    case Unary::relu6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case Unary::silu: return x / (1 + std::exp(-x));
    case Unary::gelu: return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
    case Unary::gelu_tanh:
      return 0.5 * x *
             (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Unary::quick_gelu: return x / (1 + std::exp(-1.702 * x));
    case Unary::hardswish: return x * std::min(std::max(x + 3, 0.0), 6.0) / 6;
  }
  return 0;
}

// At a corner, PyTorch's choice.
double derivative(Unary kind, double x) {
  const double y = evaluate(kind, x), s = 1 / (1 + std::exp(-x));
  switch (kind) {
    case Unary::neg: return -1;
    case Unary::abs: return x > 0 ? 1 : x < 0 ? -1 : 0;
    case Unary::exp: return y;
    case Unary::log: return 1 / x;
    case Unary::sqrt: return 0.5 / y;
    case Unary::rsqrt: return -0.5 * y / x;
    case Unary::square: return 2 * x;
    case Unary::sigmoid: return s * (1 - s);
    case Unary::tanh: return 1 - y * y;
    case Unary::relu: return x > 0 ? 1 : 0;
    case Unary::relu6: return x > 0 && x < 6 ? 1 : 0;
    case Unary::silu: return s * (1 + x * (1 - s));
    case Unary::gelu:
      return 0.5 * (1 + std::erf(x / std::numbers::sqrt2)) +
             x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    case Unary::gelu_tanh: {
      const double c = std::sqrt(2 / std::numbers::pi);
      const double t = std::tanh(c * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case Unary::quick_gelu: {
      const double q = 1 / (1 + std::exp(-1.702 * x));
      return q * (1 + 1.702 * x * (1 - q));
    }
    case Unary::hardswish: return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
  }
  return 0;
}

double evaluate(Binary kind, double a, double b) {
  switch (kind) {
    case Binary::add: return a + b;
    case Binary::sub: return a - b;
    case Binary::mul: return a * b;
    case Binary::div: return a / b;
    case Binary::maximum: return std::isnan(a) || a > b ? a : b;
    case Binary::minimum: return std::isnan(a) || a < b ? a : b;
  }
  return 0;
}

// The strides without the last dimension, to walk over rows.
Shape rows_of(const Shape& shape) {
  return Shape(std::span(shape.begin(), static_cast<size_t>(std::max(shape.rank() - 1, 0))));
}

}  // namespace

void Reference::copy(const View& y, const View& x) const {
  for (int64_t i = 0; i < y.shape.numel(); ++i) {
    const int64_t into = offset_of(i, y.shape, y.strides), from = offset_of(i, x.shape, x.strides);
    if (x.dtype == y.dtype) {  // 64-bit integers do not survive a double
      const size_t size = dtype_size(x.dtype);
      std::memcpy(y.as<char>() + into * static_cast<int64_t>(size),
                  x.as<char>() + from * static_cast<int64_t>(size), size);
    } else {
      store(y, into, load(x, from));
    }
  }
}

// y_mn = alpha * sum_k a_mk b_kn
void Reference::gemm(const View& y, const View& a, const View& b, float alpha) const {
  const int r = y.shape.rank();
  const int64_t rows = y.shape[-2], cols = y.shape[-1], depth = a.shape[-1];
  const auto lead = std::span(y.shape.begin(), static_cast<size_t>(r - 2));
  const Shape batch{lead};
  const auto outer = [&](const View& v) {
    return Shape(std::span(v.strides.begin(), lead.size()));
  };
  for (int64_t i = 0; i < batch.numel(); ++i) {
    float* out = y.as<float>() + offset_of(i, batch, outer(y));
    const float* left = a.as<float>() + offset_of(i, batch, outer(a));
    const float* right = b.as<float>() + offset_of(i, batch, outer(b));
    for (int64_t m = 0; m < rows; ++m) {
      for (int64_t n = 0; n < cols; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < depth; ++k) {
          sum += double{left[m * a.strides[-2] + k * a.strides[-1]]} *
                 right[k * b.strides[-2] + n * b.strides[-1]];
        }
        out[m * y.strides[-2] + n * y.strides[-1]] = static_cast<float>(alpha * sum);
      }
    }
  }
}

void Reference::unary(Unary kind, const View& y, const View& x) const {
  for (int64_t i = 0; i < y.shape.numel(); ++i) {
    store(y, offset_of(i, y.shape, y.strides),
          evaluate(kind, load(x, offset_of(i, x.shape, x.strides))));
  }
}

void Reference::unary_backward(Unary kind, const View& dx, const View& dy, const View& x) const {
  for (int64_t i = 0; i < dx.shape.numel(); ++i) {
    store(dx, offset_of(i, dx.shape, dx.strides),
          load(dy, offset_of(i, dy.shape, dy.strides)) *
              derivative(kind, load(x, offset_of(i, x.shape, x.strides))));
  }
}

void Reference::binary(Binary kind, const View& y, const View& a, const View& b) const {
  for (int64_t i = 0; i < y.shape.numel(); ++i) {
    store(y, offset_of(i, y.shape, y.strides),
          evaluate(kind, load(a, offset_of(i, a.shape, a.strides)),
                   load(b, offset_of(i, b.shape, b.strides))));
  }
}

void Reference::reduce(Reduce kind, const View& y, const View& x) const {
  const int64_t n = x.shape[-1];
  for (int64_t row = 0; row < y.shape.numel(); ++row) {
    const int64_t base = offset_of(row, y.shape, rows_of(x.strides));
    double value = kind == Reduce::max   ? -std::numeric_limits<double>::infinity()
                   : kind == Reduce::min ? std::numeric_limits<double>::infinity()
                                         : 0.0;
    for (int64_t i = 0; i < n; ++i) {
      const double v = load(x, base + i * x.strides[-1]);
      if (kind == Reduce::max)
        value = evaluate(Binary::maximum, v, value);
      else if (kind == Reduce::min)
        value = evaluate(Binary::minimum, v, value);
      else
        value += v;
    }
    if (kind == Reduce::mean) value /= static_cast<double>(n);
    store(y, offset_of(row, y.shape, y.strides), value);
  }
}

// y_i = exp(x_i - max x) / sum_j exp(x_j - max x)
void Reference::softmax(const View& y, const View& x) const {
  const int64_t n = x.shape[-1];
  const Shape rows = rows_of(x.shape);
  for (int64_t row = 0; n > 0 && row < rows.numel(); ++row) {
    const float* in = x.as<float>() + offset_of(row, rows, rows_of(x.strides));
    float* out = y.as<float>() + offset_of(row, rows, rows_of(y.strides));
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t i = 0; i < n; ++i) top = std::max(top, double{in[i * x.strides[-1]]});
    std::vector<double> e(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
      sum += e[static_cast<size_t>(i)] = std::exp(in[i * x.strides[-1]] - top);
    }
    for (int64_t i = 0; i < n; ++i) {
      out[i * y.strides[-1]] = static_cast<float>(e[static_cast<size_t>(i)] / sum);
    }
  }
}

void Reference::gather(const View& y, const View& table, const View& indices) const {
  for (int64_t i = 0; i < y.shape[0]; ++i) {
    const int64_t row = indices.as<int32_t>()[i * indices.strides[0]];
    const auto slice = [](const View& v, int64_t index) {
      return View(Tensor::borrow(v).select(0, index));
    };
    copy(slice(y, i), slice(table, row));
  }
}

const Backend& reference() {
  static const Reference backend;
  return backend;
}

}  // namespace ocelli::backend
