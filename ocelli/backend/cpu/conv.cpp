// Convolution of [B, H, W, C] maps, three ways: a pointwise one is a matrix product; a depthwise one
// runs over rows padded in the cache; any other gathers the pixels under the kernel of a few output
// rows (im2col, Chellapilla et al. 2006) in the cache and multiplies.
#include <cstring>

#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/conv.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "ocelli/backend/cpu/math-inl.h"

#ifndef OCELLI_BACKEND_CPU_CONV_ONCE
#define OCELLI_BACKEND_CPU_CONV_ONCE
namespace ocelli::backend {

// One output row of a depthwise convolution; the rows under it are already padded.
struct DepthwiseRow {
  const float* x;       // first of the kernel's rows
  int64_t x_row;        // floats between kernel rows (dilation included)
  int64_t x_column;     // floats between output columns: stride * C
  int64_t x_tap;        // floats between kernel columns: dilation * C
  const float* weight;  // [kh * kw][C]
  const float* bias;    // [C] or null
  float* y;             // [Wo][C]
  int64_t kernel_height, kernel_width, width, channels;
};

}  // namespace ocelli::backend
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

using Tag = hn::ScalableTag<float>;
using Vec = hn::Vec<Tag>;
constexpr auto kLanes = static_cast<int64_t>(hn::MaxLanes(Tag()));

HWY_INLINE Vec load_channels(const float* p, int64_t count) {
  const Tag d;
  if (count >= kLanes) return hn::LoadU(d, p);
  HWY_ALIGN float rest[kLanes] = {};
  std::copy_n(p, count, rest);
  return hn::Load(d, rest);
}

// Columns [j, j + kColumns) for one vector of channels from c on.
template <int kColumns>
HWY_INLINE void depthwise_tile(const DepthwiseRow& row, int64_t j, int64_t c) {
  const Tag d;
  const int64_t left = row.channels - c;
  Vec acc[kColumns];
  const Vec start = row.bias ? load_channels(row.bias + c, left) : hn::Zero(d);
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) acc[t] = start;
  const float* weight = row.weight + c;
  for (int64_t r = 0; r < row.kernel_height; ++r) {
    const float* x = row.x + r * row.x_row + j * row.x_column + c;
    for (int64_t s = 0; s < row.kernel_width; ++s, weight += row.channels, x += row.x_tap) {
      const Vec w = load_channels(weight, left);
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) {
        acc[t] = hn::MulAdd(load_channels(x + t * row.x_column, left), w, acc[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) {
    float* into = row.y + (j + t) * row.channels + c;
    if (left >= kLanes) {
      hn::StoreU(acc[t], d, into);
    } else {
      HWY_ALIGN float rest[kLanes];
      hn::Store(acc[t], d, rest);
      std::copy_n(rest, left, into);
    }
  }
}

void depthwise_row(const DepthwiseRow& row) {
  for (int64_t c = 0; c < row.channels; c += kLanes) {
    int64_t j = 0;
    for (; j + 8 <= row.width; j += 8) depthwise_tile<8>(row, j, c);
    if (j + 4 <= row.width) {
      depthwise_tile<4>(row, j, c);
      j += 4;
    }
    for (; j < row.width; ++j) depthwise_tile<1>(row, j, c);
  }
}

// y = residual + scale * activation(y) over rows of C floats.
void finish_rows(float* y, const float* residual, const float* scale, int64_t rows, int64_t channels,
                 Activation activation) {
  const Tag d;
  const auto run = [&](auto kind) HWY_ATTR {
    for (int64_t r = 0; r < rows; ++r, y += channels, residual += residual ? channels : 0) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        const int64_t left = channels - c;
        Vec v = load_channels(y + c, left);
        if constexpr (decltype(kind)::value >= 0) v = apply<static_cast<Unary>(decltype(kind)::value)>(d, v);
        if (scale) v = hn::Mul(v, load_channels(scale + c, left));
        if (residual) v = hn::Add(v, load_channels(residual + c, left));
        if (left >= kLanes) {
          hn::StoreU(v, d, y + c);
        } else {
          HWY_ALIGN float rest[kLanes];
          hn::Store(v, d, rest);
          std::copy_n(rest, left, y + c);
        }
      }
    }
  };
  if (!activation) return run(std::integral_constant<int, -1>());
  switch (*activation) {
#define OCELLI_CASE(kind) \
  case Unary::kind: return run(std::integral_constant<int, static_cast<int>(Unary::kind)>())
    OCELLI_CASE(relu);
    OCELLI_CASE(relu6);
    OCELLI_CASE(silu);
    OCELLI_CASE(gelu);
    OCELLI_CASE(gelu_tanh);
    OCELLI_CASE(quick_gelu);
    OCELLI_CASE(sigmoid);
    OCELLI_CASE(tanh);
    OCELLI_CASE(hardswish);
#undef OCELLI_CASE
    default: fail(ErrorCode::unsupported, "conv2d: this activation cannot be fused");
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(depthwise_row);
HWY_EXPORT(finish_rows);

namespace {

struct PackedConv final : Packed {
  enum class Kind { pointwise, depthwise, general } kind = Kind::general;
  Shape shape;                                             // [O, I / groups, kh, kw]
  std::vector<std::shared_ptr<const PackedLinear>> groups;  // K in the order (kh, kw, c)
  Tensor taps, bias;                                       // depthwise: [kh * kw, C] and [C]
};

std::shared_ptr<const PackedLinear> pack_group(const Backend& backend, const Tensor& weight,
                                               const View* bias) {
  const Tensor flat = contiguous(weight.permute({0, 2, 3, 1}));
  const Tensor matrix = flat.view({flat.size(0), flat.numel() / std::max<int64_t>(flat.size(0), 1)});
  return std::static_pointer_cast<const PackedLinear>(backend.pack_linear(matrix, bias));
}

// A compact copy of some input rows with zeros around them.
class PaddedRows {
 public:
  PaddedRows(const View& x, const Conv2d& p)
      : x_(x), left_(p.padding[1]), width_(p.padding[1] + x.shape[2] + p.padding[3]) {}

  int64_t row_size() const { return width_ * x_.shape[3]; }

  // Input rows [first, first + count) of image b; rows outside are zeros.
  const float* fill(int64_t b, int64_t first, int64_t count, float* into) const {
    const int64_t c = x_.shape[3], height = x_.shape[1], inner = x_.shape[2] * c;
    for (int64_t i = 0; i < count; ++i, into += row_size()) {
      const int64_t h = first + i;
      if (h < 0 || h >= height) {
        std::fill_n(into, row_size(), 0.0f);
        continue;
      }
      std::fill_n(into, left_ * c, 0.0f);
      std::memcpy(into + left_ * c, x_.as<float>() + (b * height + h) * inner,
                  static_cast<size_t>(inner) * sizeof(float));
      std::fill(into + left_ * c + inner, into + row_size(), 0.0f);
    }
    return into - count * row_size();
  }

 private:
  View x_;
  int64_t left_, width_;
};


// Calls body(b, first row, rows, scratch) over the output rows of all images; `row_floats` floats of
// scratch for each row and `halo_floats` more.
template <typename Body>
void for_each_band(const View& y, int64_t row_floats, int64_t halo_floats, const Body& body) {
  const int64_t height = y.shape[1], total = y.shape[0] * height;
  const int64_t fits = (cache_budget() / 4 - halo_floats) / std::max<int64_t>(row_floats, 1);
  const int64_t share = (total + num_threads() - 1) / num_threads();
  const int64_t band = std::clamp<int64_t>(fits, 1, std::max<int64_t>(share, 1));
  parallel_for(total, 1, [&](int64_t begin, int64_t end) {
    const Tensor scratch = Tensor::empty({band * row_floats + halo_floats});
    while (begin < end) {
      const int64_t b = begin / height, first = begin % height;
      const int64_t rows = std::min({band, end - begin, height - first});
      body(b, first, rows, scratch.data<float>());
      begin += rows;
    }
  });
}

void depthwise(const View& y, const View& x, const PackedConv& w, const Conv2d& p,
               const Epilogue& epilogue) {
  const PaddedRows padded(x, p);
  const int64_t channels = y.shape[3], width = y.shape[2], kh = w.shape[2], kw = w.shape[3];
  const int64_t reach = (kh - 1) * p.dilation[0] + 1;
  const float* scale = epilogue.scale ? epilogue.scale->as<float>() : nullptr;
  const float* bias = w.bias.defined() ? w.bias.data<float>() : nullptr;
  for_each_band(y, p.stride[0] * padded.row_size(), reach * padded.row_size(),
                [&](int64_t b, int64_t first, int64_t rows, float* scratch) {
    padded.fill(b, first * p.stride[0] - p.padding[0], (rows - 1) * p.stride[0] + reach, scratch);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t at = ((b * y.shape[1] + first + i) * width) * channels;
      HWY_DYNAMIC_DISPATCH(depthwise_row)
      ({scratch + i * p.stride[0] * padded.row_size(), p.dilation[0] * padded.row_size(),
        p.stride[1] * channels, p.dilation[1] * channels, w.taps.data<float>(), bias,
        y.as<float>() + at, kh, kw, width, channels});
      if (!epilogue.activation && !scale && !epilogue.residual) continue;
      HWY_DYNAMIC_DISPATCH(finish_rows)
      (y.as<float>() + at, epilogue.residual ? epilogue.residual->as<float>() + at : nullptr, scale,
       width, channels, epilogue.activation);
    }
  });
}

// Pixels under the kernel at every position of one output row, one group: [Wo][kh][kw][depth].
void gather_row(const View& x, const PackedConv& w, const Conv2d& p, int64_t b, int64_t row,
                int64_t width, int64_t group, float* into) {
  const int64_t depth = w.shape[1], kh = w.shape[2], kw = w.shape[3], channels = x.shape[3];
  const bool joined = depth == channels && p.dilation[1] == 1;  // a kernel row is one run of memory
  for (int64_t j = 0; j < width; ++j) {
    const int64_t w0 = j * p.stride[1] - p.padding[1];
    for (int64_t r = 0; r < kh; ++r, into += kw * depth) {
      const int64_t h = row * p.stride[0] - p.padding[0] + r * p.dilation[0];
      if (h < 0 || h >= x.shape[1]) {
        std::fill_n(into, kw * depth, 0.0f);
        continue;
      }
      const float* line = x.as<float>() + (b * x.shape[1] + h) * x.shape[2] * channels + group * depth;
      if (joined && w0 >= 0 && w0 + kw <= x.shape[2]) {
        std::copy_n(line + w0 * channels, kw * depth, into);
        continue;
      }
      for (int64_t s = 0; s < kw; ++s) {
        const int64_t at = w0 + s * p.dilation[1];
        if (at < 0 || at >= x.shape[2]) std::fill_n(into + s * depth, depth, 0.0f);
        else std::copy_n(line + at * channels, depth, into + s * depth);
      }
    }
  }
}

void general(const View& y, const View& x, const PackedConv& w, const Conv2d& p,
             const Epilogue& epilogue) {
  const int64_t width = y.shape[2], channels = y.shape[3];
  const int64_t depth = w.shape[1] * w.shape[2] * w.shape[3];
  for_each_band(y, width * depth, 0, [&](int64_t b, int64_t first, int64_t rows, float* scratch) {
    const int64_t at = ((b * y.shape[1] + first) * width) * channels;
    for (size_t g = 0; g < w.groups.size(); ++g) {
      const auto group = static_cast<int64_t>(g);
      const int64_t column = group * w.groups[g]->n;
      for (int64_t i = 0; i < rows; ++i) {
        gather_row(x, w, p, b, first + i, width, group, scratch + i * width * depth);
      }
      linear_serial({scratch, depth, y.as<float>() + at + column, channels, rows * width,
                     w.groups[g].get(), epilogue.activation,
                     epilogue.scale ? epilogue.scale->as<float>() + column : nullptr,
                     epilogue.residual ? epilogue.residual->as<float>() + at + column : nullptr});
    }
  });
}

}  // namespace

PackedPtr Cpu::pack_conv2d(const View& weight, const View* bias, const Conv2d& p) const {
  auto packed = std::make_shared<PackedConv>();
  const Tensor w = Tensor::borrow(weight);
  packed->shape = weight.shape;
  const int64_t out = w.size(0), each = out / p.groups;
  if (w.size(1) == 1 && p.groups == out && out > 1) {
    packed->kind = PackedConv::Kind::depthwise;
    packed->taps = Tensor::empty({w.size(2), w.size(3), out});
    copy(packed->taps, w.select(1, 0).permute({1, 2, 0}));
    if (bias) {
      packed->bias = Tensor::empty({out});
      copy(packed->bias, *bias);
    }
    return packed;
  }
  const bool pointwise = w.size(2) == 1 && w.size(3) == 1 && p.groups == 1 && p.stride[0] == 1 &&
                         p.stride[1] == 1;
  if (pointwise) packed->kind = PackedConv::Kind::pointwise;
  for (int64_t g = 0; g < p.groups; ++g) {
    const View part = bias ? View(Tensor::borrow(*bias).slice(0, g * each, (g + 1) * each)) : View();
    packed->groups.push_back(
        pack_group(*this, w.slice(0, g * each, (g + 1) * each), bias ? &part : nullptr));
  }
  return packed;
}

void Cpu::conv2d_packed(const View& y, const View& x, const Packed& weight, const Conv2d& params,
                        const Epilogue& epilogue) const {
  const auto& w = static_cast<const PackedConv&>(weight);
  if (y.shape.numel() == 0) return;
  const bool padded = params.padding != std::array<int64_t, 4>{0, 0, 0, 0};
  if (w.kind == PackedConv::Kind::depthwise) return depthwise(y, x, w, params, epilogue);
  if (w.kind == PackedConv::Kind::general || padded) return general(y, x, w, params, epilogue);
  const int64_t pixels = y.shape.numel() / y.shape[3];
  const auto rows = [&](const View& v) { return Tensor::borrow(v).view({pixels, v.shape[3]}); };
  const Tensor residual = epilogue.residual ? rows(*epilogue.residual) : Tensor();
  const View residual_view = residual;
  linear(rows(y), rows(x), *w.groups[0],
         {epilogue.activation, epilogue.scale, epilogue.residual ? &residual_view : nullptr});
}

void Cpu::conv2d(const View& y, const View& x, const View& weight, const View* bias,
                 const Conv2d& params) const {
  const Tensor in = contiguous(Tensor::borrow(x));
  const Tensor out = Tensor::borrow(y).is_contiguous() ? Tensor::borrow(y) : Tensor::empty(y.shape);
  conv2d_packed(out, in, *pack_conv2d(weight, bias, params), params, {});
  if (out.raw() != y.data) copy(y, out);
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
