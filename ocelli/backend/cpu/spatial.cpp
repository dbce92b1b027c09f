// Pooling and resizing of [B, H, W, C] maps: each output pixel is a weighted sum, or the largest,
// of input pixels, taken over all channels at once.
#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/spatial.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y += weight * x
void add_scaled(float* HWY_RESTRICT y, const float* HWY_RESTRICT x, float weight, int64_t n) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, weight);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::MulAdd(hn::LoadU(d, x + i), factor, hn::LoadU(d, y + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] += weight * x[i];
}

// y = max(y, x)
void keep_larger(float* HWY_RESTRICT y, const float* HWY_RESTRICT x, int64_t n) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Max(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = std::max(x[i], y[i]);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <limits>

namespace ocelli::backend {

HWY_EXPORT(add_scaled);
HWY_EXPORT(keep_larger);

namespace {

// Calls body(b, i, j, pixel) for each output pixel, a run of C floats, in parallel.
template <typename Body>
void for_each_pixel(const Backend& backend, const View& y, const Body& body) {
  const Tensor out = Tensor::borrow(y).is_contiguous() ? Tensor::borrow(y) : Tensor::empty(y.shape);
  const int64_t height = y.shape[1], width = y.shape[2], channels = y.shape[3];
  parallel_for(y.shape[0] * height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t j = 0; j < width; ++j) {
        body(row / height, row % height, j, out.data<float>() + (row * width + j) * channels);
      }
    }
  });
  if (out.raw() != y.data) backend.copy(y, out);
}

}  // namespace

void Cpu::pool2d(const View& y, const View& x, const Pool2d& p) const {
  const Tensor in = contiguous(Tensor::borrow(x));
  const int64_t height = x.shape[1], width = x.shape[2], channels = x.shape[3];
  for_each_pixel(*this, y, [&](int64_t b, int64_t i, int64_t j, float* out) {
    const int64_t h0 = i * p.stride[0] - p.padding[0], w0 = j * p.stride[1] - p.padding[1];
    const int64_t h1 = h0 + p.kernel[0], w1 = w0 + p.kernel[1];
    const bool max = p.kind == Pool::max;
    std::fill_n(out, channels, max ? -std::numeric_limits<float>::infinity() : 0.0f);
    const int64_t first_h = std::max<int64_t>(h0, 0), last_h = std::min(h1, height);
    const int64_t first_w = std::max<int64_t>(w0, 0), last_w = std::min(w1, width);
    // With ceil mode a window may hang over the padding; what lies there does not count.
    const int64_t counted = p.count_include_pad ? (std::min(h1, height + p.padding[2]) - h0) *
                                                      (std::min(w1, width + p.padding[3]) - w0)
                                                : (last_h - first_h) * (last_w - first_w);
    const float share = 1 / static_cast<float>(counted);
    for (int64_t h = first_h; h < last_h; ++h) {
      for (int64_t w = first_w; w < last_w; ++w) {
        const float* from = in.data<float>() + ((b * height + h) * width + w) * channels;
        if (max)
          HWY_DYNAMIC_DISPATCH(keep_larger)(out, from, channels);
        else
          HWY_DYNAMIC_DISPATCH(add_scaled)(out, from, share, channels);
      }
    }
  });
}

void Cpu::resize(const View& y, const View& x, const Resize& params) const {
  const Tensor in = contiguous(Tensor::borrow(x));
  const int64_t height = x.shape[1], width = x.shape[2], channels = x.shape[3];
  const auto rows = resize_taps(height, y.shape[1], params, 0);
  const auto cols = resize_taps(width, y.shape[2], params, 1);
  for_each_pixel(*this, y, [&](int64_t b, int64_t i, int64_t j, float* out) {
    std::fill_n(out, channels, 0.0f);
    const Taps &row = rows[static_cast<size_t>(i)], &col = cols[static_cast<size_t>(j)];
    for (size_t r = 0; r < row.weights.size(); ++r) {
      const int64_t h = std::clamp<int64_t>(row.first + static_cast<int64_t>(r), 0, height - 1);
      for (size_t s = 0; s < col.weights.size(); ++s) {
        const int64_t w = std::clamp<int64_t>(col.first + static_cast<int64_t>(s), 0, width - 1);
        HWY_DYNAMIC_DISPATCH(add_scaled)
        (out, in.data<float>() + ((b * height + h) * width + w) * channels,
         static_cast<float>(row.weights[r] * col.weights[s]), channels);
      }
    }
  });
}

}  // namespace ocelli::backend
#endif  // HWY_ONCE
