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

// Activations that bound the sums are applied in the tile's registers; the others in a second step,
// when the sums lie in the first-level cache.
bool bounds(Activation activation, TileEnd& end) {
  if (!activation) return true;
  if (*activation != Unary::relu && *activation != Unary::relu6) return false;
  end.low = 0;
  if (*activation == Unary::relu6) end.high = 6;
  return true;
}

// y = residual + scale * activation(sums) for the rows of a tile.
template <Unary kActivation>
HWY_INLINE void finish(const TileEnd& end, int64_t rows) {
  const Tag d;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < end.columns; j += kLanes) {
      const int64_t left = end.columns - j, at = r * end.ldy + j;
      Vec v = apply<kActivation>(d, hn::Load(d, end.keep + r * end.keep_row + j));
      if (end.scale) v = hn::Mul(v, load_some(end.scale + j, left));
      if (end.residual) v = hn::Add(v, load_some(end.residual + at, left));
      store_some(v, end.y + at, left);
    }
  }
}

void finish(Unary activation, const TileEnd& end, int64_t rows) {
  switch (activation) {
#define OCELLI_CASE(kind) \
  case Unary::kind: return finish<Unary::kind>(end, rows)
    OCELLI_CASE(gelu);
    OCELLI_CASE(gelu_tanh);
    OCELLI_CASE(quick_gelu);
    OCELLI_CASE(silu);
    OCELLI_CASE(sigmoid);
    OCELLI_CASE(tanh);
    OCELLI_CASE(hardswish);
#undef OCELLI_CASE
    default: fail(ErrorCode::unsupported, "linear: this activation cannot be fused");
  }
}

// Rows whose distance is a multiple of a page fall on the same lines of the first-level cache; a
// block of them is copied to rows that do not, where enough panels pass over it to pay for that.
bool rows_collide(int64_t lda, int64_t panels) {
  return lda % 1024 == 0 && kTileRows > 8 && panels >= 2;
}

// Rows and panels of one call, on one thread. A block of rows of x stays in the second-level cache
// while all panels pass over it; deep products are cut along K into slices so that the block has
// enough rows to pay for reading the panels.
class LinearPart {
 public:
  LinearPart(const LinearCall& call, Range rows, Range panels)
      : call_(call), w_(*call.weight), rows_(rows), panels_(panels) {
    slices_ = w_.k > 1536 ? (w_.k + 1023) / 1024 : 1;
    slice_ = std::max<int64_t>((w_.k + slices_ - 1) / slices_, 1);
    block_ = std::max<int64_t>(cache_budget() / (slice_ * 4), 4 * kTileRows);
    const int64_t count = panels.end - panels.begin;
    const int64_t sums = slices_ > 1 ? count * (block_ + 1) * kPanel : kTileRows * kPanel;
    if (rows_collide(call.ldx, count)) copy_row_ = (slice_ + 15) / 16 * 16 + 16;
    memory_ = Tensor::empty({sums + copy_row_ * (block_ + 1)});
    copy_ = memory_.data<float>() + sums;
    finishes_ = bounds(call.activation, end_);
    end_.ldy = call.ldy;
    end_.keep_row = kPanel;
  }

  void operator()() {
    const int64_t count = rows_.end - rows_.begin, blocks = (count + block_ - 1) / block_;
    for (int64_t i = 0; i < blocks; ++i) {
      const Range rows{rows_.begin + tile_begin(count, blocks, i),
                       rows_.begin + tile_begin(count, blocks, i + 1)};
      for (int64_t s = 0; s < slices_; ++s) run_slice(rows, s);
    }
  }

 private:
  void run_slice(Range rows, int64_t s) {
    const int64_t k = s * slice_, count = rows.end - rows.begin;
    TileBegin begin{call_.x + rows.begin * call_.ldx + k, call_.ldx, nullptr,
                    std::min(slice_, w_.k - k)};
    if (copy_row_) {
      for (int64_t r = 0; r < count; ++r)
        std::copy_n(begin.a + r * begin.lda, begin.depth, copy_ + r * copy_row_);
      begin.a = copy_;
      begin.lda = copy_row_;
    }
    for (int64_t p = panels_.begin; p < panels_.end; ++p) {
      const int64_t column = p * kPanel;
      begin.b = w_.panels.data<float>() + (p * w_.k + k) * kPanel;
      begin.next = p + 1 < panels_.end ? begin.b + w_.k * kPanel : nullptr;
      end_.columns = std::min(kPanel, w_.n - column);
      end_.bias = w_.bias.defined() ? w_.bias.data<float>() + column : nullptr;
      end_.scale = call_.scale ? call_.scale + column : nullptr;
      // The sums of a panel lie together: [panel][row][kPanel].
      float* sums =
          memory_.data<float>() + (slices_ > 1 ? (p - panels_.begin) * count * kPanel : 0);
      run_panel(begin, {rows.begin * call_.ldy + column, count, s, sums});
    }
  }

  struct Panel {
    int64_t at, rows, slice;  // `at`: the panel's place in y
    float* sums;
  };

  void run_panel(TileBegin begin, const Panel& panel) {
    const int64_t tiles = (panel.rows + kTileRows - 1) / kTileRows;
    const bool last = panel.slice + 1 == slices_;
    const float *a = begin.a, *next = begin.next;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t r0 = tile_begin(panel.rows, tiles, t),
                    rows = tile_begin(panel.rows, tiles, t + 1) - r0;
      begin.a = a + r0 * begin.lda;
      if (next) {
        begin.next = next + begin.depth * kPanel * t / tiles;
        begin.next_end = next + begin.depth * kPanel * (t + 1) / tiles;
      }
      float* sums = panel.sums + (slices_ > 1 ? r0 * kPanel : 0);
      end_.start = panel.slice > 0 ? sums : nullptr;
      end_.keep = last && finishes_ ? nullptr : sums;
      const int64_t at = panel.at + r0 * call_.ldy;
      end_.y = call_.y + at;
      end_.residual = call_.residual ? call_.residual + at : nullptr;
      run_tile(rows, begin, end_);
      if (last && !finishes_) finish(*call_.activation, end_, rows);
    }
  }

  const LinearCall& call_;
  const PackedLinear& w_;
  const Range rows_, panels_;
  int64_t slices_, slice_, block_;
  Tensor memory_;
  float* copy_;           // a block of rows of x, rows copy_row_ apart
  int64_t copy_row_ = 0;  // 0: not copied
  TileEnd end_;
  bool finishes_;  // the tile itself makes y
};

void linear_part(const LinearCall& call, Range rows, Range panels) {
  LinearPart(call, rows, panels)();
}

int64_t panel_width() {
  return kPanel;
}
int64_t tile_rows() {
  return kTileRows;
}

// panels[p][k][j] = w[p * kPanel + j][k]
void pack_panels(const View& weight, float* packed, Range panels) {
  const int64_t n = weight.shape[0], depth = weight.shape[1];
  const int64_t row = weight.strides[0], column = weight.strides[1];
  for (int64_t p = panels.begin; p < panels.end; ++p) {
    float* into = packed + p * depth * kPanel;
    const float* from = weight.as<float>() + p * kPanel * row;
    const int64_t count = std::min(kPanel, n - p * kPanel);
    if (column == 1) {
      transpose(from, row, count, depth, into, kPanel);
    } else {
      for (int64_t k = 0; k < depth; ++k) {
        for (int64_t j = 0; j < count; ++j) into[k * kPanel + j] = from[j * row + k * column];
      }
    }
    for (int64_t k = 0; count < kPanel && k < depth; ++k) {
      std::fill(into + k * kPanel + count, into + (k + 1) * kPanel, 0.0f);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <unistd.h>

namespace ocelli::backend {

HWY_EXPORT(rows_collide);
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

// The output is cut into a grid of row and panel ranges that threads take one after the other: the
// one that ends first when all are equally fast, and of those the finest, for when they are not.
struct Grid {
  int64_t rows, panels;
};

Grid choose_grid(int64_t tiles, int64_t panels, int64_t threads, int64_t most) {
  Grid best{1, 1};
  int64_t cost = tiles * panels;
  for (int64_t parts = threads; parts <= most; parts += threads) {
    for (int64_t r = 1; r <= std::min(parts, tiles); ++r) {
      const int64_t across = parts / r;
      // A part of few panels reads its rows of x too often for what it computes.
      if (parts % r || across > std::max(panels / 4, threads)) continue;
      const int64_t end =
          parts / threads * ((tiles + r - 1) / r) * ((panels + across - 1) / across);
      if (end > cost) continue;
      cost = end;
      best = {r, across};
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
  LinearCall call{x.as<float>(),
                  m > 1 ? x.strides[0] : w.k,
                  y.as<float>(),
                  m > 1 ? y.strides[0] : w.n,
                  m,
                  &w,
                  epilogue.activation,
                  epilogue.scale ? epilogue.scale->as<float>() : nullptr,
                  epilogue.residual ? epilogue.residual->as<float>() : nullptr};
  const int64_t panels = w.panels.size(0);
  const int64_t tile = HWY_DYNAMIC_DISPATCH(tile_rows)();
  // Below some 100 000 multiply-adds a part costs more than it brings.
  const int64_t threads = num_threads(), worth = m * w.n * w.k / 100000;
  const Grid grid =
      choose_grid((m + tile - 1) / tile, panels, threads, std::min(4 * threads, worth));
  // Parts that read the same rows of x would each copy them.
  Tensor apart;
  if (grid.panels > 1 && HWY_DYNAMIC_DISPATCH(rows_collide)(call.ldx, panels)) {
    apart = Tensor::empty({m, w.k + 16}).slice(1, 0, w.k);
    copy(apart, x);
    call.x = apart.data<float>();
    call.ldx = w.k + 16;
  }
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
