// The two passes of resizing, for each instruction set; all give the same bytes. Internal, and for
// tests, which compare them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ocelli/image/resize.h"

namespace ocelli {

// Weights are fixed-point numbers of this many binary places, as Pillow's.
constexpr int kResizePlaces = 32 - 8 - 2;

// The input positions under consecutive outputs and their weights.
struct ResizeTaps {
  std::vector<int32_t> first, count;
  std::vector<int32_t> weights;  // `stride` an output, zeros after its `count`
  int64_t stride = 0;            // a multiple of 4
  std::vector<int32_t> packed;   // the weights as the kernel wants them

  int64_t size() const { return static_cast<int64_t>(first.size()); }
  int32_t begin() const;  // the inputs that any output needs
  int32_t end() const;
};

struct ResizeKernels {
  const char* name;
  int rows;  // that `across` does at once
  void (*pack)(ResizeTaps* taps);
  // From each of in[0 .. rows) to out[0 .. rows), RGB. Up to 16 bytes after an input row are read.
  void (*across)(const uint8_t* const* in, const ResizeTaps& taps, uint8_t* const* out);
  // One output row of `size` bytes from the rows in[0 .. count) that lie under `output`; the table
  // goes on to a multiple of 4 with any valid rows.
  void (*down)(const uint8_t* const* in, const ResizeTaps& taps, int64_t output, int64_t size,
               uint8_t* out);
};

// Those this processor runs, the fastest last.
std::span<const ResizeKernels> resize_kernels();

Tensor resize_window(const Image& image, int64_t height, int64_t width, Filter filter,
                     const Window& window, const ResizeKernels& kernels);

}  // namespace ocelli
