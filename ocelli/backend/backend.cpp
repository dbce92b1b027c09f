#include "ocelli/backend/backend.h"

#include <limits>

#include "ocelli/backend/rows.h"

namespace ocelli::backend {
namespace {

thread_local const Backend* current_backend = nullptr;

}  // namespace

const char* precision_name(Precision precision) {
  static constexpr const char* kNames[] = {"f32", "bf16", "int8", "int4"};
  return kNames[static_cast<int>(precision)];
}

std::optional<Precision> parse_precision(std::string_view name) {
  for (const Precision precision :
       {Precision::f32, Precision::bf16, Precision::int8, Precision::int4}) {
    if (name == precision_name(precision)) return precision;
  }
  return std::nullopt;
}

const Backend& current() {
  return current_backend ? *current_backend : cpu();
}

UseBackend::UseBackend(const Backend& backend) : previous_(current_backend) {
  current_backend = &backend;
}
UseBackend::~UseBackend() {
  current_backend = previous_;
}

// y = (x - mean) / sqrt(var + eps) * weight + bias
void Backend::layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                         float eps) const {
  const Tensor mean = Tensor::empty(without_last(x.shape)), var = Tensor::empty(mean.shape());
  const Tensor centred = Tensor::empty(x.shape), squares = Tensor::empty(x.shape);
  reduce(Reduce::mean, mean, x);
  binary(Binary::sub, centred, x, spread(mean, x.shape));
  unary(Unary::square, squares, centred);
  reduce(Reduce::mean, var, squares);
  binary(Binary::add, var, var, Tensor::full({}, eps).expand(var.shape()));
  unary(Unary::rsqrt, var, var);
  binary(Binary::mul, y, centred, spread(var, x.shape));
  if (weight) binary(Binary::mul, y, y, broadcast(*weight, x.shape));
  if (bias) binary(Binary::add, y, y, broadcast(*bias, x.shape));
}

// y = x / sqrt(mean(x^2) + eps) * weight
void Backend::rms_norm(const View& y, const View& x, const View* weight, float eps) const {
  const Tensor squares = Tensor::empty(x.shape), mean = Tensor::empty(without_last(x.shape));
  unary(Unary::square, squares, x);
  reduce(Reduce::mean, mean, squares);
  binary(Binary::add, mean, mean, Tensor::full({}, eps).expand(mean.shape()));
  unary(Unary::rsqrt, mean, mean);
  binary(Binary::mul, y, x, spread(mean, x.shape));
  if (weight) binary(Binary::mul, y, y, broadcast(*weight, x.shape));
}

void Backend::group_norm(const View& y, const View& x, const View* weight, const View* bias,
                         int64_t groups, float eps) const {
  const int64_t batch = x.shape[0], channels = x.shape[-1];
  const int64_t positions = channels ? x.shape.numel() / std::max<int64_t>(batch * channels, 1) : 0;
  // [B, P, G, C/G] -> [B, G, P * C/G], a plain layer norm without weights, and back.
  const Shape grouped = {batch, positions, groups, channels / groups};
  const Tensor by_group = Tensor::empty({batch, groups, positions, channels / groups});
  const Tensor packed = Tensor::empty(x.shape);
  copy(packed, x);
  copy(by_group, packed.view(grouped).permute({0, 2, 1, 3}));
  const Tensor rows = by_group.view({batch, groups, positions * (channels / groups)});
  layer_norm(rows, rows, nullptr, nullptr, eps);
  copy(packed.view(grouped), by_group.permute({0, 2, 1, 3}));
  copy(y, packed);
  if (weight) binary(Binary::mul, y, y, broadcast(*weight, x.shape));
  if (bias) binary(Binary::add, y, y, broadcast(*bias, x.shape));
}

// y = softmax(scale * q k^T + bias + mask) v
void Backend::attention_weights(const View& y, const View& q, const View& k,
                                const Attention& params) const {
  const int64_t batch = q.shape[0], nq = q.shape[1], heads = q.shape[2], nk = k.shape[1];
  const Tensor scores = Tensor::borrow(y);
  const Tensor queries = Tensor::borrow(q).permute({0, 2, 1, 3});
  gemm(scores, queries, Tensor::borrow(k).permute({0, 2, 3, 1}), params.scale);
  if (params.bias) {
    binary(Binary::add, scores, scores, Tensor::borrow(*params.bias).expand(scores.shape()));
  }
  std::vector<bool> blind(static_cast<size_t>(batch * nq), false);  // sees no key at all
  float* s = scores.data<float>();
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < nq; ++i) {
      bool sees = false;
      for (int64_t j = 0; j < nk; ++j) {
        const bool hidden =
            (params.causal && j > i + nk - nq) ||
            (params.key_mask && !params.key_mask->as<uint8_t>()[b * params.key_mask->strides[0] +
                                                                j * params.key_mask->strides[1]]);
        sees |= !hidden;
        for (int64_t h = 0; hidden && h < heads; ++h) {
          s[((b * heads + h) * nq + i) * nk + j] = -std::numeric_limits<float>::infinity();
        }
      }
      blind[static_cast<size_t>(b * nq + i)] = !sees;
      for (int64_t h = 0; !sees && h < heads; ++h) {
        std::fill_n(s + ((b * heads + h) * nq + i) * nk, nk, 0.0f);
      }
    }
  }
  softmax(scores, scores);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < nq; ++i) {
      for (int64_t h = 0; blind[static_cast<size_t>(b * nq + i)] && h < heads; ++h) {
        std::fill_n(s + ((b * heads + h) * nq + i) * nk, nk, 0.0f);
      }
    }
  }
}

void Backend::attention(const View& y, const View& q, const View& k, const View& v,
                        const Attention& params) const {
  const Tensor weights = Tensor::empty({q.shape[0], q.shape[2], q.shape[1], k.shape[1]});
  attention_weights(weights, q, k, params);
  gemm(Tensor::borrow(y).permute({0, 2, 1, 3}), weights, Tensor::borrow(v).permute({0, 2, 1, 3}),
       1);
}

PackedPtr Backend::pack_linear(const View&, const View*) const {
  return nullptr;
}
PackedPtr Backend::pack_conv2d(const View&, const View*, const Conv2d&) const {
  return nullptr;
}

void Backend::linear(const View&, const View&, const Packed&, const Epilogue&) const {
  fail(ErrorCode::internal, "linear: the backend {} packs no weights", name());
}

void Backend::conv2d_packed(const View&, const View&, const Packed&, const Conv2d&,
                            const Epilogue&) const {
  fail(ErrorCode::internal, "conv2d: the backend {} packs no weights", name());
}

void Backend::inverted_residual(const View& y, const View& x,
                                const PackedInvertedResidual& block) const {
  Tensor in = Tensor::borrow(x);
  if (block.expand) {
    const Tensor wide = Tensor::empty({x.shape[0], x.shape[1], x.shape[2], block.channels});
    conv2d_packed(wide, in, *block.expand, {}, {block.activation});
    in = wide;
  }
  if (!block.project) {
    return conv2d_packed(y, in, *block.depthwise, block.params,
                         {block.activation, block.scale, block.residual});
  }
  const Tensor wide = Tensor::empty({y.shape[0], y.shape[1], y.shape[2], block.channels});
  conv2d_packed(wide, in, *block.depthwise, block.params, {block.activation});
  conv2d_packed(y, wide, *block.project, {}, {std::nullopt, block.scale, block.residual});
}

}  // namespace ocelli::backend
