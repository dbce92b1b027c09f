// y = softmax(scale * q k^T + bias + mask) v, one tile of queries against all keys of a head: the
// scores of a tile stay in the second-level cache, memory is O(N). Of bf16, the products are (the
// weights are rounded before they are multiplied with v), softmax is f32.
#include "ocelli/backend/cpu/attention.h"
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/attention.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/attention-inl.h"
#include "ocelli/backend/cpu/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

int64_t attention_panel() {
  return kPanel;
}
int64_t attention_tile() {
  return kTileRows;
}

// keys: [ceil(nk / W)][words of d][W] from rows of k; values: [ceil(dv / W)][words of nk][W];
// W = kPanel.
template <class T>
void pack_head(const Head<T>& h, float* keys, float* values) {
  constexpr int64_t kEach = sizeof(float) / sizeof(T);
  pack_rows_across(reinterpret_cast<const float*>(h.k), h.k_row / kEach, h.nk, h.d / kEach, keys);
  pack_rows(h.v, h.v_row, h.nk, h.dv, values);
}

// Rows of sums, kPanel apart, times 1 / sum of the row's exponentials, into y.
HWY_INLINE void finish(float* sums, int64_t rows, const float* factors, float* y, int64_t y_row,
                       int64_t columns) {
  const Tag d;
  for (int64_t r = 0; r < rows; ++r, sums += kPanel, y += y_row) {
    const Vec factor = hn::Set(d, factors[r]);
    for (int64_t c = 0; c < std::min(columns, kPanel); c += kLanes) {
      store_some(hn::Mul(hn::Load(d, sums + c), factor), y + c, columns - c);
    }
  }
}
HWY_INLINE void finish(float* sums, int64_t rows, const float* factors, uint16_t* y, int64_t y_row,
                       int64_t columns) {
  finish(sums, rows, factors, sums, kPanel, kPanel);
  round_rows_here()(sums, kPanel, rows, std::min(columns, kPanel), y, y_row);
}

// Queries [begin, end) of a head; `scores` holds kTileRows rows of `padded` floats.
template <class T>
void attend(const Head<T>& h, const float* keys, const float* values, int64_t begin, int64_t end,
            float* scores) {
  constexpr int64_t kEach = sizeof(float) / sizeof(T);
  const RunTile run = run_tile_of(kEach == 2 ? Precision::bf16 : Precision::f32);
  const int64_t padded = round_up(h.nk, kPanel), d = h.d / kEach,
                words = (h.nk + kEach - 1) / kEach;
  const int64_t tiles = (end - begin + kTileRows - 1) / kTileRows;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t q0 = begin + tile_begin(end - begin, tiles, t);
    const int64_t rows = begin + tile_begin(end - begin, tiles, t + 1) - q0;
    // Keys after the last one that a query of this tile sees need no scores.
    const int64_t last = h.causal ? std::clamp<int64_t>(q0 + rows + h.nk - h.nq, 0, h.nk) : h.nk;
    const int64_t used = round_up(last, kLanes);
    const auto* q = reinterpret_cast<const float*>(h.q + q0 * h.q_row);
    for (int64_t p = 0; p * kPanel < used; ++p) {
      run(rows, {q, h.q_row / kEach, keys + p * d * kPanel, d},
          {.columns = used - p * kPanel, .keep = scores + p * kPanel, .keep_row = padded});
    }
    float factors[kTileRows];
    HWY_ALIGN float sums[kTileRows * kPanel];
    for (int64_t r = 0; r < rows; ++r) {
      float* s = scores + r * padded;
      mask_row(h, q0 + r, used, s);
      factors[r] = used > 0 ? exponentials<kEach == 2>(s, used, h.bias ? 1 : h.scale) : 0;
    }
    if (kEach == 2) {
      round_rows_here()(scores, padded, rows, used, reinterpret_cast<uint16_t*>(scores),
                        2 * padded);
    }
    for (int64_t p = 0; p * kPanel < h.dv; ++p) {
      run(rows, {scores, padded, values + p * words * kPanel, (last + kEach - 1) / kEach},
          {.columns = h.dv - p * kPanel, .keep = sums, .keep_row = kPanel});
      finish(sums, rows, factors, h.y + q0 * h.y_row + p * kPanel, h.y_row, h.dv - p * kPanel);
    }
  }
}

// A head of f32 in products of bf16, in `memory` of rounded_size(h).
int64_t rounded_size(const Head<float>& h) {
  const int64_t padded = round_up(h.nk, kPanel);
  return padded * h.d / 2 + (h.nk + 1) / 2 * round_up(h.dv, kPanel) + kTileRows * padded +
         (h.nq + h.nk) * (h.d + h.dv) / 2;
}
void attend_rounded(const Head<float>& h, float* memory) {
  const int64_t padded = round_up(h.nk, kPanel);
  float *keys = memory, *values = keys + padded * h.d / 2,
        *scores = values + (h.nk + 1) / 2 * round_up(h.dv, kPanel);
  auto* into = reinterpret_cast<uint16_t*>(scores + kTileRows * padded);
  const auto rounded = [&](const float* x, int64_t row, int64_t n, int64_t width) {
    round_rows_here()(x, row, n, width, into, width);
    return std::exchange(into, into + n * width);
  };
  const Head<uint16_t> narrow{.q = rounded(h.q, h.q_row, h.nq, h.d),
                              .k = rounded(h.k, h.k_row, h.nk, h.d),
                              .v = rounded(h.v, h.v_row, h.nk, h.dv),
                              .y = into,
                              .q_row = h.d,
                              .k_row = h.d,
                              .v_row = h.dv,
                              .y_row = h.dv,
                              .nq = h.nq,
                              .nk = h.nk,
                              .d = h.d,
                              .dv = h.dv,
                              .scale = h.scale,
                              .causal = h.causal,
                              .mask = h.mask,
                              .mask_step = h.mask_step,
                              .bias = h.bias,
                              .bias_row = h.bias_row,
                              .bias_step = h.bias_step};
  pack_head(narrow, keys, values);
  attend(narrow, keys, values, 0, h.nq, scores);
  for (int64_t r = 0; r < h.nq; ++r) {
    for (int64_t c = 0; c < h.dv; c += kLanes) {
      store_some(load_bf16(narrow.y + r * h.dv + c, h.dv - c), h.y + r * h.y_row + c, h.dv - c);
    }
  }
}

void pack_head_f32(const Head<float>& h, float* keys, float* values) {
  pack_head(h, keys, values);
}
void pack_head_bf16(const Head<uint16_t>& h, float* keys, float* values) {
  pack_head(h, keys, values);
}
void attend_f32(const Head<float>& h, const float* keys, const float* values, int64_t begin,
                int64_t end, float* scores) {
  attend(h, keys, values, begin, end, scores);
}
void attend_bf16(const Head<uint16_t>& h, const float* keys, const float* values, int64_t begin,
                 int64_t end, float* scores) {
  attend(h, keys, values, begin, end, scores);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(attention_panel);
HWY_EXPORT(attention_tile);
HWY_EXPORT(pack_head_f32);
HWY_EXPORT(pack_head_bf16);
HWY_EXPORT(rounded_size);
HWY_EXPORT(attend_rounded);
HWY_EXPORT(attend_f32);
HWY_EXPORT(attend_bf16);

namespace {

void pack_head(const Head<float>& h, float* keys, float* values) {
  HWY_DYNAMIC_DISPATCH(pack_head_f32)(h, keys, values);
}
void pack_head(const Head<uint16_t>& h, float* keys, float* values) {
  HWY_DYNAMIC_DISPATCH(pack_head_bf16)(h, keys, values);
}
void attend(const Head<float>& h, const float* keys, const float* values, int64_t begin,
            int64_t end, float* scores) {
  HWY_DYNAMIC_DISPATCH(attend_f32)(h, keys, values, begin, end, scores);
}
void attend(const Head<uint16_t>& h, const float* keys, const float* values, int64_t begin,
            int64_t end, float* scores) {
  HWY_DYNAMIC_DISPATCH(attend_bf16)(h, keys, values, begin, end, scores);
}

template <class T>
void attend_all(const View& y, const Tensor& q, const Tensor& k, const Tensor& v,
                const Attention& params) {
  constexpr int64_t kEach = sizeof(float) / sizeof(T);
  const int64_t heads = q.size(2), count = q.size(0) * heads, nq = q.size(1), nk = k.size(1);
  const int64_t panel = HWY_DYNAMIC_DISPATCH(attention_panel)();
  const int64_t tile = HWY_DYNAMIC_DISPATCH(attention_tile)();
  const auto up = [&](int64_t n) { return (n + panel - 1) / panel * panel; };
  const int64_t keys_size = up(nk) * (q.size(3) / kEach);
  const int64_t values_size = (nk + kEach - 1) / kEach * up(v.size(3));
  const int64_t threads = num_threads();
  if (count >= 4 * threads || threads == 1 || count % threads == 0) {
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      const Tensor packed = Tensor::empty({keys_size + values_size + tile * up(nk)});
      float *keys = packed.data<float>(), *values = keys + keys_size;
      for (int64_t i = begin; i < end; ++i) {
        const Head h = head_of<T>(y, q, k, v, params, i / heads, i % heads);
        pack_head(h, keys, values);
        attend(h, keys, values, 0, nq, values + values_size);
      }
    });
    return;
  }
  // Few heads: pack all of them, then share out the queries.
  const Tensor packed = Tensor::empty({count, keys_size + values_size});
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* keys = packed.data<float>() + i * (keys_size + values_size);
      pack_head(head_of<T>(y, q, k, v, params, i / heads, i % heads), keys, keys + keys_size);
    }
  });
  parallel_for(count * nq, tile, [&](int64_t begin, int64_t end) {
    const Tensor scores = Tensor::empty({tile * up(nk)});
    while (begin < end) {
      const int64_t i = begin / nq, stop = std::min(end, (i + 1) * nq);
      const float* keys = packed.data<float>() + i * (keys_size + values_size);
      attend(head_of<T>(y, q, k, v, params, i / heads, i % heads), keys, keys + keys_size,
             begin - i * nq, stop - i * nq, scores.data<float>());
      begin = stop;
    }
  });
}

void attend_all_rounded(const View& y, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Attention& params) {
  const int64_t heads = q.size(2);
  parallel_for(q.size(0) * heads, 1, [&](int64_t begin, int64_t end) {
    Tensor memory;
    for (int64_t i = begin; i < end; ++i) {
      const auto h = head_of<float>(y, q, k, v, params, i / heads, i % heads);
      if (i == begin) memory = Tensor::empty({HWY_DYNAMIC_DISPATCH(rounded_size)(h)});
      HWY_DYNAMIC_DISPATCH(attend_rounded)(h, memory.data<float>());
    }
  });
}

}  // namespace

bool Cpu::has_narrow_attention(const Tensor& q, const Tensor& v) const {
  return precision_ == Precision::bf16 && has_bf16_dots() && q.size(3) % 2 == 0 &&
         v.size(3) % 2 == 0;
}

void Cpu::attention(const View& y, const View& query, const View& key, const View& value,
                    const Attention& params) const {
  const bool empty = y.shape.numel() == 0 || key.shape[1] == 0 || query.shape[3] == 0;
  const Tensor q = compact_rows(query), k = compact_rows(key), v = compact_rows(value);
  if (y.dtype == DType::f32) {
    if (!empty && has_narrow_attention(q, v)) return attend_all_rounded(y, q, k, v, params);
    if (empty) return Reference::attention(y, query, key, value, params);
    return attend_all<float>(y, q, k, v, params);
  }
  if (!empty && has_bf16_dots() && has_whole_words(q) && has_whole_words(k)) {
    return attend_all<uint16_t>(y, q, k, v, params);
  }
  const Tensor wide = Tensor::empty(y.shape);
  attention(wide, to(q, DType::f32), to(k, DType::f32), to(v, DType::f32), params);
  copy(y, wide);
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
