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

HWY_INLINE int64_t round_up(int64_t n, int64_t step) {
  return (n + step - 1) / step * step;
}

// x[j] = scale p[j] (x[j] - sum of p x)
HWY_INLINE void softmax_backward(const float* p, float* x, int64_t n, float scale) {
  const Tag d;
  Vec sums = hn::Zero(d);
  for (int64_t j = 0; j < n; j += kLanes)
    sums = hn::MulAdd(hn::Load(d, p + j), hn::Load(d, x + j), sums);
  const Vec sum = hn::SumOfLanes(d, sums), factor = hn::Set(d, scale);
  for (int64_t j = 0; j < n; j += kLanes) {
    const Vec centred = hn::Sub(hn::Load(d, x + j), sum);
    hn::Store(hn::Mul(hn::Mul(hn::Load(d, p + j), factor), centred), d, x + j);
  }
}

// The head's factors as panels, and the sums over blocks of queries.
class HeadBackward {
 public:
  HeadBackward(int64_t nk, int64_t d, int64_t dv)
      : nk_(nk), d_(d), dv_(dv), padded_(round_up(nk, kPanel)) {
    int64_t size = 0;
    const auto reserve = [&](int64_t n) { return std::exchange(size, size + round_up(n, 16)); };
    const int64_t wide = round_up(std::max(d, dv), kPanel);
    const std::array<int64_t, 9> at = {
        reserve(padded_ * d),        reserve(padded_ * dv),       reserve(round_up(d, kPanel) * nk),
        reserve(padded_ * kQueries), reserve(padded_ * kQueries), reserve(padded_ * kTileRows * 2),
        reserve(dv * padded_),       reserve(d * padded_),        reserve(wide * (kQueries + 16))};
    memory_ = Tensor::empty({size});
    float* all = memory_.data<float>();
    keys_ = all + at[0], values_ = all + at[1], key_rows_ = all + at[2];
    p_ = all + at[3], ds_ = all + at[4], tile_ = all + at[5];
    dv_sums_ = all + at[6], dk_sums_ = all + at[7], turned_ = all + at[8];
  }

  void operator()(const Head<float>& h, const HeadGradient& g) {
    pack_rows_across(h.k, h.k_row, nk_, d_, keys_);
    pack_rows_across(h.v, h.v_row, nk_, dv_, values_);
    pack_rows(h.k, h.k_row, nk_, d_, key_rows_);
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
  // dq of `rows` queries; p and ds of them, as rows [from, from + rows) of panels of `block` rows.
  void queries(const Head<float>& h, const HeadGradient& g, int64_t begin, int64_t from,
               int64_t rows, int64_t block) {
    const int64_t q0 = begin + from;
    const int64_t last = h.causal ? std::clamp<int64_t>(q0 + rows + nk_ - h.nq, 0, nk_) : nk_;
    const int64_t used = round_up(last, kLanes);
    float *scores = tile_, *dp = tile_ + kTileRows * padded_;
    for (int64_t c = 0; c < used; c += kPanel) {
      run_(rows, {h.q + q0 * h.q_row, h.q_row, keys_ + c * d_, d_},
           {.columns = used - c, .keep = scores + c, .keep_row = padded_});
      run_(rows, {g.dy + q0 * g.dy_row, g.dy_row, values_ + c * dv_, dv_},
           {.columns = used - c, .keep = dp + c, .keep_row = padded_});
    }
    for (int64_t r = 0; r < rows; ++r) {
      float *p = scores + r * padded_, *ds = dp + r * padded_;
      mask_row(h, q0 + r, used, p);
      const float factor = used > 0 ? exponentials<false>(p, used, h.bias ? 1 : h.scale) : 0;
      for (int64_t j = 0; j < used; j += kLanes) {
        hn::Store(hn::Mul(hn::Load(Tag(), p + j), hn::Set(Tag(), factor)), Tag(), p + j);
      }
      softmax_backward(p, ds, used, h.scale);
      std::fill(p + used, p + padded_, 0.0f);
      std::fill(ds + used, ds + padded_, 0.0f);
      for (int64_t c = 0; c < padded_; c += kPanel) {
        const int64_t into = c * block + (from + r) * kPanel;
        std::copy_n(p + c, kPanel, p_ + into);
        std::copy_n(ds + c, kPanel, ds_ + into);
      }
    }
    for (int64_t c = 0; c < d_; c += kPanel) {
      run_(rows, {dp, padded_, key_rows_ + c * nk_, last},
           {.columns = d_ - c, .y = g.dq + q0 * g.dq_row + c, .ldy = g.dq_row});
    }
  }

  // sums[width][padded] += (a^T of `count` rows) times panels of as many rows
  void add_products(const float* a, int64_t row, int64_t count, int64_t width, const float* panels,
                    float* sums, bool goes_on) {
    constexpr int64_t kRow = kQueries + 16;
    transpose(a, row, count, width, turned_, kRow);
    const int64_t tiles = (width + kTileRows - 1) / kTileRows;
    for (int64_t c = 0; c < padded_; c += kPanel) {
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t r0 = tile_begin(width, tiles, t);
        float* into = sums + r0 * padded_ + c;
        run_(tile_begin(width, tiles, t + 1) - r0,
             {turned_ + r0 * kRow, kRow, panels + c * count, count},
             {.columns = kPanel,
              .start = goes_on ? into : nullptr,
              .keep = into,
              .keep_row = padded_});
      }
    }
  }

  static constexpr int64_t kQueries = 112;  // of a block: their p and ds stay in the second level

  const RunTile run_ = run_tile_of(Precision::f32);
  int64_t nk_, d_, dv_, padded_;
  Tensor memory_;
  float *keys_, *values_, *key_rows_, *p_, *ds_, *tile_, *dv_sums_, *dk_sums_, *turned_;
};

void heads_backward(const Head<float>* heads, const HeadGradient* gradients, int64_t count) {
  HeadBackward run(heads->nk, heads->d, heads->dv);
  for (int64_t i = 0; i < count; ++i) run(heads[i], gradients[i]);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(heads_backward);

void Cpu::attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                             const View& dy, const View& query, const View& key, const View& value,
                             const Attention& params) const {
  const bool empty = dq.shape.numel() == 0 || dv.shape.numel() == 0;
  const auto compact = [](const View& t) { return t.strides[-1] == 1 || t.shape[-1] == 1; };
  if (dbias || empty || !compact(dq) || !compact(dk) || !compact(dv)) {
    return Reference::attention_backward(dq, dk, dv, dbias, dy, query, key, value, params);
  }
  const Tensor q = compact_rows(query), k = compact_rows(key), v = compact_rows(value),
               given = compact_rows(dy);
  const int64_t heads = q.size(2);
  const auto base = [](const View& t, int64_t b, int64_t i) {
    return t.as<float>() + b * t.strides[0] + i * t.strides[2];
  };
  std::vector<Head<float>> all;
  std::vector<HeadGradient> gradients;
  for (int64_t n = 0; n < q.size(0) * heads; ++n) {
    const int64_t b = n / heads, i = n % heads;
    all.push_back(head_of<float>(given, q, k, v, params, b, i));
    gradients.push_back({base(given, b, i), base(dq, b, i), base(dk, b, i), base(dv, b, i),
                         given.strides()[1], dq.strides[1], dk.strides[1], dv.strides[1]});
  }
  parallel_for(static_cast<int64_t>(all.size()), 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(heads_backward)
    (all.data() + begin, gradients.data() + begin, end - begin);
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
