#include "ocelli/engine/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "ocelli/engine/classify.h"
#include "ocelli/explain/maps.h"
#include "ocelli/explain/overlay.h"
#include "ocelli/explain/patch_pca.h"
#include "ocelli/image/canvas.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

using Kind = ExplainOptions::Kind;

// The patch at a pixel of the photograph.
std::array<int64_t, 2> patch_at(const Explained& image, const std::array<int64_t, 2>& point,
                                const Tensor& patches) {
  const double x = (static_cast<double>(point[0]) + 0.5 - image.seen.left) / image.seen.width,
               y = (static_cast<double>(point[1]) + 0.5 - image.seen.top) / image.seen.height;
  const bool inside = point[0] >= 0 && point[1] >= 0 && point[0] < image.photo.width() &&
                      point[1] < image.photo.height();
  check(inside && x >= 0 && x < 1 && y >= 0 && y < 1,
        "the point {},{} is not in what the model sees of {} ({} x {}): {:.0f} to {:.0f} across, "
        "{:.0f} to {:.0f} down",
        point[0], point[1], image.path, image.photo.width(), image.photo.height(),
        std::max(image.seen.left, 0.0), image.seen.left + image.seen.width,
        std::max(image.seen.top, 0.0), image.seen.top + image.seen.height);
  return {static_cast<int64_t>(y * static_cast<double>(patches.size(0))),
          static_cast<int64_t>(x * static_cast<double>(patches.size(1)))};
}

class Explainer {
 public:
  Explainer(const OpenModel& opened, const ExplainOptions& options)
      : opened_(opened), model_(*opened.model), options_(options) {}

  Explanation operator()(std::span<const std::string> paths) {
    if (options_.kind == Kind::similarity) text_ = embed_texts(opened_, {options_.text});
    for (const std::string& path : paths) {
      throw_if_cancelled();
      Explained image{path, {}, {}, decode_image_file(path, options_.decode), {}};
      image.seen = seen_part(opened_.processor, image.photo.height(), image.photo.width());
      image.map = map_of(image, preprocess(opened_.processor, image.photo).unsqueeze(0));
      result_.images.push_back(std::move(image));
      if (options_.progress && options_.kind != Kind::occlusion) {
        options_.progress(static_cast<int64_t>(result_.images.size()),
                          static_cast<int64_t>(paths.size()));
      }
    }
    if (options_.kind == Kind::pca) {
      const auto colors = patch_pca(patches_, options_.whole);
      for (size_t i = 0; i < colors.size(); ++i) result_.images[i].map = colors[i];
      result_.title = "the first three principal components of the patches";
    }
    for (Explained& image : result_.images)
      image.picture = overlay(image.photo, image.map, image.seen);
    return std::move(result_);
  }

 private:
  Tensor map_of(const Explained& image, const Tensor& pixels) {
    switch (options_.kind) {
      case Kind::attention: {
        const int64_t depth = model_.depth();
        result_.title = fmt::format(
            "attention of block {}, {}", (options_.layer + depth) % depth,
            options_.head ? fmt::format("head {}", *options_.head) : "the mean of its heads");
        return attention_map(model_, pixels, options_.layer, options_.head);
      }
      case Kind::rollout:
        result_.title = "attention rollout";
        return attention_rollout(model_, pixels);
      case Kind::pca: patches_.push_back(patch_features(model_, pixels)); return {};
      case Kind::similarity:
        result_.title = fmt::format("cosine with \"{}\"", options_.text);
        return patch_similarity(patch_embeddings(model_, pixels), text_.select(0, 0));
      case Kind::similarity_point: {
        const Tensor patches = patch_features(model_, pixels);
        if (!query_.defined()) {
          const auto [row, column] = patch_at(image, options_.point, patches);
          query_ = patches.select(0, row).select(0, column);
        }
        result_.title =
            fmt::format("cosine with the patch at {},{}", options_.point[0], options_.point[1]);
        return patch_similarity(patches, query_);
      }
      case Kind::occlusion: return occluded(pixels);
    }
    fail(ErrorCode::internal, "explain: a kind that is none");
  }

  Tensor occluded(const Tensor& pixels) {
    const OcclusionOptions run{.progress = options_.progress};
    if (!model_.has_classifier()) {
      result_.title = "what covering takes from the cosine with the whole image";
      const Tensor whole = embed_pixels(opened_, pixels);
      return occlusion(
          pixels, [&](const Tensor& x) { return sum(embed_pixels(opened_, x) * whole, -1); }, run);
    }
    const Tensor logits = softmax(model_.classify(pixels));
    const std::span<const float> row = logits.values<float>();
    const auto best = std::ranges::max_element(row) - row.begin();
    const auto& labels = model_.labels();
    result_.title = fmt::format("what covering takes from the probability of {}",
                                best < std::ssize(labels) ? labels[static_cast<size_t>(best)]
                                                          : fmt::format("class {}", best));
    return occlusion(
        pixels,
        [&](const Tensor& x) {
          return contiguous(softmax(model_.classify(x)).select(1, static_cast<int64_t>(best)));
        },
        run);
  }

  const OpenModel& opened_;
  const Model& model_;
  const ExplainOptions& options_;
  Explanation result_;
  std::vector<Tensor> patches_;
  Tensor text_, query_;
};

}  // namespace

Explanation explain(const OpenModel& opened, std::span<const std::string> paths,
                    const ExplainOptions& options) {
  if (options.kind != Kind::occlusion && !opened.model->token_layout()) {
    fail(ErrorCode::unsupported,
         "{}: {} is no transformer over patches; only --occlusion explains it", opened.name,
         opened.family->name);
  }
  if (options.kind == Kind::similarity) check_has_text(opened);
  return Explainer(opened, options)(paths);
}

Image picture_of(const Explanation& explanation) {
  const auto& images = explanation.images;
  check(!images.empty(), "explain: no images");
  if (images.size() == 1) return images[0].picture;
  constexpr int64_t kHeight = 512, kGap = 8;
  std::vector<Image> scaled;
  int64_t width = kGap;
  for (const Explained& image : images) {
    const int64_t across =
        std::max<int64_t>(image.picture.width() * kHeight / image.picture.height(), 1);
    scaled.push_back(resize(image.picture, kHeight, across, Filter::bicubic));
    width += across + kGap;
  }
  check(width * (kHeight + 2 * kGap) <= 100'000'000,
        "{} images are too many for one picture; write the maps instead (--npy)", images.size());
  Canvas canvas(kHeight + 2 * kGap, width, {255, 255, 255});
  for (int64_t left = kGap; const Image& image : scaled) {
    canvas.picture(image, left, kGap);
    left += image.width() + kGap;
  }
  return canvas.image();
}

Tensor maps_of(const Explanation& explanation) {
  std::vector<Tensor> maps;
  for (const Explained& image : explanation.images) {
    check(image.map.shape() == explanation.images[0].map.shape(),
          "the maps of {} and {} differ in size", explanation.images[0].path, image.path);
    maps.push_back(image.map.unsqueeze(0));
  }
  return maps.size() == 1 ? explanation.images[0].map : cat(maps, 0);
}

}  // namespace ocelli
