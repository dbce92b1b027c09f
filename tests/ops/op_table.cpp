#include "tests/ops/op_table.h"

#include "ocelli/ops/attention.h"
#include "ocelli/ops/conv.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/pool.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/resize.h"
#include "ocelli/ops/shape.h"

namespace ocelli::test {

Tensor Inputs::uniform(const Shape& shape, float low, float high) {
  Shape padded = shape;
  const bool odd = made_.size() % 2 == 1 && shape.rank() > 0;
  if (odd) {
    for (int i = 0; i < shape.rank(); ++i) padded[i] += i == shape.rank() - 1 ? 3 : 1;
  }
  Tensor t = Tensor::empty(padded);
  for (float& x : t.values<float>()) x = low + (high - low) * rng_.uniform();
  // Of a stream of its own, so that the inputs are the same with it.
  Rng directions(made_.size());
  const Tensor direction = Tensor::empty(padded);
  for (float& x : direction.values<float>()) x = 2 * directions.uniform() - 1;
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] += step_ * direction.data<float>()[i];
  Made made{t, direction};
  for (int i = 0; odd && i < shape.rank(); ++i) {
    made.value = made.value.slice(i, 1, 1 + shape[i]);
    made.direction = made.direction.slice(i, 1, 1 + shape[i]);
  }
  if (tape_) tape_->watch(made.value);
  made_.push_back(made);
  return made.value;
}

Tensor Inputs::indices(const Shape& shape, int32_t limit) {
  Tensor t = Tensor::empty(shape, DType::i32);
  for (int32_t& x : t.values<int32_t>()) x = static_cast<int32_t>(pick(0, limit - 1));
  return t;
}

int64_t Inputs::pick(int64_t low, int64_t high) {
  return low + rng_.next_u32() % (high - low + 1);
}

namespace {

Tensor dense(const Tensor& t) {
  return cat({t}, 0);
}

OpCase unary_case(const char* name, Unary kind, float low, float high) {
  return {name,
          [=](Inputs& in, int64_t n) {
            return unary(kind, in.uniform({3, n}, low, high));
          },
          70};
}

OpCase binary_case(const char* name, backend::Binary kind, bool has_gradient = true) {
  return {.name = name,
          .call =
              [=](Inputs& in, int64_t n) {
                const Shape shapes[] = {{3, n}, {n}, {3, 1}, {1, 1}, {2, 3, n}};
                const Tensor a = in.uniform(shapes[in.pick(0, 4)]);
                return binary(kind, a, in.uniform(shapes[in.pick(0, 4)], 0.5f, 2));
              },
          .max_size = 70,
          .has_gradient = has_gradient};
}

OpCase linear_case(const char* name, Activation activation) {
  return {name,
          [=](Inputs& in, int64_t n) {
            const int64_t rows = in.pick(0, 40), out = in.pick(0, 70);
            LinearWeight w(in.uniform({out, n}), in.coin() ? dense(in.uniform({out})) : Tensor());
            w.pack();
            const Tensor x = in.uniform({rows, n});
            return linear(x, w,
                          {activation, in.coin() ? dense(in.uniform({out})) : Tensor(),
                           in.coin() ? in.uniform({rows, out}) : Tensor()});
          },
          70};
}

Tensor attention_call(Inputs& in, int64_t n) {
  const int64_t batch = in.pick(1, 2), heads = in.pick(1, 3), d = in.pick(1, 40);
  const int64_t keys = in.coin() ? n : in.pick(0, 70);
  AttentionOptions options;
  options.causal = in.coin();
  if (in.coin()) {
    options.key_mask = Tensor::empty({batch, keys}, DType::u8);
    for (uint8_t& m : options.key_mask.values<uint8_t>()) m = in.pick(0, 3) > 0;
  }
  if (in.coin()) options.bias = in.uniform({in.coin() ? batch : 1, in.coin() ? heads : 1, n, keys});
  const Tensor q = in.uniform({batch, n, heads, d}, -3, 3);
  const Tensor k = in.uniform({batch, keys, heads, d}, -3, 3);
  return attention(q, k, in.uniform({batch, keys, heads, in.coin() ? d : 24}), options);
}

Tensor conv_call(Inputs& in, int64_t n, bool depthwise, int64_t kernel) {
  const int64_t groups = depthwise ? n : in.pick(1, 3);
  const int64_t each = depthwise ? 1 : in.pick(1, 5), out = depthwise ? n : groups * in.pick(1, 9);
  if (groups == 0) return Tensor::zeros({0});
  Conv2dOptions options;
  options.groups = groups;
  for (size_t i = 0; i < 2; ++i) {
    options.stride[i] = in.pick(1, 3);
    options.dilation[i] = in.pick(1, 2);
    options.padding[i] = in.pick(0, 3);
    options.padding[i + 2] = in.pick(0, 3);
  }
  if (kernel == 1 && in.coin()) options = {.groups = groups};
  Conv2dWeight w(dense(in.uniform({out, each, kernel, in.pick(1, kernel)})),
                 in.coin() ? dense(in.uniform({out})) : Tensor(), options);
  w.pack();
  const Tensor x = in.uniform({in.pick(1, 2), in.pick(0, 12), in.pick(0, 17), groups * each});
  const Tensor plain = conv2d(x, w);
  if (in.coin()) return plain;
  return conv2d(x, w,
                {in.coin() ? Activation(Unary::relu6) : std::nullopt,
                 in.coin() ? dense(in.uniform({out})) : Tensor(),
                 in.coin() ? in.uniform(plain.shape()) : Tensor()});
}

Tensor inverted_residual_call(Inputs& in, int64_t n) {
  const int64_t kernel = 2 * in.pick(0, 3) + 1, each_side = kernel / 2;
  const int64_t narrow = in.pick(1, 20), out = in.pick(1, 40);
  const bool expands = in.coin(), projects = in.coin();
  const auto pointwise = [&](int64_t from, int64_t to) {
    Conv2dWeight w(dense(in.uniform({to, from, 1, 1})),
                   in.coin() ? dense(in.uniform({to})) : Tensor(), {});
    w.pack();
    return w;
  };
  Conv2dOptions options{.padding = {each_side, each_side, each_side, in.pick(0, each_side)},
                        .groups = n};
  options.stride = {in.pick(1, 2), in.pick(1, 2)};
  if (n == 0) return Tensor::zeros({0});
  const Conv2dWeight expand = pointwise(narrow, n), project = pointwise(n, out);
  Conv2dWeight depthwise(dense(in.uniform({n, 1, kernel, kernel})),
                         in.coin() ? dense(in.uniform({n})) : Tensor(), options);
  depthwise.pack();
  const Activation kinds[] = {std::nullopt, Unary::relu6, Unary::silu};
  InvertedResidual block{.expand = expands ? &expand : nullptr,
                         .depthwise = &depthwise,
                         .project = projects ? &project : nullptr,
                         .padding = options.padding,
                         .activation = kinds[in.pick(0, 2)]};
  const Tensor x =
      in.uniform({in.pick(1, 3), in.pick(1, 20), in.pick(1, 20), expands ? narrow : n});
  if (in.coin()) {
    block.residual = in.uniform(inverted_residual(x, block).shape());
  }
  return inverted_residual(x, block);
}

Tensor pool_call(Inputs& in, int64_t n, bool max) {
  PoolOptions options;
  for (size_t i = 0; i < 2; ++i) {
    options.kernel[i] = in.pick(1, 3);
    options.stride[i] = in.pick(1, 3);
    options.padding[i] = in.pick(0, options.kernel[i] / 2);
  }
  options.ceil_mode = in.coin();
  options.count_include_pad = in.coin();
  const Tensor x = in.uniform({2, in.pick(3, 12), in.pick(3, 12), n});
  return max ? max_pool2d(x, options) : avg_pool2d(x, options);
}

Tensor resize_call(Inputs& in, int64_t n, Interpolation mode) {
  InterpolateOptions options{mode};
  options.align_corners = in.coin();
  if (mode != Interpolation::nearest) options.antialias = !options.align_corners && in.coin();
  const Tensor x = in.uniform({1, in.pick(1, 9), in.pick(1, 9), in.pick(0, 40)});
  if (in.coin() && !options.align_corners) options.scale_factor = {1.3, 0.7};
  return interpolate(x, n + 1, in.pick(1, 20), options);
}

}  // namespace

const std::vector<OpCase>& op_table() {
  using backend::Binary;
  static const std::vector<OpCase> table = {
      unary_case("neg", Unary::neg, -5, 5),
      unary_case("abs", Unary::abs, -5, 5),
      unary_case("exp", Unary::exp, -80, 10),
      unary_case("log", Unary::log, 0.05f, 50),
      unary_case("sqrt", Unary::sqrt, 0.05f, 50),
      unary_case("rsqrt", Unary::rsqrt, 0.1f, 50),
      unary_case("square", Unary::square, -5, 5),
      unary_case("sigmoid", Unary::sigmoid, -20, 20),
      unary_case("tanh", Unary::tanh, -10, 10),
      unary_case("relu", Unary::relu, -5, 5),
      unary_case("relu6", Unary::relu6, -9, 9),
      unary_case("silu", Unary::silu, -20, 20),
      unary_case("gelu", Unary::gelu, -8, 8),
      unary_case("gelu_tanh", Unary::gelu_tanh, -8, 8),
      unary_case("quick_gelu", Unary::quick_gelu, -20, 20),
      unary_case("hardswish", Unary::hardswish, -5, 5),
      binary_case("add", Binary::add),
      binary_case("sub", Binary::sub),
      binary_case("mul", Binary::mul),
      binary_case("div", Binary::div),
      binary_case("maximum", Binary::maximum, false),
      binary_case("minimum", Binary::minimum, false),
      linear_case("linear", {}),
      linear_case("linear_gelu", Unary::gelu),
      linear_case("linear_gelu_tanh", Unary::gelu_tanh),
      linear_case("linear_quick_gelu", Unary::quick_gelu),
      linear_case("linear_silu", Unary::silu),
      linear_case("linear_relu", Unary::relu),
      linear_case("linear_relu6", Unary::relu6),
      {"linear_deep",
       [](Inputs& in, int64_t n) {
         // Deep enough for the sum to be cut along K.
         LinearWeight w(in.uniform({50, 1530 + 11 * n}), Tensor());
         w.pack();
         return linear(in.uniform({29, 1530 + 11 * n}), w, {Unary::gelu});
       },
       12},
      {"linear_many_rows",
       [](Inputs& in, int64_t n) {
         // The gradient of the weight is a sum over the rows, cut into slices.
         const LinearWeight w(in.uniform({33 + n, 20}), dense(in.uniform({33 + n})));
         return linear(in.uniform({509 + n, 20}), w, {Unary::gelu});
       },
       5},
      {"linear_page_apart",
       [](Inputs& in, int64_t n) {
         // Rows of x a multiple of 4096 bytes apart.
         LinearWeight w(in.uniform({128 + n, 1024 + 1024 * (n % 2)}), dense(in.uniform({128 + n})));
         w.pack();
         return linear(in.uniform({17, 1024 + 1024 * (n % 2)}), w,
                       {.residual = in.uniform({17, 128 + n})});
       },
       5},
      {"matmul",
       [](Inputs& in, int64_t n) {
         const int64_t m = in.pick(0, 20), k = in.pick(0, 20);
         if (in.coin()) return matmul(in.uniform({2, 3, m, k}), in.uniform({3, k, n}), 0.5f);
         return matmul(in.uniform({m, k}), in.uniform({n, k}).transpose(0, 1));
       },
       70},
      {"layer_norm",
       [](Inputs& in, int64_t n) {
         return layer_norm(in.uniform({2, 3, n}, -1, 3), in.coin() ? in.uniform({n}) : Tensor(),
                           in.coin() ? in.uniform({n}) : Tensor(), 1e-5f);
       },
       70},
      {"layer_norm_many_rows",
       [](Inputs& in, int64_t n) {
         return layer_norm(in.uniform({150, n}), in.uniform({n}), in.uniform({n}), 1e-5f);
       },
       40},
      {"rms_norm",
       [](Inputs& in, int64_t n) {
         return rms_norm(in.uniform({2, 3, n}), in.coin() ? in.uniform({n}) : Tensor(), 1e-5f);
       },
       70},
      {"group_norm",
       [](Inputs& in, int64_t n) {
         const int64_t groups = in.pick(1, 4);
         return group_norm(in.uniform({2, 3, 2, groups * n}), groups,
                           in.coin() ? in.uniform({groups * n}) : Tensor(), Tensor(), 1e-5f);
       }},
      {"batch_norm",
       [](Inputs& in, int64_t n) {
         return batch_norm(in.uniform({2, 3, 2, n}, -1, 3), Tensor::zeros({n}),
                           Tensor::full({n}, 1), in.uniform({n}), in.uniform({n}), 0.1f, 1e-3f);
       }},
      {"normalize",
       [](Inputs& in, int64_t n) {
         return normalize(in.uniform({3, n}));
       }},
      {"softmax",
       [](Inputs& in, int64_t n) {
         return softmax(in.uniform({3, n}, -30, 30));
       },
       70},
      {"sum",
       [](Inputs& in, int64_t n) {
         return sum(in.uniform({3, n, 5}), static_cast<int>(in.pick(-3, 2)));
       },
       70},
      {"mean",
       [](Inputs& in, int64_t n) {
         return mean(in.uniform({3, n + 1, 19}), static_cast<int>(in.pick(-3, 2)));
       },
       70},
      {.name = "amax",
       .call =
           [](Inputs& in, int64_t n) {
             return amax(in.uniform({3, n + 1, 19}), static_cast<int>(in.pick(-3, 2)));
           },
       .max_size = 70,
       .has_gradient = false},
      {.name = "amin",
       .call =
           [](Inputs& in, int64_t n) {
             return amin(in.uniform({3, n + 1, 19}), static_cast<int>(in.pick(-3, 2)));
           },
       .max_size = 70,
       .has_gradient = false},
      {"attention", attention_call, 70},
      {"attention_many_queries",
       [](Inputs& in, int64_t n) {
         // Of one memory, as a linear layer makes them.
         const Tensor qkv = dense(in.uniform({1, 225 + n, 3, 2, 8}));
         return attention(qkv.select(2, 0), qkv.select(2, 1), qkv.select(2, 2),
                          {.causal = in.coin()});
       },
       3},
      {"conv2d_1x1", [](Inputs& in, int64_t n) { return conv_call(in, n, false, 1); }},
      {"conv2d_3x3", [](Inputs& in, int64_t n) { return conv_call(in, n, false, 3); }},
      {"conv2d_5x5", [](Inputs& in, int64_t n) { return conv_call(in, n, false, 5); }, 12},
      {"conv2d_depthwise",
       [](Inputs& in, int64_t n) { return conv_call(in, n, true, 2 * in.pick(0, 3) + 1); }},
      {"inverted_residual", inverted_residual_call},
      {"max_pool2d", [](Inputs& in, int64_t n) { return pool_call(in, n, true); }},
      {"avg_pool2d", [](Inputs& in, int64_t n) { return pool_call(in, n, false); }},
      {"global_avg_pool",
       [](Inputs& in, int64_t n) {
         return global_avg_pool(in.uniform({2, 3, 4, n}));
       }},
      {"interpolate_nearest",
       [](Inputs& in, int64_t n) { return resize_call(in, n, Interpolation::nearest); }, 20},
      {"interpolate_bilinear",
       [](Inputs& in, int64_t n) { return resize_call(in, n, Interpolation::bilinear); }, 20},
      {"interpolate_bicubic",
       [](Inputs& in, int64_t n) { return resize_call(in, n, Interpolation::bicubic); }, 20},
      {"embedding",
       [](Inputs& in, int64_t n) {
         return embedding(in.indices({2, 3}, 7), in.uniform({7, n}));
       }},
      {"gather_rows",
       [](Inputs& in, int64_t n) {
         return gather_rows(in.uniform({4, 7, n}), in.indices({4}, 7));
       }},
      {"index_add",
       [](Inputs& in, int64_t n) {
         const Tensor x = in.uniform({5, n, 2}), y = in.uniform({3, n, 2});
         return index_add(x, in.indices({3}, 5), y, in.coin() ? 1.0f : 1.5f);
       }},
      {"cat",
       [](Inputs& in, int64_t n) {
         return cat({in.uniform({2, n, 3}), in.uniform({2, 4, 3}), in.uniform({2, n, 3})}, 1);
       }},
      {"clone",
       [](Inputs& in, int64_t n) {
         return clone(in.uniform({2, n, 3}).permute({2, 0, 1}));
       }},
      {"cross_entropy",
       [](Inputs& in, int64_t n) {
         const Tensor logits = in.uniform({3, n + 1}, -4, 4);
         return cross_entropy(logits, in.indices({3}, static_cast<int32_t>(n) + 1),
                              in.coin() ? 0.1f : 0.0f);
       }},
      {"cross_entropy_soft",
       [](Inputs& in, int64_t n) {
         const Tensor logits = in.uniform({3, n + 1}, -4, 4);
         const Tensor targets = Tensor::zeros(logits.shape());
         for (float& t : targets.values<float>()) t = 0.1f * static_cast<float>(in.pick(0, 5));
         return cross_entropy(logits, targets);
       }},
      {"sigmoid_cross_entropy",
       [](Inputs& in, int64_t n) {
         const Tensor logits = in.uniform({3, n + 1}, -4, 4);
         const Tensor targets = Tensor::zeros(logits.shape());
         for (float& t : targets.values<float>()) t = in.coin() ? 1.0f : 0.0f;
         return sigmoid_cross_entropy(logits, targets);
       }},
      {"koleo",
       [](Inputs& in, int64_t n) {
         return koleo(normalize(in.uniform({in.pick(2, 9), n + 4})));
       }},
      {"reshape",
       [](Inputs& in, int64_t n) {
         return reshape(in.uniform({4, n, 6}).transpose(0, 1), {2, -1, 2});
       },
       40},
      {"patchify",
       [](Inputs& in, int64_t n) {
         return patchify(in.uniform({2, n, in.pick(0, 20), 3}), 3, 4);
       }},
  };
  return table;
}

}  // namespace ocelli::test
