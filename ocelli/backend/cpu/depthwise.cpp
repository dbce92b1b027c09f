// Depthwise convolution of [B, H, W, C] maps, alone or between two pointwise ones (the inverted
// residual of Sandler et al., arXiv 1801.04381). The wide maps of an inverted residual are never in
// memory whole: expanded rows live in a ring in the second-level cache until no output row needs
// them.
#include "ocelli/backend/cpu/conv.h"
#include "ocelli/backend/cpu/tile.h"
#include "ocelli/base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/depthwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/math-inl.h"

#ifndef OCELLI_BACKEND_CPU_DEPTHWISE_ONCE
#define OCELLI_BACKEND_CPU_DEPTHWISE_ONCE
namespace ocelli::backend {

// y[j, c] = bias[c] + sum_{r,s} rows[r][j * stride - left + s * dilation, c] taps[r, s, c]
struct DepthwiseRow {
  const float* const* rows;  // the input rows under the kernel; null for one outside the image
  int64_t width;             // of the input rows
  const float* taps;
  const float* bias;  // or null
  float* y;           // or
  uint16_t* y16;      // bf16, rounded from `tile`, which has room for kMostColumns outputs
  float* tile;
  int64_t out_width, channels;
  Range block;  // of the channels: those that are asked for, from a whole vector on
  int64_t kernel_height, kernel_width, stride, dilation, left;
  float low, high;  // bounds of y
};

constexpr int64_t kMostColumns = 8;

// y = residual + scale * activation(y), rows of `channels` floats, `distance` apart.
struct RowsEnd {
  float* y;
  int64_t rows, channels, distance;
  Activation activation;
  const float *scale, *residual;  // or null
};

}  // namespace ocelli::backend
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

HWY_INLINE Vec clamp(Vec v, const DepthwiseRow& row) {
  const Tag d;
  return hn::Min(hn::Set(d, row.high), hn::Max(hn::Set(d, row.low), v));
}

// kColumns outputs from column j on, one vector of channels from c on, to y; dilation is 1. Each
// input is loaded once; where some may lie outside the row, they are looked at.
template <int kKernel, int kStride, int kColumns, bool kInside>
HWY_INLINE void columns_tile(const DepthwiseRow& row, int64_t j, int64_t c, float* y) {
  const Tag d;
  const int64_t channels = row.channels, first = j * kStride - row.left;
  Vec sums[kColumns];
  const Vec start = row.bias ? hn::LoadU(d, row.bias + c) : hn::Zero(d);
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) sums[t] = start;
  const float* taps = row.taps + c;
  for (int64_t r = 0; r < row.kernel_height; ++r, taps += kKernel * channels) {
    if (!row.rows[r]) continue;
    const float* x = row.rows[r] + first * channels + c;
    Vec weights[kKernel];
#pragma GCC unroll 8
    for (int s = 0; s < kKernel; ++s) weights[s] = hn::LoadU(d, taps + s * channels);
#pragma GCC unroll 32
    for (int i = 0; i < (kColumns - 1) * kStride + kKernel; ++i) {
      const bool inside =
          kInside || static_cast<uint64_t>(first + i) < static_cast<uint64_t>(row.width);
      if (!inside) continue;
      const Vec in = hn::LoadU(d, x + i * channels);
#pragma GCC unroll 8
      for (int s = 0; s < kKernel; ++s) {
        const int t = (i - s) / kStride;
        if (i >= s && (i - s) % kStride == 0 && t < kColumns)
          sums[t] = hn::MulAdd(in, weights[s], sums[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kColumns; ++t) hn::StoreU(clamp(sums[t], row), d, y + t * channels + c);
}

// One output column to y, kVectors vectors of channels, taps outside the row left out; the last
// vector may be short.
template <int kVectors>
HWY_INLINE void any_tile(const DepthwiseRow& row, int64_t j, int64_t c, float* y) {
  const Tag d;
  const int64_t channels = row.channels, left = channels - c;
  const auto load = [&](const float* p, int v) HWY_ATTR {
    return kVectors == 1 ? load_some(p, left) : hn::LoadU(d, p + v * kLanes);
  };
  Vec sums[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sums[v] = row.bias ? load(row.bias + c, v) : hn::Zero(d);
  for (int64_t r = 0; r < row.kernel_height; ++r) {
    if (!row.rows[r]) continue;
    for (int64_t s = 0; s < row.kernel_width; ++s) {
      const int64_t at = j * row.stride - row.left + s * row.dilation;
      if (at < 0 || at >= row.width) continue;
      const float* x = row.rows[r] + at * channels + c;
      const float* tap = row.taps + (r * row.kernel_width + s) * channels + c;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[v] = hn::MulAdd(load(x, v), load(tap, v), sums[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const Vec sum = clamp(sums[v], row);
    if constexpr (kVectors == 1)
      store_some(sum, y + c, left);
    else
      hn::StoreU(sum, d, y + c + v * kLanes);
  }
}

// Where the outputs from column j on go, and what becomes of them there.
HWY_INLINE float* begin_columns(const DepthwiseRow& row, int64_t j) {
  return row.y16 ? row.tile : row.y + j * row.channels;
}
HWY_INLINE void end_columns(const DepthwiseRow& row, int64_t j, int64_t columns) {
  if (!row.y16) return;
  const int64_t c = row.block.begin;
  round_rows_here()(row.tile + c, row.channels, columns, row.block.end - c,
                    row.y16 + j * row.channels + c, row.channels);
}

// All channels of a tile before the next one: what its pixels share stays in the first-level cache.
template <int kKernel, int kStride, int kColumns>
HWY_INLINE void columns_from(const DepthwiseRow& row, int64_t& j) {
  const Range block = row.block;
  const int64_t whole = block.begin + (block.end - block.begin) / kLanes * kLanes;
  for (; j + kColumns <= row.out_width; j += kColumns) {
    const int64_t first = j * kStride - row.left, last = first + (kColumns - 1) * kStride + kKernel;
    float* y = begin_columns(row, j);
    if (first >= 0 && last <= row.width) {
      for (int64_t c = block.begin; c < whole; c += kLanes)
        columns_tile<kKernel, kStride, kColumns, true>(row, j, c, y);
    } else {
      for (int64_t c = block.begin; c < whole; c += kLanes)
        columns_tile<kKernel, kStride, kColumns, false>(row, j, c, y);
    }
    if (whole < block.end) {
      for (int64_t t = 0; t < kColumns; ++t) any_tile<1>(row, j + t, whole, y + t * row.channels);
    }
    end_columns(row, j, kColumns);
  }
}

// Sums, inputs and weights of a tile share 32 registers, or 16. The last maps of an image of 224
// are 14 and 7 wide: tiles of 4, 2 and 1 would wait for their own sums.
template <int kKernel, int kStride>
void columns_of(const DepthwiseRow& row) {
  constexpr bool kWide = HWY_TARGET <= HWY_AVX3 && kKernel * kStride < 10;
  int64_t j = 0;
  if (kKernel <= 5 && row.out_width % 7 == 0 && row.out_width % 4 != 0)
    return columns_from<kKernel, kStride, 7>(row, j);
  if constexpr (kWide) columns_from<kKernel, kStride, 8>(row, j);
  columns_from<kKernel, kStride, 4>(row, j);
  columns_from<kKernel, kStride, 2>(row, j);
  columns_from<kKernel, kStride, 1>(row, j);
}

void depthwise_row(const DepthwiseRow& row) {
  const auto is = [&](int64_t kernel, int64_t stride) {
    return row.dilation == 1 && row.kernel_width == kernel && row.stride == stride;
  };
  if (is(3, 1)) return columns_of<3, 1>(row);
  if (is(3, 2)) return columns_of<3, 2>(row);
  if (is(5, 1)) return columns_of<5, 1>(row);
  if (is(5, 2)) return columns_of<5, 2>(row);
  if (is(7, 1)) return columns_of<7, 1>(row);
  for (int64_t j = 0; j < row.out_width; ++j) {
    int64_t c = row.block.begin;
    float* y = begin_columns(row, j);
    for (; c + 4 * kLanes <= row.block.end; c += 4 * kLanes) any_tile<4>(row, j, c, y);
    for (; c < row.block.end; c += kLanes) any_tile<1>(row, j, c, y);
    end_columns(row, j, 1);
  }
}

template <int kActivation>
HWY_INLINE void finish_rows_as(const RowsEnd& end) {
  const Tag d;
  for (int64_t r = 0; r < end.rows; ++r) {
    float* y = end.y + r * end.distance;
    const float* residual = end.residual ? end.residual + r * end.distance : nullptr;
    for (int64_t c = 0; c < end.channels; c += kLanes) {
      const int64_t left = end.channels - c;
      Vec v = load_some(y + c, left);
      if constexpr (kActivation >= 0) v = apply<static_cast<Unary>(kActivation)>(d, v);
      if (end.scale) v = hn::Mul(v, load_some(end.scale + c, left));
      if (residual) v = hn::Add(v, load_some(residual + c, left));
      store_some(v, y + c, left);
    }
  }
}

void finish_rows(const RowsEnd& end) {
  if (!end.activation) return finish_rows_as<-1>(end);
  switch (*end.activation) {
#define OCELLI_CASE(kind) \
  case Unary::kind: return finish_rows_as<static_cast<int>(Unary::kind)>(end)
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

// The rows of a map that a thread works on: those of x itself, or those of expand(x), made when
// first needed and kept in a ring.
class SourceRows {
 public:
  SourceRows(const View& x, const PackedLinear* expand, Activation activation, int64_t capacity)
      : x_(x),
        expand_(expand),
        activation_(activation),
        capacity_(capacity),
        channels_(expand ? expand->n : x.shape[3]) {
    if (expand) ring_ = Tensor::empty({capacity, x.shape[2] * channels_});
  }

  // Rows [first, last) of image b are there from now on.
  void need(int64_t b, int64_t first, int64_t last) {
    if (!expand_) {
      image_ = b;
      return;
    }
    if (b != image_ || first > end_) end_ = first;
    image_ = b;
    while (end_ < last) {
      const int64_t count = std::min(last - end_, capacity_ - end_ % capacity_);
      const int64_t width = x_.shape[2];
      linear_serial({x_row(end_), x_.shape[3], ring_row(end_), channels_, count * width, expand_,
                     activation_, nullptr, nullptr});
      end_ += count;
    }
  }

  const float* row(int64_t h) const {
    if (h < 0 || h >= x_.shape[1]) return nullptr;
    return expand_ ? ring_row(h) : x_row(h);
  }

 private:
  const float* x_row(int64_t h) const {
    return x_.as<float>() + (image_ * x_.shape[1] + h) * x_.shape[2] * x_.shape[3];
  }
  float* ring_row(int64_t h) const {
    return ring_.data<float>() + h % capacity_ * x_.shape[2] * channels_;
  }

  const View& x_;
  const PackedLinear* expand_;
  Activation activation_;
  const int64_t capacity_, channels_;
  Tensor ring_;
  int64_t image_ = -1, end_ = 0;  // rows before end_ were made
};

const PackedLinear* linear_of(const Packed* conv) {
  return conv ? static_cast<const PackedConv*>(conv)->groups[0].get() : nullptr;
}

bool is_bound(Activation activation) {
  return activation == Unary::relu || activation == Unary::relu6;
}

// Of the wide map that is projected: bf16 where it would be rounded to be multiplied.
DType type_between(const PackedInvertedResidual& block) {
  const bool rounds = block.project && linear_of(block.project)->precision == Precision::bf16 &&
                      (!block.activation || is_bound(block.activation));
  return rounds ? DType::bf16 : DType::f32;
}

// Output rows of an image into y, of some channels only: rows of `width` pixels become rows of
// `out_width`, of type_between. source(h) is row h of the input, null outside. The scale and, from
// number `at` on, the residual are the depthwise convolution's where nothing is projected.
template <class Source>
void depthwise_rows(const PackedInvertedResidual& block, int64_t width, int64_t out_width,
                    Range rows, Range channels, const Source& source, void* y, int64_t at) {
  const auto& conv = static_cast<const PackedConv&>(*block.depthwise);
  const Conv2d& p = block.params;
  const int64_t all = conv.shape[0], kernel = conv.shape[2];
  const bool bounded = is_bound(block.activation), narrow = type_between(block) == DType::bf16;
  const Tensor tile = narrow ? Tensor::empty({kMostColumns * all}) : Tensor();
  std::vector<const float*> under(static_cast<size_t>(kernel));
  DepthwiseRow row{under.data(),
                   width,
                   conv.taps.data<float>(),
                   conv.bias.defined() ? conv.bias.data<float>() : nullptr,
                   nullptr,
                   nullptr,
                   narrow ? tile.data<float>() : nullptr,
                   out_width,
                   all,
                   {},
                   kernel,
                   conv.shape[3],
                   p.stride[1],
                   p.dilation[1],
                   p.padding[1],
                   bounded ? 0 : -kInfinity,
                   block.activation == Unary::relu6 ? 6 : kInfinity};
  // Of so many channels the rows under a kernel stay in the first-level cache from one output row
  // to the next.
  constexpr int64_t kFloats = 6144;
  const int64_t fits = kFloats / std::max<int64_t>(width * kernel, 1) / 16 * 16;
  const int64_t each = std::max<int64_t>(fits, 32);
  for (int64_t c = channels.begin; c < channels.end; c += each) {
    row.block = {c, std::min(c + each, channels.end)};
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const int64_t top = i * p.stride[0] - p.padding[0];
      for (int64_t r = 0; r < kernel; ++r)
        under[static_cast<size_t>(r)] = source(top + r * p.dilation[0]);
      const int64_t begin = (i - rows.begin) * out_width * all;
      if (narrow)
        row.y16 = static_cast<uint16_t*>(y) + begin;
      else
        row.y = static_cast<float*>(y) + begin;
      HWY_DYNAMIC_DISPATCH(depthwise_row)(row);
    }
  }
  const bool last = !block.project;
  const float* scale = last && block.scale ? block.scale->as<float>() + channels.begin : nullptr;
  const float* residual =
      last && block.residual ? block.residual->as<float>() + at + channels.begin : nullptr;
  if ((!block.activation || bounded) && !scale && !residual) return;
  HWY_DYNAMIC_DISPATCH(finish_rows)
  ({static_cast<float*>(y) + channels.begin, (rows.end - rows.begin) * out_width,
    channels.end - channels.begin, all, bounded ? std::nullopt : block.activation, scale,
    residual});
}

class Run {
 public:
  Run(const View& y, const View& x, const PackedInvertedResidual& block)
      : y_(y),
        x_(x),
        block_(block),
        depthwise_(static_cast<const PackedConv&>(*block.depthwise)),
        expand_(linear_of(block.expand)),
        project_(linear_of(block.project)),
        channels_(depthwise_.shape[0]) {
    const Conv2d& p = block.params;
    reach_ = (depthwise_.shape[2] - 1) * p.dilation[0] + 1;
    const int64_t wide_row = x.shape[2] * channels_, out_row = y.shape[2] * channels_;
    const int64_t row = (expand_ ? p.stride[0] * wide_row : 0) + (project_ ? out_row : 0);
    const int64_t fits =
        (cache_budget() / 4 - (expand_ ? reach_ * wide_row : 0)) / std::max<int64_t>(row, 1);
    band_ = std::clamp<int64_t>(fits, 1, y.shape[1]);
  }

  // Output rows [begin, end) of all images, on one thread.
  void operator()(int64_t begin, int64_t end) const {
    const int64_t height = y_.shape[1];
    SourceRows source(x_, expand_, block_.activation,
                      std::min((band_ - 1) * block_.params.stride[0] + reach_, x_.shape[1]));
    const int64_t out_row = y_.shape[2] * channels_;
    const Tensor between =
        project_ ? Tensor::empty({band_ * out_row}, type_between(block_)) : Tensor();
    while (begin < end) {
      const int64_t b = begin / height, first = begin % height,
                    rows = std::min({band_, end - begin, height - first});
      convolve(source, b, first, rows, project_ ? between.raw() : y_.as<float>() + begin * out_row);
      if (project_) project(between, begin, rows);
      begin += rows;
    }
  }

 private:
  // Output rows of image b into `wide`.
  void convolve(SourceRows& source, int64_t b, int64_t first, int64_t rows, void* wide) const {
    const Conv2d& p = block_.params;
    const int64_t top = first * p.stride[0] - p.padding[0];
    const int64_t bottom = top + (rows - 1) * p.stride[0] + reach_;
    source.need(b, std::max<int64_t>(top, 0), std::clamp<int64_t>(bottom, 0, x_.shape[1]));
    const int64_t at = (b * y_.shape[1] + first) * y_.shape[2] * channels_;
    depthwise_rows(
        block_, x_.shape[2], y_.shape[2], {first, first + rows}, {0, channels_},
        [&](int64_t h) { return source.row(h); }, wide, at);
  }

  void project(const Tensor& wide, int64_t begin, int64_t rows) const {
    const int64_t at = begin * y_.shape[2] * y_.shape[3];
    linear_serial({wide.raw(), channels_, y_.as<float>() + at, y_.shape[3], rows * y_.shape[2],
                   project_, std::nullopt, block_.scale ? block_.scale->as<float>() : nullptr,
                   block_.residual ? block_.residual->as<float>() + at : nullptr, wide.dtype()});
  }

  const View &y_, &x_;
  const PackedInvertedResidual& block_;
  const PackedConv& depthwise_;
  const PackedLinear *expand_, *project_;
  int64_t channels_, reach_, band_;
};

// Small wide maps, whole in memory: a thread makes some of their channels and convolves these.
void by_channels(const Backend& backend, const View& y, const View& x,
                 const PackedInvertedResidual& block) {
  const PackedLinear& expand = *linear_of(block.expand);
  const int64_t batch = x.shape[0], channels = expand.n, height = x.shape[1], width = x.shape[2];
  const Tensor wide = Tensor::empty({batch, height, width, channels});
  const Shape out{batch, y.shape[1], y.shape[2], channels};
  const Tensor between =
      block.project ? Tensor::empty(out, type_between(block)) : Tensor::borrow(y);
  const int64_t image = height * width * channels, out_image = between.numel() / batch;
  const int64_t panels = expand.panels.size(0),
                parts = std::min<int64_t>(panels, 2 * num_threads());
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    const Range own{panels * begin / parts, panels * end / parts};
    linear_serial({x.data, x.shape[3], wide.data<float>(), channels, batch * height * width,
                   &expand, block.activation, nullptr, nullptr},
                  own);
    const Range made{own.begin * expand.panel, std::min(own.end * expand.panel, channels)};
    for (int64_t b = 0; b < batch; ++b) {
      const float* from = wide.data<float>() + b * image;
      const auto source = [&](int64_t h) {
        return h < 0 || h >= height ? nullptr : from + h * width * channels;
      };
      depthwise_rows(block, width, y.shape[2], {0, y.shape[1]}, made, source,
                     between.select(0, b).raw(), b * out_image);
    }
  });
  if (block.project)
    backend.conv2d_packed(y, between, *block.project, {}, {{}, block.scale, block.residual});
}

}  // namespace

void Cpu::inverted_residual(const View& y, const View& x,
                            const PackedInvertedResidual& block) const {
  if (y.shape.numel() == 0) return;
  const int64_t rows = y.shape[0] * y.shape[1], threads = std::min<int64_t>(num_threads(), rows);
  const auto& depthwise = static_cast<const PackedConv&>(*block.depthwise);
  // Where a thread's part begins inside an image it expands rows that its neighbour expands as
  // well; when that is more than a tenth of all, the wide maps, small then, are made whole.
  const int64_t twice =
      (threads - 1) * std::max<int64_t>(depthwise.shape[2] - block.params.stride[0], 0);
  if (block.expand && y.shape[0] % threads != 0 && 10 * twice > x.shape[0] * x.shape[1])
    return by_channels(*this, y, x, block);
  const Run run(y, x, block);
  const int64_t whole = y.shape[0] >= 2 * threads ? y.shape[1] : (rows + threads - 1) / threads;
  const int64_t share = block.expand ? whole : 1;
  parallel_for(rows, share, [&](int64_t begin, int64_t end) { run(begin, end); });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
