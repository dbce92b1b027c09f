// What a device must do. The required operations are pure; the optional ones have bodies built from
// them (backend.cpp), so a new device runs every model after the required ones and becomes fast one
// override at a time. Arguments are views: shapes have been checked by ops/, outputs are allocated.
// Compute is f32 but for packed weights of another Precision; views may have any strides unless a
// comment says otherwise. Sizes may be 0.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli::backend {

enum class Unary {
  neg,
  abs,
  exp,
  log,
  sqrt,
  rsqrt,
  square,
  sigmoid,
  tanh,
  relu,
  relu6,
  silu,
  gelu,
  gelu_tanh,
  quick_gelu,
  hardswish
};
enum class Binary { add, sub, mul, div, maximum, minimum };
enum class Reduce { sum, mean, max, min };
enum class Pool { max, avg };
enum class Interpolation { nearest, bilinear, bicubic };

// One of the Unary kinds, or nothing, at the end of a linear or a convolution.
using Activation = std::optional<Unary>;

// y = residual + scale * activation(x W^T + bias). `scale` is [N]; the residual may be y itself.
struct Epilogue {
  Activation activation;
  const View* scale = nullptr;
  const View* residual = nullptr;
  const View* sums = nullptr;  // x W^T + bias for the gradient, of y's type, compact as y is then
};

// How a packed weight is held and multiplied: bf16 rounds both factors and sums in f32; int8 holds
// a weight as 8-bit numbers with a step each row, and rounds each row of the input to 8 bits; int4
// holds a weight as 4-bit numbers with a step each group along K and multiplies as bf16, or as f32
// where the processor has no products of bf16.
enum class Precision { f32, bf16, int8, int4 };
const char* precision_name(Precision precision);
std::optional<Precision> parse_precision(std::string_view name);  // the inverse

// A weight in the layout the backend likes best. Immutable, shared between threads.
class Packed {
 public:
  virtual ~Packed() = default;
  // What a result may be that only linear and attention read: f32 or bf16.
  DType inner = DType::f32;
  int64_t bytes = 0;  // that a product reads of it
};
using PackedPtr = std::shared_ptr<const Packed>;

struct Conv2d {
  std::array<int64_t, 2> stride = {1, 1};
  std::array<int64_t, 4> padding = {0, 0, 0, 0};  // top, left, bottom, right; zeros
  std::array<int64_t, 2> dilation = {1, 1};
  int64_t groups = 1;
};

// A depthwise convolution between two of 1 x 1, the wide map in the middle:
// y = residual + scale * project(activation(depthwise(activation(expand(x))))); without `project`,
// scale and residual follow the depthwise one.
struct PackedInvertedResidual {
  const Packed* expand = nullptr;  // or null
  const Packed* depthwise = nullptr;
  const Packed* project = nullptr;  // or null
  int64_t channels = 0;             // of the wide map
  Conv2d params;                    // of the depthwise convolution
  Activation activation;
  const View* scale = nullptr;
  const View* residual = nullptr;
};

struct Pool2d {
  Pool kind = Pool::max;
  std::array<int64_t, 2> kernel = {1, 1};
  std::array<int64_t, 2> stride = {1, 1};
  std::array<int64_t, 4> padding = {0, 0, 0, 0};
  bool count_include_pad = true;  // avg only, as in PyTorch
};

struct Resize {
  Interpolation mode = Interpolation::bilinear;
  bool align_corners = false;
  bool antialias = false;
  // Input pixels an output pixel stands for, when the caller gave scale factors instead of a size
  // (PyTorch then uses 1/factor, not the ratio of sizes); 0 means the ratio.
  std::array<double, 2> step = {0, 0};
};

struct Attention {
  float scale = 1;                 // of the scores
  bool causal = false;             // query i sees keys 0 .. i + Nk - Nq
  const View* key_mask = nullptr;  // [B, Nk] u8, 0 hides a key
  const View* bias = nullptr;      // [B or 1, H or 1, Nq, Nk], added to the scores
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;

  // --- Required ---
  virtual void copy(const View& y, const View& x) const = 0;  // converts the element type
  // y[..., M, N] = alpha * a[..., M, K] b[..., K, N]; equal leading sizes.
  virtual void gemm(const View& y, const View& a, const View& b, float alpha) const = 0;
  virtual void unary(Unary kind, const View& y, const View& x) const = 0;
  // Equal shapes (broadcast by strides of 0).
  virtual void binary(Binary kind, const View& y, const View& a, const View& b) const = 0;
  virtual void reduce(Reduce kind, const View& y, const View& x) const = 0;  // over the last dim
  virtual void softmax(const View& y, const View& x) const = 0;              // over the last dim
  // y[i, :] = table[indices[i], :]; indices i32 and in range. Any element type.
  virtual void gather(const View& y, const View& table, const View& indices) const = 0;
  // x [B, H, W, C] -> y [B, Ho, Wo, O]; weight [O, C/groups, kh, kw]; bias [O] or null.
  virtual void conv2d(const View& y, const View& x, const View& weight, const View* bias,
                      const Conv2d& params) const = 0;
  virtual void pool2d(const View& y, const View& x, const Pool2d& params) const = 0;
  virtual void resize(const View& y, const View& x, const Resize& params) const = 0;
  // dx = dy * d unary(x) / dx; x may be of `inner` type (below).
  virtual void unary_backward(Unary kind, const View& dx, const View& dy, const View& x) const = 0;
  virtual void pool2d_backward(const View& dx, const View& dy, const View& x,
                               const Pool2d& params) const = 0;

  // --- Optional: normalisation over the last dimension; weight and bias [C] or null ---
  virtual void layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                          float eps) const;
  virtual void rms_norm(const View& y, const View& x, const View* weight, float eps) const;
  // x [B, ..., C], groups of C / groups channels over all positions of an image.
  virtual void group_norm(const View& y, const View& x, const View* weight, const View* bias,
                          int64_t groups, float eps) const;
  // q [B, Nq, H, D], k [B, Nk, H, D], v [B, Nk, H, Dv] -> y [B, Nq, H, Dv]; all f32, or all of the
  // type that this backend's packed weights have as `inner`. A query that sees no key gives zeros.
  virtual void attention(const View& y, const View& q, const View& k, const View& v,
                         const Attention& params) const;
  // What attention() weighs v with, y [B, H, Nq, Nk] contiguous: from the required operations.
  void attention_weights(const View& y, const View& q, const View& k,
                         const Attention& params) const;

  // --- Optional: packed weights ---
  // weight [N, K], bias [N] or null. Null when the backend has no layout of its own.
  virtual PackedPtr pack_linear(const View& weight, const View* bias) const;
  // x [M, K] and y [M, N], each f32 or the weight's `inner` type, with rows any distance apart;
  // with a residual, which is compact, y is f32 and compact too; with a scale, y is f32.
  virtual void linear(const View& y, const View& x, const Packed& weight,
                      const Epilogue& epilogue) const;
  virtual PackedPtr pack_conv2d(const View& weight, const View* bias, const Conv2d& params) const;
  // `params` as packed but for the padding, which may follow the size of the input.
  virtual void conv2d_packed(const View& y, const View& x, const Packed& weight,
                             const Conv2d& params, const Epilogue& epilogue) const;
  // x and y contiguous.
  virtual void inverted_residual(const View& y, const View& x,
                                 const PackedInvertedResidual& block) const;

  // --- Optional: gradients (backward.cpp), each of what its forward is called with. A null output
  // is not wanted; outputs are written, not added to. ---
  virtual void layer_norm_backward(const View& dx, const View* dweight, const View* dbias,
                                   const View& dy, const View& x, const View* weight,
                                   float eps) const;
  virtual void rms_norm_backward(const View& dx, const View* dweight, const View& dy, const View& x,
                                 const View* weight, float eps) const;
  // dbias is [B, H, Nq, Nk].
  virtual void attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                                  const View& dy, const View& q, const View& k, const View& v,
                                  const Attention& params) const;
  // Of weights that are not packed, and of y = activation(sums), an epilogue without more; the sums
  // are written over. x and the sums are f32 or `inner`, dy is f32, all compact.
  virtual void linear_backward(const View* dx, const View* dweight, const View* dbias,
                               const View& dy, const View& x, const View& weight,
                               const Epilogue& epilogue) const;
  virtual void conv2d_backward(const View* dx, const View* dweight, const View& dy, const View& x,
                               const View& weight, const Conv2d& params) const;
};

const Backend& reference();  // scalar and obvious: the oracle
// Fast; packs the weights of linear layers in `precision`.
const Backend& cpu(Precision precision = Precision::f32);
// The same in int4, with groups of `group` numbers, 32 or 128; cpu(int4) has groups of 32.
const Backend& cpu_int4(int64_t group);
// The same in int8, for weights that are multiplied with numbers from `low` to `high`; others count
// as the nearest of these. cpu(int8) takes the range of each row.
std::shared_ptr<const Backend> cpu_int8(float low, float high);

// The backend of ops called from this thread: cpu() unless a scope says otherwise.
const Backend& current();

class UseBackend {
 public:
  explicit UseBackend(const Backend& backend);
  ~UseBackend();
  UseBackend(const UseBackend&) = delete;
  UseBackend& operator=(const UseBackend&) = delete;

 private:
  const Backend* previous_;
};

}  // namespace ocelli::backend
