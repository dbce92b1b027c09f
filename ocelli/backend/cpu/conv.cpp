// Convolution of [B, H, W, C] maps, three ways: a pointwise one is a matrix product; a depthwise
// one has kernels of its own (depthwise.cpp); any other gathers the pixels under the kernel of a
// few output rows (im2col, Chellapilla et al. 2006) in the cache and multiplies.
#include "ocelli/backend/cpu/conv.h"

#include <cstring>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/tensor/convert.h"

namespace ocelli::backend {
namespace {

std::shared_ptr<const PackedLinear> pack_group(const Backend& backend, const Tensor& weight,
                                               const View* bias) {
  const Tensor flat = contiguous(weight.permute({0, 2, 3, 1}));
  const Tensor matrix =
      flat.view({flat.size(0), flat.numel() / std::max<int64_t>(flat.size(0), 1)});
  return std::static_pointer_cast<const PackedLinear>(backend.pack_linear(matrix, bias));
}

// Calls body(b, first row, rows, scratch) over the output rows of all images, with `row_floats`
// floats of scratch for each row.
template <typename Body>
void for_each_band(const View& y, int64_t row_floats, const Body& body) {
  const int64_t height = y.shape[1], total = y.shape[0] * height;
  const int64_t fits = cache_budget() / 4 / std::max<int64_t>(row_floats, 1);
  const int64_t share = (total + num_threads() - 1) / num_threads();
  const int64_t band = std::clamp<int64_t>(fits, 1, std::max<int64_t>(share, 1));
  parallel_for(total, 1, [&](int64_t begin, int64_t end) {
    const Tensor scratch = Tensor::empty({band * row_floats});
    while (begin < end) {
      const int64_t b = begin / height, first = begin % height;
      const int64_t rows = std::min({band, end - begin, height - first});
      body(b, first, rows, scratch.data<float>());
      begin += rows;
    }
  });
}

// `count` runs of `size` floats, a few: a call of memmove would cost more than copying does.
void copy_runs(const float* from, int64_t from_step, int64_t count, int64_t size, float* into,
               int64_t into_step) {
  constexpr int64_t kStep = 4;
  for (; count > 0; --count, from += from_step, into += into_step) {
    if (size < kStep) {
      for (int64_t i = 0; i < size; ++i) into[i] = from[i];
      continue;
    }
    for (int64_t i = 0; i + kStep < size; i += kStep) std::memcpy(into + i, from + i, 4 * kStep);
    std::memcpy(into + size - kStep, from + size - kStep, 4 * kStep);
  }
}

// Pixels under the kernel at every position of one output row, one group: [Wo][kh][kw][depth].
void gather_row(const View& x, const PackedConv& w, const Conv2d& p, int64_t b, int64_t row,
                int64_t width, int64_t group, float* into) {
  const int64_t depth = w.shape[1], kh = w.shape[2], kw = w.shape[3], channels = x.shape[3];
  const int64_t stride = p.stride[1], left = p.padding[1], patch = kh * kw * depth;
  // Positions where a kernel row is one run of memory.
  const bool joined = depth == channels && p.dilation[1] == 1;
  const int64_t first = std::min(joined ? (left + stride - 1) / stride : width, width);
  const int64_t fits = x.shape[2] + left - kw;
  const int64_t last = joined && fits >= 0 ? std::clamp(fits / stride + 1, first, width) : first;
  for (int64_t r = 0; r < kh; ++r, into += kw * depth) {
    const int64_t h = row * p.stride[0] - p.padding[0] + r * p.dilation[0];
    if (h < 0 || h >= x.shape[1]) {
      for (int64_t j = 0; j < width; ++j) std::fill_n(into + j * patch, kw * depth, 0.0f);
      continue;
    }
    const float* line =
        x.as<float>() + (b * x.shape[1] + h) * x.shape[2] * channels + group * depth;
    const auto pixel_by_pixel = [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) {
        for (int64_t s = 0; s < kw; ++s) {
          const int64_t at = j * stride - left + s * p.dilation[1];
          float* to = into + j * patch + s * depth;
          if (at < 0 || at >= x.shape[2])
            std::fill_n(to, depth, 0.0f);
          else
            std::copy_n(line + at * channels, depth, to);
        }
      }
    };
    pixel_by_pixel(0, first);
    copy_runs(line + (first * stride - left) * channels, stride * channels, last - first,
              kw * depth, into + first * patch, patch);
    pixel_by_pixel(last, width);
  }
}

void general(const View& y, const View& x, const PackedConv& w, const Conv2d& p,
             const Epilogue& epilogue) {
  const int64_t width = y.shape[2], channels = y.shape[3];
  const int64_t depth = w.shape[1] * w.shape[2] * w.shape[3];
  for_each_band(y, width * depth, [&](int64_t b, int64_t first, int64_t rows, float* scratch) {
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
    packed->bytes = 4 * packed->taps.numel();
    if (bias) {
      packed->bias = Tensor::empty({out});
      copy(packed->bias, *bias);
    }
    return packed;
  }
  // In 8 bits short rows take longer to be measured and rounded than to be multiplied; weights of 7
  // bits lose more by it than they save in somewhat longer ones.
  const int64_t k = w.size(1) * w.size(2) * w.size(3);
  const bool rounds = precision_ != Precision::int8 || k > (has_byte_dots() ? 96 : 144);
  const Backend& backend = rounds ? *this : cpu(has_bf16_dots() ? Precision::bf16 : Precision::f32);
  const bool pointwise =
      w.size(2) == 1 && w.size(3) == 1 && p.groups == 1 && p.stride[0] == 1 && p.stride[1] == 1;
  if (pointwise) packed->kind = PackedConv::Kind::pointwise;
  for (int64_t g = 0; g < p.groups; ++g) {
    const View part =
        bias ? View(Tensor::borrow(*bias).slice(0, g * each, (g + 1) * each)) : View();
    packed->groups.push_back(
        pack_group(backend, w.slice(0, g * each, (g + 1) * each), bias ? &part : nullptr));
    packed->bytes += packed->groups.back()->bytes;
  }
  return packed;
}

void Cpu::conv2d_packed(const View& y, const View& x, const Packed& weight, const Conv2d& params,
                        const Epilogue& epilogue) const {
  const auto& w = static_cast<const PackedConv&>(weight);
  if (y.shape.numel() == 0) return;
  const bool padded = params.padding != std::array<int64_t, 4>{0, 0, 0, 0};
  if (w.kind == PackedConv::Kind::depthwise) {
    return inverted_residual(y, x,
                             {.depthwise = &w,
                              .channels = w.shape[0],
                              .params = params,
                              .activation = epilogue.activation,
                              .scale = epilogue.scale,
                              .residual = epilogue.residual});
  }
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
