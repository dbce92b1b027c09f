// The fast backend for processors: Highway kernels, chosen at run time for the instruction set at
// hand. What is not overridden here is rare enough for the reference loops.
#pragma once

#include "ocelli/backend/cpu/tile.h"
#include "ocelli/backend/reference/reference.h"

namespace ocelli::backend {

// Activations in 8 bits: x = low + step * u, u in 0 .. 255.
struct ByteScale {
  float low = 0, step = 0;
};

class Cpu : public Reference {
 public:
  explicit Cpu(Precision precision, int64_t group = 0, ByteScale input = {})
      : precision_(precision), group_(group), input_(input) {}
  const char* name() const override { return "cpu"; }
  void copy(const View& y, const View& x) const override;
  void gemm(const View& y, const View& a, const View& b, float alpha) const override;
  void unary(Unary kind, const View& y, const View& x) const override;
  void binary(Binary kind, const View& y, const View& a, const View& b) const override;
  void reduce(Reduce kind, const View& y, const View& x) const override;
  void softmax(const View& y, const View& x) const override;
  void gather(const View& y, const View& table, const View& indices) const override;
  void conv2d(const View& y, const View& x, const View& weight, const View* bias,
              const Conv2d& params) const override;
  void pool2d(const View& y, const View& x, const Pool2d& params) const override;
  void resize(const View& y, const View& x, const Resize& params) const override;
  void unary_backward(Unary kind, const View& dx, const View& dy, const View& x) const override;
  void layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                  float eps) const override;
  void rms_norm(const View& y, const View& x, const View* weight, float eps) const override;
  void attention(const View& y, const View& q, const View& k, const View& v,
                 const Attention& params) const override;
  void layer_norm_backward(const View& dx, const View* dweight, const View* dbias, const View& dy,
                           const View& x, const View* weight, float eps) const override;
  void attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                          const View& dy, const View& q, const View& k, const View& v,
                          const Attention& params) const override;
  void linear_backward(const View* dx, const View* dweight, const View* dbias, const View& dy,
                       const View& x, const View& weight, const Epilogue& epilogue) const override;
  void conv2d_backward(const View* dx, const View* dweight, const View& dy, const View& x,
                       const View& weight, const Conv2d& params) const override;
  PackedPtr pack_linear(const View& weight, const View* bias) const override;
  void linear(const View& y, const View& x, const Packed& weight,
              const Epilogue& epilogue) const override;
  PackedPtr pack_conv2d(const View& weight, const View* bias, const Conv2d& params) const override;
  void conv2d_packed(const View& y, const View& x, const Packed& weight, const Conv2d& params,
                     const Epilogue& epilogue) const override;
  void inverted_residual(const View& y, const View& x,
                         const PackedInvertedResidual& block) const override;

 private:
  Precision word_precision() const;
  // Whether attention of f32, [B, N, H, D], multiplies in bf16.
  bool has_narrow_attention(const Tensor& q, const Tensor& v) const;

  Precision precision_;  // of packed linear weights
  int64_t group_;        // of int4
  ByteScale input_;      // of int8, for all rows; a step of 0: each row has its own
};

// Numbers in a word (tile.h).
constexpr int64_t numbers_per_word(Precision precision) {
  return precision == Precision::f32 ? 1 : precision == Precision::bf16 ? 2 : 4;
}

// A weight [N, K] as panels of `panel` columns of words (tile.h): [ceil(N / panel)][words][panel],
// the last filled with zeros, and the bias likewise. In 4 bits the panels lie as bytes of two
// numbers, [ceil(N / panel)][ceil(K / 2)][panel], and become words just before they are multiplied.
struct PackedLinear final : Packed {
  Precision precision = Precision::f32;  // of the product: not int4
  int64_t n = 0, k = 0, panel = 0;
  int64_t words = 0;  // of a row: K, ceil(K / 2) or ceil(K / 4)
  Tensor panels, bias;
  Tensor steps, sums;  // int8: of each row, the step and the sum of its weights
  ByteScale input;     // int8: of all rows of x; a step of 0: each has its own
  int64_t group = 0;   // 4 bits: numbers of a row that share a step; else 0
  Tensor group_steps;  // of bf16: [ceil(N / panel)][ceil(K / group)][panel]

  void count_bytes() { bytes = n * (group ? (k + 1) / 2 : 4 * words); }
};

// Rows of words that a product reads; of int8, with the scale of each: x = low + step * u.
struct WordRows {
  float* words = nullptr;
  int64_t row = 0;   // their distance
  int64_t step = 1;  // that of their words
  float *steps = nullptr, *lows = nullptr;
};

// Rows [0, m) of y = residual + scale * activation(x W^T + bias), on plain pointers.
struct LinearCall {
  const void* x;
  int64_t ldx;
  float* y;     // or null, then y16
  int64_t ldy;  // of the residual too
  int64_t m;
  const PackedLinear* weight;
  Activation activation;
  const float* scale;               // or null
  const float* residual;            // or null
  DType x_type = DType::f32;        // f32 or bf16
  uint16_t* y16 = nullptr;          // bf16
  void* sums = nullptr;             // x W^T + bias as well, of y's type
  const WordRows* words = nullptr;  // x as the weight multiplies it, where it was made before
};

// Panels for a weight [n, k] that has yet to be packed.
PackedLinear unpacked(Precision precision, int64_t n, int64_t k);

// On the calling thread alone, for kernels that share out the work themselves.
void pack_serial(const View& weight, PackedLinear& into);
void linear_serial(const LinearCall& call);
void linear_serial(const LinearCall& call, Range panels);  // these columns of y alone

// An output is cut into a grid of row and panel ranges that threads take one after the other: the
// one that ends first when all are equally fast, and of those the finest, for when they are not; at
// most `most` of them.
struct Grid {
  int64_t rows, panels;
};
Grid choose_grid(int64_t tiles, int64_t panels, int64_t threads, int64_t most);
int64_t tile_height();  // rows of a tile

// Bytes of second-level cache that a kernel may count on.
int64_t cache_budget();

}  // namespace ocelli::backend
