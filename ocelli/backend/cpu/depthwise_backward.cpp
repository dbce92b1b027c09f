// Gradients of a depthwise convolution of [B, H, W, C] maps, a vector of channels at a time:
//   dx[h, w, c] = sum dy[i, j, c] weight[r, s, c] over what the kernel put there,
//   dweight[r, s, c] = sum dy[i, j, c] x[h, w, c],
// with h = i * stride + r * dilation - top, and w likewise.
#include "ocelli/backend/cpu/conv.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ocelli/backend/cpu/depthwise_backward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "ocelli/backend/cpu/vector-inl.h"

#ifndef OCELLI_BACKEND_CPU_DEPTHWISE_BACKWARD_ONCE
#define OCELLI_BACKEND_CPU_DEPTHWISE_BACKWARD_ONCE
namespace ocelli::backend {

// One image; contiguous maps.
struct DepthwiseImage {
  const float *dy, *x, *taps;  // taps [kh, kw, C]
  float *dx, *dtaps;
  int64_t height, width, rows, columns, channels, kernel_height, kernel_width;
  const Conv2d* conv;
};

}  // namespace ocelli::backend
#endif

HWY_BEFORE_NAMESPACE();
namespace ocelli::backend::HWY_NAMESPACE {

// The output position whose tap t reads input position `at`; -1 for none.
HWY_INLINE int64_t output_of(int64_t at, int64_t t, int64_t before, int64_t stride,
                             int64_t dilation, int64_t count) {
  const int64_t from = at + before - t * dilation;
  return from >= 0 && from % stride == 0 && from / stride < count ? from / stride : -1;
}

// Row h of dx.
void depthwise_dx_row(const DepthwiseImage& image, int64_t h) {
  const auto& [dy, x, taps, dx, dtaps, height, width, rows, columns, channels, kh, kw, conv] =
      image;
  const Tag d;
  for (int64_t w = 0; w < width; ++w) {
    for (int64_t c = 0; c < channels; c += kLanes) {
      Vec sum = hn::Zero(d);
      for (int64_t r = 0; r < kh; ++r) {
        const int64_t i =
            output_of(h, r, conv->padding[0], conv->stride[0], conv->dilation[0], rows);
        for (int64_t s = 0; i >= 0 && s < kw; ++s) {
          const int64_t j =
              output_of(w, s, conv->padding[1], conv->stride[1], conv->dilation[1], columns);
          if (j < 0) continue;
          sum = hn::MulAdd(load_some(dy + (i * columns + j) * channels + c, channels - c),
                           load_some(taps + (r * kw + s) * channels + c, channels - c), sum);
        }
      }
      store_some(sum, dx + (h * width + w) * channels + c, channels - c);
    }
  }
}

// Taps (r, s) to (r, s + kTaps) of the vector of channels from c on.
template <int kTaps>
HWY_INLINE void sum_taps(const DepthwiseImage& image, int64_t c, int64_t r, int64_t s) {
  const auto& [dy, x, taps, dx, dtaps, height, width, rows, columns, channels, kh, kw, conv] =
      image;
  const Tag d;
  const int64_t left = channels - c, step = conv->dilation[1];
  Vec sums[kTaps];
  for (Vec& sum : sums) sum = hn::Zero(d);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t h = i * conv->stride[0] + r * conv->dilation[0] - conv->padding[0];
    if (h < 0 || h >= height) continue;
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t first = j * conv->stride[1] + s * step - conv->padding[1];
      const Vec g = load_some(dy + (i * columns + j) * channels + c, left);
      for (int t = 0; t < kTaps; ++t) {
        const int64_t w = first + t * step;
        if (w < 0 || w >= width) continue;
        sums[t] = hn::MulAdd(g, load_some(x + (h * width + w) * channels + c, left), sums[t]);
      }
    }
  }
  for (int t = 0; t < kTaps; ++t)
    store_some(sums[t], dtaps + (r * kw + s + t) * channels + c, left);
}

void depthwise_dtaps(const DepthwiseImage& image) {
  for (int64_t c = 0; c < image.channels; c += kLanes) {
    for (int64_t r = 0; r < image.kernel_height; ++r) {
      int64_t s = 0;
      for (; s + 5 <= image.kernel_width; s += 5) sum_taps<5>(image, c, r, s);
      for (; s + 3 <= image.kernel_width; s += 3) sum_taps<3>(image, c, r, s);
      for (; s < image.kernel_width; ++s) sum_taps<1>(image, c, r, s);
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace ocelli::backend::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace ocelli::backend {

HWY_EXPORT(depthwise_dx_row);
HWY_EXPORT(depthwise_dtaps);

void Cpu::conv2d_backward(const View* dx, const View* dweight, const View& dy, const View& x,
                          const View& weight, const Conv2d& params) const {
  const int64_t channels = weight.shape[0], kh = weight.shape[2], kw = weight.shape[3];
  if (weight.shape[1] != 1 || params.groups != channels || dy.shape.numel() == 0)
    return Reference::conv2d_backward(dx, dweight, dy, x, weight, params);
  const Tensor grad = contiguous(Tensor::borrow(dy)), in = contiguous(Tensor::borrow(x));
  const Tensor taps = contiguous(Tensor::borrow(weight).select(1, 0).permute({1, 2, 0}));
  const int64_t batch = x.shape[0], height = x.shape[1];
  const Tensor to = Tensor::empty(dx ? x.shape : Shape{0}),
               each = Tensor::empty({dweight ? batch : 0, kh, kw, channels});
  const auto image = [&](int64_t b) {
    const auto at = [b](const Tensor& t, int64_t count) {
      return t.numel() ? t.data<float>() + b * (t.numel() / count) : nullptr;
    };
    return DepthwiseImage{at(grad, batch),
                          at(in, batch),
                          taps.data<float>(),
                          at(to, batch),
                          at(each, batch),
                          height,
                          x.shape[2],
                          dy.shape[1],
                          dy.shape[2],
                          channels,
                          kh,
                          kw,
                          &params};
  };
  if (dx) {
    parallel_for(batch * height, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        HWY_DYNAMIC_DISPATCH(depthwise_dx_row)(image(i / height), i % height);
    });
    copy(*dx, to);
  }
  if (!dweight) return;
  parallel_for(batch, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) HWY_DYNAMIC_DISPATCH(depthwise_dtaps)(image(b));
  });
  const Tensor sums = Tensor::empty({kh, kw, channels});
  reduce(Reduce::sum, sums, each.permute({1, 2, 3, 0}));
  copy(*dweight, sums.permute({2, 0, 1}).unsqueeze(1));
}

}  // namespace ocelli::backend
#endif
