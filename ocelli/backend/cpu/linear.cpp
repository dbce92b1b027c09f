// linear: y = residual + scale * activation(x W^T + bias) on packed weights.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/linear.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/gemm-inl.h"
#include "ocelli/backend/cpu/math-inl.h"
#include "ocelli/backend/cpu/words-inl.h"

#ifndef OCELLI_BACKEND_CPU_LINEAR_ONCE
#define OCELLI_BACKEND_CPU_LINEAR_ONCE
namespace ocelli::backend {

WordRows from_row(WordRows rows, int64_t r) {
  rows.words += r * rows.row;
  if (rows.steps) {
    rows.steps += r;
    rows.lows += r;
  }
  return rows;
}

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

// y = residual + scale * activation(sums) for the rows of a tile; in the place of the sums where
// they go on to be rounded.
template <Unary kActivation, bool kRough>
HWY_INLINE void finish(const TileEnd& end, int64_t rows) {
  const Tag d;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < end.columns; j += kLanes) {
      const int64_t left = end.columns - j, at = r * end.ldy + j;
      Vec v = apply<kActivation, kRough>(d, hn::Load(d, end.keep + r * end.keep_row + j));
      if (end.scale) v = hn::Mul(v, load_some(end.scale + j, left));
      if (end.residual) v = hn::Add(v, load_some(end.residual + at, left));
      if (kRough)
        hn::Store(v, d, end.keep + r * end.keep_row + j);
      else
        store_some(v, end.y + at, left);
    }
  }
}

void finish(Unary activation, const TileEnd& end, int64_t rows, bool rough) {
  switch (activation) {
#define OCELLI_CASE(kind) \
  case Unary::kind:       \
    return rough ? finish<Unary::kind, true>(end, rows) : finish<Unary::kind, false>(end, rows)
    OCELLI_CASE(relu);
    OCELLI_CASE(relu6);
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

// Whether a product of `panels` panels needs its rows written as words: because they are of another
// type, or because rows whose distance is a multiple of a page fall on the same lines of the
// first-level cache, where enough panels pass over them to pay for copying them to rows that do
// not.
bool makes_words(const LinearCall& call, int64_t panels) {
  const PackedLinear& w = *call.weight;
  if (call.words) return false;
  const bool same_type = w.precision == Precision::f32
                             ? call.x_type == DType::f32
                             : w.precision == Precision::bf16 && call.x_type == DType::bf16;
  if (!same_type) return true;
  const int64_t each = numbers_per_word(w.precision);
  if (w.k % each || call.ldx % each || reinterpret_cast<uintptr_t>(call.x) % 4) return true;
  return call.ldx / each % 1024 == 0 && kTileRows > 8 && panels >= 2;
}

// Rows [rows.begin, rows.end) of x as words [word, word + count) of the weight's kind.
template <class T>
void rows_to_words(const LinearCall& call, Range rows, int64_t word, int64_t count,
                   const WordRows& into) {
  const PackedLinear& w = *call.weight;
  const int64_t each = numbers_per_word(w.precision), n = std::min(count * each, w.k - word * each);
  if (w.precision == Precision::bf16) {
    const T* x = static_cast<const T*>(call.x) + rows.begin * call.ldx + word * each;
    return rows_to_bf16(x, call.ldx, rows.end - rows.begin, n, into.words, into.row);
  }
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    const T* row = static_cast<const T*>(call.x) + r * call.ldx;
    const T* x = row + word * each;
    float* y = into.words + (r - rows.begin) * into.row;
    if (w.precision == Precision::f32) {
      row_to_f32(x, n, y);
    } else {
      float &step = into.steps[r - rows.begin], &low = into.lows[r - rows.begin];
      if (word == 0) {
        const ByteScale scale = w.input.step > 0 ? w.input : byte_scale(row, w.k);
        step = scale.step;
        low = scale.low;
      }
      if (w.input.step > 0)
        step += row_to_bytes<true>(x, n, {low, w.input.step}, y);
      else
        row_to_bytes<false>(x, n, {low, step}, y);
    }
  }
}

void make_words(const LinearCall& call, Range rows, int64_t word, int64_t count,
                const WordRows& into) {
  if (call.x_type == DType::f32)
    rows_to_words<float>(call, rows, word, count, into);
  else
    rows_to_words<uint16_t>(call, rows, word, count, into);
}

// Words [word, word + count) of a panel held in 4 bits, `word` even: w = step * (q - 8).
void unpack(const PackedLinear& w, int64_t panel, int64_t word, int64_t count, float* into) {
  const Tag d;
  const hn::RebindToUnsigned<Tag> du;
  const hn::RebindToSigned<Tag> di;
  const hn::Rebind<uint8_t, Tag> d8;
  const int64_t pairs = (w.k + 1) / 2, groups = (w.k + w.group - 1) / w.group;
  const bool joined = w.precision == Precision::bf16;
  const int64_t first = joined ? word : word / 2, last = first + (joined ? count : (count + 1) / 2);
  const uint8_t* bytes = w.panels.data<uint8_t>() + panel * pairs * kPanel;
  const auto* steps = static_cast<const uint16_t*>(w.group_steps.raw()) + panel * groups * kPanel;
  for (int64_t v = 0; v < kPanel; v += kLanes) {
    float* y = into + v;
    Vec step = hn::Zero(d);
    for (int64_t i = first; i < last; ++i) {
      if (i == first || 2 * i % w.group == 0)
        step = load_bf16(steps + 2 * i / w.group * kPanel + v, kLanes);
      const auto both = hn::PromoteTo(du, hn::LoadU(d8, bytes + i * kPanel + v));
      const auto number = [&](hn::Vec<hn::RebindToUnsigned<Tag>> q) HWY_ATTR {
        return hn::Mul(step, hn::ConvertTo(d, hn::Sub(hn::BitCast(di, q), hn::Set(di, 8))));
      };
      const Vec even = number(hn::And(both, hn::Set(du, 15))),
                odd = number(hn::ShiftRight<4>(both));
      if (joined) {  // the products are exact in bf16 but for its last bits
        hn::Store(join_bf16(even, odd), d, y);
        y += kPanel;
      } else {
        hn::Store(even, d, y);
        hn::Store(odd, d, y + kPanel);
        y += 2 * kPanel;
      }
    }
  }
}

// Rows and panels of one call, on one thread. A block of rows of x stays in the second-level cache
// while all panels pass over it; deep products are cut along K into slices so that the block has
// enough rows to pay for reading the panels.
class LinearPart {
 public:
  LinearPart(const LinearCall& call, Range rows, Range panels)
      : call_(call), w_(*call.weight), rows_(rows), panels_(panels) {
    slices_ = w_.words > 1536 ? (w_.words + 1023) / 1024 : 1;
    slice_ = std::max<int64_t>((w_.words + slices_ - 1) / slices_, 1);
    if (w_.group) slice_ += slice_ % 2;  // a byte is whole
    block_ = std::max<int64_t>(cache_budget() / (slice_ * 4), 4 * kTileRows);
    const int64_t count = panels.end - panels.begin;
    const int64_t sums = slices_ > 1 ? count * (block_ + 1) * kPanel : kTileRows * kPanel;
    if (makes_words(call, count)) copy_.row = (slice_ + 15) / 16 * 16 + 16;
    const int64_t unpacked = w_.group ? (slice_ + 1) * kPanel : 0;
    memory_ = Tensor::empty({sums + unpacked + (copy_.row + 2) * (block_ + 1)});
    unpacked_ = memory_.data<float>() + sums;
    copy_.words = unpacked_ + unpacked;
    copy_.steps = copy_.words + copy_.row * (block_ + 1);
    copy_.lows = copy_.steps + block_ + 1;
    run_tile_ = run_tile_of(w_.precision);
    finishes_ = !call.y16 && !call.sums && bounds(call.activation, end_);
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
  // The rows of a slice, which are made where they are not there.
  WordRows words_of(Range rows, int64_t word, int64_t count) {
    if (copy_.row) {
      make_words(call_, rows, word, count, copy_);
      return copy_;
    }
    WordRows all;
    if (call_.words) {
      all = *call_.words;
    } else {  // which nobody writes to
      all.words = const_cast<float*>(static_cast<const float*>(call_.x));
      all.row = call_.x_type == DType::bf16 ? call_.ldx / 2 : call_.ldx;
    }
    all = from_row(all, rows.begin);
    all.words += word * all.step;
    return all;
  }

  void run_slice(Range rows, int64_t s) {
    const int64_t word = s * slice_, count = rows.end - rows.begin;
    const int64_t depth = std::min(slice_, w_.words - word);
    const WordRows x = words_of(rows, word, depth);
    const bool last = s + 1 == slices_;
    TileBegin begin{.a = x.words, .lda = x.row, .b = nullptr, .depth = depth, .step = x.step};
    for (int64_t p = panels_.begin; p < panels_.end; ++p) {
      const int64_t column = p * kPanel;
      if (w_.group) {
        unpack(w_, p, word, depth, unpacked_);
        begin.b = unpacked_;
      } else {
        begin.b = w_.panels.data<float>() + (p * w_.words + word) * kPanel;
        const float* next = begin.b + w_.words * kPanel;
        begin.next = next, begin.next_end = next + depth * kPanel;
        if (p + 1 == panels_.end) fetch_rows(rows, begin);
      }
      end_.columns = std::min(kPanel, w_.n - column);
      end_.bias = w_.bias.defined() ? w_.bias.data<float>() + column : nullptr;
      end_.scale = call_.scale ? call_.scale + column : nullptr;
      if (w_.steps.defined()) {
        end_.column_step = w_.steps.data<float>() + column;
        end_.column_sum = w_.sums.data<float>() + column;
      }
      // The sums of a panel lie together: [panel][row][kPanel].
      float* sums =
          memory_.data<float>() + (slices_ > 1 ? (p - panels_.begin) * count * kPanel : 0);
      run_panel(begin, {rows.begin * call_.ldy + column, count, s > 0, last, sums},
                last && w_.steps.defined() ? x : WordRows());
    }
  }

  // After the last panel come the rows of the next block, where they are read as they lie.
  void fetch_rows(Range rows, TileBegin& begin) {
    begin.next = begin.next_end = nullptr;
    if (copy_.row || call_.words || slices_ > 1 || rows.end == rows_.end) return;
    begin.next = begin.a + (rows.end - rows.begin) * begin.lda;
    begin.next_end = begin.next + std::min(rows.end - rows.begin, rows_.end - rows.end) * begin.lda;
  }

  struct Panel {
    int64_t at, rows;  // `at`: the panel's place in y
    bool goes_on, last;
    float* sums;
  };

  // `scales`: of the rows, where the sums are integers and complete.
  void run_panel(TileBegin begin, const Panel& panel, const WordRows& scales) {
    const int64_t tiles = (panel.rows + kTileRows - 1) / kTileRows;
    const float *a = begin.a, *next = begin.next;
    const int64_t fetched = begin.next_end - next;
    int64_t r1 = 0;
    begin.next_end = next;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t r0 = r1;
      r1 = tile_begin(panel.rows, tiles, t + 1);
      begin.a = a + r0 * begin.lda;
      begin.next = begin.next_end;
      begin.next_end = next + fetched * (t + 1) / tiles;
      float* sums = panel.sums + (slices_ > 1 ? r0 * kPanel : 0);
      end_.start = panel.goes_on ? sums : nullptr;
      end_.keep = panel.last && finishes_ ? nullptr : sums;
      end_.row_step = scales.steps ? scales.steps + r0 : nullptr;
      end_.row_low = scales.steps ? scales.lows + r0 : nullptr;
      const int64_t at = panel.at + r0 * call_.ldy;
      if (!call_.y16) end_.y = call_.y + at;
      end_.residual = call_.residual ? call_.residual + at : nullptr;
      run_tile_(r1 - r0, begin, end_);
      if (!panel.last || finishes_) continue;
      if (call_.sums) keep_sums(sums, at, r1 - r0);
      if (call_.activation) finish(*call_.activation, end_, r1 - r0, call_.y16 != nullptr);
      if (call_.y16) round_rows_(sums, kPanel, r1 - r0, end_.columns, call_.y16 + at, call_.ldy);
    }
  }

  void keep_sums(const float* sums, int64_t at, int64_t rows) {
    if (call_.y16) {
      return round_rows_(sums, kPanel, rows, end_.columns, static_cast<uint16_t*>(call_.sums) + at,
                         call_.ldy);
    }
    for (int64_t r = 0; r < rows; ++r, sums += kPanel, at += call_.ldy)
      std::copy_n(sums, end_.columns, static_cast<float*>(call_.sums) + at);
  }

  const LinearCall& call_;
  const PackedLinear& w_;
  const Range rows_, panels_;
  int64_t slices_, slice_, block_;
  Tensor memory_;
  WordRows copy_;    // a block of rows; row 0: not copied
  float* unpacked_;  // a slice of a panel in 4 bits
  RunTile run_tile_;
  RoundRows round_rows_ = round_rows_here();
  TileEnd end_;
  bool finishes_;  // the tile itself makes y
};

void linear_part(const LinearCall& call, Range rows, Range panels) {
  LinearPart(call, rows, panels)();
}

int64_t tile_rows() {
  return kTileRows;
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <unistd.h>

namespace ocelli::backend {

HWY_EXPORT(makes_words);
HWY_EXPORT(make_words);
HWY_EXPORT(linear_part);
HWY_EXPORT(tile_rows);

int64_t cache_budget() {
  static const int64_t budget = [] {
    const int64_t size = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
    return std::max<int64_t>(size, 256 << 10) / 2;
  }();
  return budget;
}

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

int64_t tile_height() {
  return HWY_DYNAMIC_DISPATCH(tile_rows)();
}

void Cpu::linear(const View& y, const View& x, const Packed& weight,
                 const Epilogue& epilogue) const {
  const auto& w = static_cast<const PackedLinear&>(weight);
  const int64_t m = x.shape[0];
  if (m == 0 || w.n == 0) return;
  const bool narrow = y.dtype == DType::bf16;
  LinearCall call{x.data,
                  m > 1 ? x.strides[0] : w.k,
                  narrow ? nullptr : y.as<float>(),
                  m > 1 ? y.strides[0] : w.n,
                  m,
                  &w,
                  epilogue.activation,
                  epilogue.scale ? epilogue.scale->as<float>() : nullptr,
                  epilogue.residual ? epilogue.residual->as<float>() : nullptr,
                  x.dtype,
                  narrow ? static_cast<uint16_t*>(y.data) : nullptr,
                  epilogue.sums ? epilogue.sums->data : nullptr};
  const int64_t panels = w.panels.size(0);
  const int64_t tile = tile_height();
  // Below some 100 000 products of words a part costs more than it brings.
  const int64_t threads = num_threads(), worth = m * w.n * w.words / 100000;
  const Grid grid =
      choose_grid((m + tile - 1) / tile, panels, threads, std::min(4 * threads, worth));
  // Parts that read the same rows of x would each make the words.
  Tensor apart;
  WordRows made;
  if (grid.panels > 1 && HWY_DYNAMIC_DISPATCH(makes_words)(call, panels)) {
    const int64_t row = (w.words + 15) / 16 * 16 + 16;
    apart = Tensor::empty({m * (row + 2)});
    float* words = apart.data<float>();
    made = {.words = words, .row = row, .steps = words + m * row, .lows = words + m * (row + 1)};
    parallel_for(m, 16, [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(make_words)(call, {begin, end}, 0, w.words, from_row(made, begin));
    });
    call.words = &made;
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
  linear_serial(call, {0, call.weight->panels.size(0)});
}

void linear_serial(const LinearCall& call, Range panels) {
  if (call.m > 0) HWY_DYNAMIC_DISPATCH(linear_part)(call, {0, call.m}, panels);
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
