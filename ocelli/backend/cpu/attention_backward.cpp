// The gradient of attention, a head of an image at a time. With p = softmax(scale q k^T + ...),
//   dv = p^T dy,  ds = scale p (dp - sum_j p dp),  dp = dy v^T,  dq = ds k,  dk = ds^T q.
// p is computed again for a tile of queries after the other, so that memory is O(N): Dao et al.,
// "FlashAttention", arXiv 2205.14135.
#include "ocelli/backend/cpu/attention.h"
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/attention_backward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/attention-inl.h"

#ifndef OCELLI_BACKEND_CPU_ATTENTION_BACKWARD_ONCE
#define OCELLI_BACKEND_CPU_ATTENTION_BACKWARD_ONCE
namespace ocelli::backend {

// Rows dy_row, dq_row, ... apart.
struct HeadGradient {
  const float* dy;
  float *dq, *dk, *dv;
  int64_t dy_row, dq_row, dk_row, dv_row;
};

}  // namespace ocelli::backend
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

// p[j] = share e[j], x[j] = scale p[j] (x[j] - sum of p x); e in place of p.
HWY_INLINE void softmax_backward(float* p, float share, float* x, int64_t n, float scale) {
  const Tag d;
  Vec sums = hn::Zero(d);
  for (int64_t j = 0; j < n; j += kLanes) {
    const Vec weight = hn::Mul(hn::Load(d, p + j), hn::Set(d, share));
    hn::Store(weight, d, p + j);
    sums = hn::MulAdd(weight, hn::Load(d, x + j), sums);
  }
  const Vec sum = hn::SumOfLanes(d, sums), factor = hn::Set(d, scale);
  for (int64_t j = 0; j < n; j += kLanes) {
    const Vec centred = hn::Sub(hn::Load(d, x + j), sum);
    hn::Store(hn::Mul(hn::Mul(hn::Load(d, p + j), factor), centred), d, x + j);
  }
}

// The head's factors as panels, and the sums over blocks of queries. kEach numbers make a word that
// is multiplied: 1 of f32 or 2 of bf16, which all factors are then rounded to; p is f32. q, k and v
// are T, float or uint16_t (bf16).
template <class T, int kEach>
class HeadBackward {
 public:
  HeadBackward(int64_t nq, int64_t nk, int64_t d, int64_t dv)
      : nk_(nk), d_(d), dv_(dv), padded_(round_up(nk, kPanel)) {
    int64_t size = 0;
    const auto reserve = [&](int64_t n) { return std::exchange(size, size + round_up(n, 16)); };
    const auto rounded = [&](int64_t rows, int64_t n) {
      return reserve(kEach > 1 ? rows * (n / kEach) : 0);
    };
    wide_ = round_up(std::max(d, dv), kPanel);
    const std::array<int64_t, 14> at = {reserve(padded_ * d / kEach),
                                        reserve(padded_ * dv / kEach),
                                        reserve(round_up(d, kPanel) * words(nk)),
                                        reserve(padded_ * words(kQueries)),
                                        reserve(padded_ * words(kQueries)),
                                        reserve(padded_ * kTileRows * 2),
                                        reserve(dv * padded_),
                                        reserve(d * padded_),
                                        reserve(wide_ * kTurnedRow),
                                        reserve(kEach > 1 ? wide_ * words(kQueries) : 0),
                                        rounded(nq, d),
                                        rounded(nk, d),
                                        rounded(nk, dv),
                                        rounded(nq, dv)};
    memory_ = Tensor::empty({size});
    float* all = memory_.data<float>();
    keys_ = all + at[0], values_ = all + at[1], key_rows_ = all + at[2];
    p_ = all + at[3], ds_ = all + at[4], tile_ = all + at[5];
    dv_sums_ = all + at[6], dk_sums_ = all + at[7];
    turned_ = all + at[8], joined_ = all + at[9];
    q16_ = all + at[10], k16_ = all + at[11], v16_ = all + at[12], dy16_ = all + at[13];
  }

  void operator()(const Head<T>& h, const HeadGradient& g) {
    q_ = as_words(h.q, h.q_row, h.nq, d_, q16_);
    dy_ = as_words(g.dy, g.dy_row, h.nq, dv_, dy16_);
    const Rows k = as_words(h.k, h.k_row, nk_, d_, k16_),
               v = as_words(h.v, h.v_row, nk_, dv_, v16_);
    pack_rows_across(k.words, k.row, nk_, d_ / kEach, keys_);
    pack_rows_across(v.words, v.row, nk_, dv_ / kEach, values_);
    if constexpr (kEach > 1)
      pack_rows(reinterpret_cast<const uint16_t*>(k.words), kEach * k.row, nk_, d_, key_rows_);
    else
      pack_rows(k.words, k.row, nk_, d_, key_rows_);
    const int64_t blocks = (h.nq + kQueries - 1) / kQueries;
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t begin = tile_begin(h.nq, blocks, i),
                    count = tile_begin(h.nq, blocks, i + 1) - begin;
      const int64_t tiles = (count + kTileRows - 1) / kTileRows;
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t from = tile_begin(count, tiles, t);
        queries(h, g, begin, from, tile_begin(count, tiles, t + 1) - from, count);
      }
      add_products(g.dy + begin * g.dy_row, g.dy_row, count, dv_, p_, dv_sums_, i > 0);
      add_products(h.q + begin * h.q_row, h.q_row, count, d_, ds_, dk_sums_, i > 0);
    }
    transpose(dv_sums_, padded_, dv_, nk_, g.dv, g.dv_row);
    transpose(dk_sums_, padded_, d_, nk_, g.dk, g.dk_row);
  }

 private:
  struct Rows {
    const float* words;
    int64_t row;
  };

  static constexpr int64_t words(int64_t numbers) { return (numbers + kEach - 1) / kEach; }

  static Rows as_words(const uint16_t* x, int64_t row, int64_t, int64_t, float*) {
    return {reinterpret_cast<const float*>(x), row / kEach};
  }
  static Rows as_words(const float* x, int64_t row, int64_t n, int64_t width, float* into) {
    if (kEach == 1) return {x, row};
    round_rows_here()(x, row, n, width, reinterpret_cast<uint16_t*>(into), width);
    return {into, width / kEach};
  }

  // dq of `rows` queries; p and ds of them, as rows [from, from + rows) of panels of `block` rows.
  void queries(const Head<T>& h, const HeadGradient& g, int64_t begin, int64_t from, int64_t rows,
               int64_t block) {
    const int64_t q0 = begin + from;
    const int64_t last = h.causal ? std::clamp<int64_t>(q0 + rows + nk_ - h.nq, 0, nk_) : nk_;
    const int64_t used = round_up(last, kLanes);
    const int64_t d = d_ / kEach, dv = dv_ / kEach;
    float *scores = tile_, *dp = tile_ + kTileRows * padded_;
    for (int64_t c = 0; c < used; c += kPanel) {
      run_(rows, {q_.words + q0 * q_.row, q_.row, keys_ + c * d, d},
           {.columns = used - c, .keep = scores + c, .keep_row = padded_});
      run_(rows, {dy_.words + q0 * dy_.row, dy_.row, values_ + c * dv, dv},
           {.columns = used - c, .keep = dp + c, .keep_row = padded_});
    }
    for (int64_t r = 0; r < rows; ++r) {
      float *p = scores + r * padded_, *ds = dp + r * padded_;
      mask_row(h, q0 + r, used, p);
      const float share = used > 0 ? exponentials<(kEach > 1)>(p, used, h.bias ? 1 : h.scale) : 0;
      softmax_backward(p, share, ds, used, h.scale);
      std::fill(p + used, p + padded_, 0.0f);
      std::fill(ds + used, ds + padded_, 0.0f);
    }
    if constexpr (kEach > 1) {  // in their own place
      for (float* all : {scores, dp}) {
        auto* rounded = reinterpret_cast<uint16_t*>(all);
        round_rows_here()(all, padded_, rows, padded_, rounded, kEach * padded_);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      into_panels(scores + r * padded_, from + r, block, p_);
      into_panels(dp + r * padded_, from + r, block, ds_);
    }
    for (int64_t c = 0; c < d_; c += kPanel) {
      run_(rows, {dp, padded_, key_rows_ + c * words(nk_), words(last)},
           {.columns = d_ - c, .y = g.dq + q0 * g.dq_row + c, .ldy = g.dq_row});
    }
  }

  // A row of `padded_` numbers as row i of panels of `block` rows. Of two rows that share words,
  // the even one comes first.
  void into_panels(const float* row, int64_t i, int64_t block, float* panels) {
    const Tag d;
    for (int64_t c = 0; c < padded_; c += kLanes) {
      float* into = panels + c / kPanel * kPanel * words(block) + i / kEach * kPanel + c % kPanel;
      if constexpr (kEach > 1) {
        const auto* rounded = reinterpret_cast<const uint16_t*>(row) + c;
        const hn::RebindToUnsigned<Tag> du;
        const auto bits = hn::BitCast(du, load_bf16(rounded, kLanes));
        const auto both = i % 2 == 0 ? hn::ShiftRight<16>(bits)
                                     : hn::Or(bits, hn::BitCast(du, hn::Load(d, into)));
        hn::Store(hn::BitCast(d, both), d, into);
      } else {
        hn::Store(hn::Load(d, row + c), d, into);
      }
    }
  }

  // sums[width][padded] += (a^T of `count` rows) times panels of as many rows
  template <class A>
  void add_products(const A* a, int64_t row, int64_t count, int64_t width, const float* panels,
                    float* sums, bool goes_on) {
    const int64_t depth = words(count);
    if constexpr (kEach > 1) {
      for (int64_t i = 0; i < depth; ++i) {
        const A* even = a + 2 * i * row;
        const A* odd = 2 * i + 1 < count ? even + row : nullptr;
        for (int64_t c = 0; c < width; c += kLanes) {
          hn::Store(load_pairs(even + c, odd ? odd + c : odd, width - c), Tag(),
                    joined_ + i * wide_ + c);
        }
      }
      transpose(joined_, wide_, depth, width, turned_, kTurnedRow);
    } else {
      transpose(a, row, count, width, turned_, kTurnedRow);
    }
    const int64_t tiles = (width + kTileRows - 1) / kTileRows;
    for (int64_t c = 0; c < padded_; c += kPanel) {
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t r0 = tile_begin(width, tiles, t);
        float* into = sums + r0 * padded_ + c;
        run_(tile_begin(width, tiles, t + 1) - r0,
             {turned_ + r0 * kTurnedRow, kTurnedRow, panels + c * depth, depth},
             {.columns = kPanel,
              .start = goes_on ? into : nullptr,
              .keep = into,
              .keep_row = padded_});
      }
    }
  }

  // Of a block: their p and ds stay in the second level.
  static constexpr int64_t kQueries = 112 * kEach;
  static constexpr int64_t kTurnedRow = 112 + 16;  // words

  const RunTile run_ = run_tile_of(kEach > 1 ? Precision::bf16 : Precision::f32);
  int64_t nk_, d_, dv_, padded_, wide_;
  Tensor memory_;
  float *keys_, *values_, *key_rows_, *p_, *ds_, *tile_, *dv_sums_, *dk_sums_, *turned_, *joined_;
  float *q16_, *k16_, *v16_, *dy16_;
  Rows q_ = {}, dy_ = {};
};

template <int kEach, class T>
void heads_backward(const Head<T>* heads, const HeadGradient* gradients, int64_t count) {
  HeadBackward<T, kEach> run(heads->nq, heads->nk, heads->d, heads->dv);
  for (int64_t i = 0; i < count; ++i) run(heads[i], gradients[i]);
}

void heads_backward_f32(const Head<float>* heads, const HeadGradient* gradients, int64_t count) {
  heads_backward<1>(heads, gradients, count);
}
void heads_backward_rounded(const Head<float>* heads, const HeadGradient* gradients,
                            int64_t count) {
  heads_backward<2>(heads, gradients, count);
}
void heads_backward_bf16(const Head<uint16_t>* heads, const HeadGradient* gradients,
                         int64_t count) {
  heads_backward<2>(heads, gradients, count);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(heads_backward_f32);
HWY_EXPORT(heads_backward_rounded);
HWY_EXPORT(heads_backward_bf16);

namespace {

// run(heads, gradients, count) for all heads, some at a time.
template <class T, class Run>
void for_each_head(const View& dq, const View& dk, const View& dv, const Tensor& dy,
                   const Tensor& q, const Tensor& k, const Tensor& v, const Attention& params,
                   const Run& run) {
  const int64_t heads = q.size(2);
  const auto base = [](const View& t, int64_t b, int64_t i) {
    return t.as<float>() + b * t.strides[0] + i * t.strides[2];
  };
  std::vector<Head<T>> all;
  std::vector<HeadGradient> gradients;
  for (int64_t n = 0; n < q.size(0) * heads; ++n) {
    const int64_t b = n / heads, i = n % heads;
    all.push_back(head_of<T>(dy, q, k, v, params, b, i));
    gradients.push_back({base(dy, b, i), base(dq, b, i), base(dk, b, i), base(dv, b, i),
                         dy.strides()[1], dq.strides[1], dk.strides[1], dv.strides[1]});
  }
  parallel_for(static_cast<int64_t>(all.size()), 1, [&](int64_t begin, int64_t end) {
    run(all.data() + begin, gradients.data() + begin, end - begin);
  });
}

}  // namespace

void Cpu::attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                             const View& dy, const View& query, const View& key, const View& value,
                             const Attention& params) const {
  const bool empty = dq.shape.numel() == 0 || dv.shape.numel() == 0;
  const auto compact = [](const View& t) { return t.strides[-1] == 1 || t.shape[-1] == 1; };
  const bool whole = !dbias && !empty && compact(dq) && compact(dk) && compact(dv);
  const Tensor q = compact_rows(query), k = compact_rows(key), v = compact_rows(value);
  const Tensor given = compact_rows(dy);
  const bool narrow = has_narrow_attention(q, v);
  if (q.dtype() == DType::bf16) {
    if (whole && narrow && has_whole_words(q) && has_whole_words(k) && has_whole_words(v)) {
      return for_each_head<uint16_t>(dq, dk, dv, given, q, k, v, params, [](auto... heads) {
        HWY_DYNAMIC_DISPATCH(heads_backward_bf16)(heads...);
      });
    }
    return attention_backward(dq, dk, dv, dbias, dy, to(q, DType::f32), to(k, DType::f32),
                              to(v, DType::f32), params);
  }
  if (!whole)
    return Reference::attention_backward(dq, dk, dv, dbias, dy, query, key, value, params);
  for_each_head<float>(dq, dk, dv, given, q, k, v, params, [&](auto... heads) {
    if (narrow)
      HWY_DYNAMIC_DISPATCH(heads_backward_rounded)(heads...);
    else
      HWY_DYNAMIC_DISPATCH(heads_backward_f32)(heads...);
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
