// linear: y = residual + scale * activation(x W^T + bias) on packed weights, and the general gemm.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/linear.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/math-inl.h"

#ifndef OCELLI_BACKEND_CPU_LINEAR_ONCE
#define OCELLI_BACKEND_CPU_LINEAR_ONCE
namespace ocelli::backend {

struct Range {
  int64_t begin, end;
};

}  // namespace ocelli::backend
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

constexpr int kNoActivation = -1;

template <int kActivation>
HWY_INLINE Vec activate(Vec v) {
  if constexpr (kActivation == kNoActivation) return v;
  else return apply<static_cast<Unary>(kActivation)>(Tag(), v);
}

// The epilogue of `rows` rows of sums, kPanel apart, that belong at (row, column) of y.
template <int kActivation>
HWY_INLINE void finish(const LinearCall& call, const float* sums, int64_t rows, int64_t row,
                       int64_t column) {
  const Tag d;
  const int64_t n = call.weight->n;
  const float* bias = call.weight->bias.defined() ? call.weight->bias.data<float>() + column : nullptr;
  const bool whole = column + kPanel <= n;
  HWY_ALIGN float edge[kPanel];
  for (int64_t r = 0; r < rows; ++r, sums += kPanel) {
    const int64_t offset = (row + r) * call.ldy + column;
    for (int64_t j = 0; j < kPanel; j += kLanes) {
      Vec v = hn::Load(d, sums + j);
      if (bias) v = hn::Add(v, hn::Load(d, bias + j));
      v = activate<kActivation>(v);
      if (!whole) {
        hn::Store(v, d, edge + j);
        continue;
      }
      if (call.scale) v = hn::Mul(v, hn::LoadU(d, call.scale + column + j));
      if (call.residual) v = hn::Add(v, hn::LoadU(d, call.residual + offset + j));
      hn::StoreU(v, d, call.y + offset + j);
    }
    for (int64_t j = 0; !whole && j < n - column; ++j) {
      float v = edge[j];
      if (call.scale) v *= call.scale[column + j];
      if (call.residual) v += call.residual[offset + j];
      call.y[offset + j] = v;
    }
  }
}

template <int kActivation>
void linear_block(const LinearCall& call, Range rows, Range panels) {
  const PackedLinear& w = *call.weight;
  const int64_t depth = w.k;
  // A block of rows of x stays in the second-level cache while all panels pass over it; deep
  // products are cut along K so that the block has enough rows to pay for reading the panels.
  const int64_t slice = depth > 1536 ? (depth + (depth + 1023) / 1024 - 1) / ((depth + 1023) / 1024)
                                     : std::max<int64_t>(depth, 1);
  const int64_t block = std::max<int64_t>(cache_budget() / (slice * 4), 4 * kTileRows);
  const int64_t slices = std::max<int64_t>((depth + slice - 1) / slice, 1);
  const int64_t blocks = (rows.end - rows.begin + block - 1) / block;
  const float* packed = w.panels.data<float>();
  const int64_t held = slices > 1 ? (panels.end - panels.begin) * (block + kTileRows) : kTileRows;
  const Tensor memory = Tensor::empty({held * kPanel});
  float* sums = memory.data<float>();
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t first = rows.begin + tile_begin(rows.end - rows.begin, blocks, i);
    const int64_t count = rows.begin + tile_begin(rows.end - rows.begin, blocks, i + 1) - first;
    const int64_t tiles = (count + kTileRows - 1) / kTileRows;
    for (int64_t s = 0; s < slices; ++s) {
      const int64_t k0 = s * slice, k1 = std::min(depth, k0 + slice);
      for (int64_t p = panels.begin; p < panels.end; ++p) {
        const float* b = packed + (p * depth + k0) * kPanel;
        for (int64_t t = 0; t < tiles; ++t) {
          const int64_t r0 = tile_begin(count, tiles, t), r1 = tile_begin(count, tiles, t + 1);
          const float* a = call.x + (first + r0) * call.ldx + k0;
          // The partial sums of a panel lie together: [panel][row][kPanel].
          float* part = sums + (slices > 1 ? ((p - panels.begin) * count + r0) * kPanel : 0);
          tile_of(r1 - r0, a, call.ldx, b, k1 - k0, part, kPanel, s > 0);
          if (s + 1 == slices) finish<kActivation>(call, part, r1 - r0, first + r0, p * kPanel);
        }
      }
    }
  }
}

void linear_part(const LinearCall& call, Range rows, Range panels) {
  if (!call.activation) return linear_block<kNoActivation>(call, rows, panels);
  switch (*call.activation) {
#define OCELLI_CASE(kind) \
  case Unary::kind: return linear_block<static_cast<int>(Unary::kind)>(call, rows, panels)
    OCELLI_CASE(gelu);
    OCELLI_CASE(gelu_tanh);
    OCELLI_CASE(quick_gelu);
    OCELLI_CASE(silu);
    OCELLI_CASE(relu);
    OCELLI_CASE(relu6);
    OCELLI_CASE(sigmoid);
    OCELLI_CASE(tanh);
    OCELLI_CASE(hardswish);
#undef OCELLI_CASE
    default: fail(ErrorCode::unsupported, "linear: this activation cannot be fused");
  }
}

int64_t panel_width() { return kPanel; }
int64_t tile_rows() { return kTileRows; }

// panels[p][k][j] = w[p * kPanel + j][k]
void pack_panels(const View& weight, float* packed, Range panels) {
  const int64_t n = weight.shape[0], depth = weight.shape[1];
  for (int64_t p = panels.begin; p < panels.end; ++p) {
    float* into = packed + p * depth * kPanel;
    for (int64_t j = 0; j < kPanel; ++j) {
      const int64_t row = p * kPanel + j;
      const float* from = weight.as<float>() + row * weight.strides[0];
      for (int64_t k = 0; k < depth; ++k) {
        into[k * kPanel + j] = row < n ? from[k * weight.strides[1]] : 0.0f;
      }
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <unistd.h>

namespace ocelli::backend {

HWY_EXPORT(linear_part);
HWY_EXPORT(panel_width);
HWY_EXPORT(tile_rows);
HWY_EXPORT(pack_panels);

int64_t cache_budget() {
  static const int64_t budget = [] {
    const int64_t size = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
    return std::max<int64_t>(size, 256 << 10) / 2;
  }();
  return budget;
}

PackedPtr Cpu::pack_linear(const View& weight, const View* bias) const {
  auto packed = std::make_shared<PackedLinear>();
  packed->n = weight.shape[0];
  packed->k = weight.shape[1];
  packed->panel = HWY_DYNAMIC_DISPATCH(panel_width)();
  const int64_t panels = (packed->n + packed->panel - 1) / packed->panel;
  packed->panels = Tensor::empty({panels, packed->k, packed->panel});
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pack_panels)(weight, packed->panels.data<float>(), {begin, end});
  });
  if (bias) {
    packed->bias = Tensor::zeros({panels * packed->panel});
    copy(packed->bias.slice(0, 0, packed->n), *bias);
  }
  return packed;
}

namespace {

// Threads share the output as a grid of row and panel ranges: the split with the smallest largest
// part, and of equal ones the one that reads the weights least often.
struct Grid {
  int64_t rows, panels;
};

Grid choose_grid(int64_t tiles, int64_t panels, int64_t threads) {
  Grid best{1, 1};
  int64_t cost = tiles * panels;
  for (int64_t across = threads; across >= 1; --across) {
    if (threads % across) continue;
    const Grid grid{threads / across, across};
    const int64_t part =
        ((tiles + grid.rows - 1) / grid.rows) * ((panels + grid.panels - 1) / grid.panels);
    if (part < cost) {
      cost = part;
      best = grid;
    }
  }
  return best;
}

}  // namespace

void Cpu::linear(const View& y, const View& x, const Packed& weight,
                 const Epilogue& epilogue) const {
  const auto& w = static_cast<const PackedLinear&>(weight);
  const int64_t m = x.shape[0];
  if (m == 0 || w.n == 0) return;
  const LinearCall call{x.as<float>(), m > 1 ? x.strides[0] : w.k, y.as<float>(), w.n, m, &w,
                        epilogue.activation,
                        epilogue.scale ? epilogue.scale->as<float>() : nullptr,
                        epilogue.residual ? epilogue.residual->as<float>() : nullptr};
  const int64_t panels = w.panels.size(0);
  const int64_t tile = HWY_DYNAMIC_DISPATCH(tile_rows)();
  const int64_t tiles = (m + tile - 1) / tile;
  // Below some 100 000 multiply-adds a second thread costs more than it brings.
  const int64_t threads = m * w.n * w.k < 100000 ? 1 : num_threads();
  const Grid grid = choose_grid(tiles, panels, threads);
  parallel_for(grid.rows * grid.panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / grid.panels, p = i % grid.panels;
      HWY_DYNAMIC_DISPATCH(linear_part)
      (call, {m * r / grid.rows, m * (r + 1) / grid.rows},
       {panels * p / grid.panels, panels * (p + 1) / grid.panels});
    }
  });
}

void linear_serial(const LinearCall& call) {
  if (call.m == 0) return;
  HWY_DYNAMIC_DISPATCH(linear_part)(call, {0, call.m}, {0, call.weight->panels.size(0)});
}

// Through the packed product: B is packed on the fly.
void Cpu::gemm(const View& y, const View& a, const View& b, float alpha) const {
  const int rank = y.shape.rank();
  const Shape lead{std::span(y.shape.begin(), static_cast<size_t>(rank - 2))};
  const auto one = [&](const View& v, int64_t i) {
    Tensor t = Tensor::borrow(v);
    for (int d = rank - 3; d >= 0; --d) {
      t = t.select(d, i % lead[d]);
      i /= lead[d];
    }
    return t;
  };
  const Tensor factor = alpha == 1 ? Tensor() : Tensor::full({y.shape[-1]}, alpha);
  const View factor_view = factor;
  parallel_for(lead.numel(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Tensor left = contiguous(one(a, i)), out = one(y, i);
      const Tensor result = out.is_contiguous() ? out : Tensor::empty(out.shape());
      const PackedPtr packed = pack_linear(one(b, i).transpose(0, 1), nullptr);
      linear(result, left, *packed, {std::nullopt, factor.defined() ? &factor_view : nullptr});
      if (!out.is_contiguous()) copy(out, result);
    }
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
