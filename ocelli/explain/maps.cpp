#include "ocelli/explain/maps.h"

#include <algorithm>

#include "ocelli/ops/attention.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

TokenLayout layout_of(const Model& model) {
  const auto layout = model.token_layout();
  if (!layout) {
    fail(ErrorCode::unsupported, "the model is no transformer over patches");
  }
  return *layout;
}

struct Grid {
  int64_t rows, columns;
};

Grid grid_of(const TokenLayout& layout, const Tensor& pixels) {
  return {pixels.size(1) / layout.patch, pixels.size(2) / layout.patch};
}

// Shows the weights [H, N, N] of each block below `depth` that `wanted` names.
void watch(const Model& model, const Tensor& pixels, const std::function<bool(int64_t)>& wanted,
           const std::function<void(const Tensor&)>& show) {
  check(pixels.rank() == 4 && pixels.size(0) == 1, "explain: pixels are {}, not [1, H, W, 3]",
        pixels.shape());
  const AttentionObserver observer(
      [&](int64_t call, const Tensor& q, const Tensor& k, const AttentionOptions& options) {
        if (call < model.depth() && wanted(call))
          show(attention_weights(q, k, options).select(0, 0));
      });
  model.embed_image(pixels);
}

// The patches' part of what the class token, or the mean patch, attends to in [N, N].
Tensor from_class_token(const Tensor& weights, const TokenLayout& layout, const Grid& grid) {
  const Tensor queries = layout.class_tokens > 0
                             ? weights.select(0, 0)
                             : mean(weights.slice(0, layout.prefix(), weights.size(0)), 0);
  return contiguous(queries.slice(0, layout.prefix(), queries.size(0)))
      .view({grid.rows, grid.columns});
}

}  // namespace

Tensor attention_map(const Model& model, const Tensor& pixels, int64_t layer,
                     std::optional<int64_t> head) {
  const TokenLayout layout = layout_of(model);
  const int64_t depth = model.depth();
  check(layer >= -depth && layer < depth, "layer {}: the model has {}, 0 to {}", layer, depth,
        depth - 1);
  Tensor map;
  watch(
      model, pixels, [&](int64_t call) { return call == (layer + depth) % depth; },
      [&](const Tensor& weights) {
        check(!head || (*head >= 0 && *head < weights.size(0)),
              "head {}: the model has {}, 0 to {}", head.value_or(0), weights.size(0),
              weights.size(0) - 1);
        map = from_class_token(head ? weights.select(0, *head) : mean(weights, 0), layout,
                               grid_of(layout, pixels));
      });
  return map;
}

Tensor attention_rollout(const Model& model, const Tensor& pixels) {
  const TokenLayout layout = layout_of(model);
  Tensor flow;
  watch(
      model, pixels, [](int64_t) { return true; },
      [&](const Tensor& weights) {
        Tensor step = mean(weights, 0) * 0.5f;
        const int64_t n = step.size(0);
        for (int64_t i = 0; i < n; ++i) step.data<float>()[i * n + i] += 0.5f;
        flow = flow.defined() ? matmul(step, flow) : step;
      });
  return from_class_token(flow, layout, grid_of(layout, pixels));
}

Tensor patch_embeddings(const Model& model, const Tensor& pixels) {
  const Grid grid = grid_of(layout_of(model), pixels);
  const Tensor patches = contiguous(model.embed_patches(pixels).select(0, 0));
  return normalize(patches).view({grid.rows, grid.columns, patches.size(-1)});
}

Tensor patch_similarity(const Tensor& patches, const Tensor& vector) {
  const int64_t width = patches.size(-1);
  check(vector.numel() == width, "patch_similarity: patches are {} but the vector is {}",
        patches.shape(), vector.shape());
  return matmul(patches.view({patches.size(0) * patches.size(1), width}),
                contiguous(vector).view({width, 1}))
      .view({patches.size(0), patches.size(1)});
}

Tensor occlusion(const Tensor& pixels, const std::function<Tensor(const Tensor&)>& score,
                 const OcclusionOptions& options) {
  const int64_t height = pixels.size(1), width = pixels.size(2), cells = options.cells;
  check(cells >= 1 && cells <= std::min(height, width), "occlusion: {} cells for {} x {} pixels",
        cells, height, width);
  const Tensor map = Tensor::empty({cells, cells});
  const float whole = score(pixels).values<float>()[0];
  const auto edge = [&](int64_t size, double cell) {
    return std::clamp<int64_t>(
        static_cast<int64_t>(static_cast<double>(size) * cell / static_cast<double>(cells)), 0,
        size);
  };
  const Tensor covered = Tensor::empty({options.batch, height, width, 3});
  for (int64_t begin = 0; begin < cells * cells; begin += options.batch) {
    throw_if_cancelled();
    const int64_t count = std::min(options.batch, cells * cells - begin);
    for (int64_t b = 0; b < count; ++b) {
      float* image = covered.data<float>() + b * height * width * 3;
      std::ranges::copy(pixels.values<float>(), image);
      const auto row = static_cast<double>((begin + b) / cells),
                 column = static_cast<double>((begin + b) % cells);
      const int64_t left = edge(width, column - 0.5), right = edge(width, column + 1.5);
      for (int64_t y = edge(height, row - 0.5); y < edge(height, row + 1.5); ++y)
        std::fill(image + (y * width + left) * 3, image + (y * width + right) * 3, 0.0f);
    }
    const Tensor scores = score(covered.slice(0, 0, count));
    for (int64_t b = 0; b < count; ++b)
      map.data<float>()[begin + b] = whole - scores.values<float>()[static_cast<size_t>(b)];
    if (options.progress) options.progress(begin + count, cells * cells);
  }
  return map;
}

}  // namespace ocelli
