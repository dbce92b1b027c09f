#include "ocelli/engine/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "ocelli/data/image_list.h"
#include "ocelli/data/inputs.h"
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

using Point = std::array<int64_t, 2>;

// The row and column of the patch at a pixel of the photograph.
Point patch_at(const Explained& image, const Point& point, const Tensor& patches) {
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

// The pixel in the middle of the patch with the largest value.
Point point_of_most(const Explained& image) {
  const auto values = image.map.values<float>();
  const int64_t most = std::ranges::max_element(values) - values.begin();
  const int64_t rows = image.map.size(0), columns = image.map.size(1);
  const auto middle = [](double begin, double size, int64_t i, int64_t count, int64_t pixels) {
    const double at = begin + size * (static_cast<double>(i) + 0.5) / static_cast<double>(count);
    return std::clamp<int64_t>(static_cast<int64_t>(at), 0, pixels - 1);  // models may see padding
  };
  return {middle(image.seen.left, image.seen.width, most % columns, columns, image.photo.width()),
          middle(image.seen.top, image.seen.height, most / columns, rows, image.photo.height())};
}

// A ring of black and white squares round the point.
Image marked(const Image& picture, const Point& point) {
  const int64_t unit = std::max<int64_t>(std::min(picture.height(), picture.width()) / 150, 1);
  Canvas canvas(picture.height(), picture.width(), {0, 0, 0});
  canvas.picture(picture, 0, 0);
  for (const auto& [reach, color] :
       {std::pair(4 * unit, Color{0, 0, 0}), std::pair(3 * unit, Color{255, 255, 255})}) {
    canvas.frame({point[0] - reach, point[1] - reach, 2 * reach, 2 * reach}, unit, color);
  }
  return canvas.image();
}

class Explainer {
 public:
  Explainer(const std::shared_ptr<const OpenModel>& opened, const ExplainOptions& options)
      : opened_(*opened), model_(*opened->model), options_(options) {
    if (options.kind == Kind::similarity) text_ = embed_texts(opened_, {options.text});
    if (options.kind == Kind::occlusion) choose_class(opened);
  }

  Explanation operator()(std::span<const std::string> paths) {
    for (const std::string& path : paths) {
      throw_if_cancelled();
      Explained image{path, {}, {}, decode_input(path, options_.decode), {}};
      image.seen = seen_part(opened_.processor, image.photo.height(), image.photo.width());
      image.map = map_of(image, preprocess(opened_.processor, image.photo).unsqueeze(0));
      if (options_.kind == Kind::similarity_point)
        image.point = result_.images.empty() ? options_.point : point_of_most(image);
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
    for (Explained& image : result_.images) {
      image.picture = overlay(image.photo, image.map, image.seen);
      if (image.point) image.picture = marked(image.picture, *image.point);
    }
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
      case Kind::pca: patches_.push_back(patches_of(pixels)); return {};
      case Kind::similarity:
        result_.title = fmt::format("cosine with \"{}\"", options_.text);
        return patch_similarity(patch_embeddings(model_, pixels), text_.select(0, 0));
      case Kind::similarity_point: {
        const Tensor patches = patches_of(pixels);
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

  Tensor patches_of(const Tensor& pixels) {
    return feature_pixels(opened_, pixels, Features::patch).select(0, 0);
  }

  void choose_class(const std::shared_ptr<const OpenModel>& opened) {
    if (options_.classifier) {
      check(options_.classifier->labels().size() > 1 || model_.similarity().sigmoid,
            "the probability of one label among one is 1; give more --labels to tell it from");
      classifier_ = options_.classifier;
    } else if (model_.has_classifier()) {
      classifier_.emplace(opened);
    }
    if (options_.class_name.empty()) return;
    check(classifier_.has_value(), "--class {}: {} has no classes; give them as --labels",
          options_.class_name, opened_.name);
    class_ = match_classes({.paths = {}, .class_of = {}, .classes = {options_.class_name}},
                           classifier_->labels())[0];
  }

  Tensor occluded(const Tensor& pixels) {
    const OcclusionOptions run{.progress = options_.progress};
    if (!classifier_) {
      result_.title = "what covering takes from the cosine with the whole image";
      const Tensor whole = embed_pixels(opened_, pixels);
      return occlusion(
          pixels, [&](const Tensor& x) { return sum(embed_pixels(opened_, x) * whole, -1); }, run);
    }
    const std::vector<std::string>& labels = classifier_->labels();
    if (!class_) class_ = top_k((*classifier_)(pixels).select(0, 0), labels, 1)[0].index;
    result_.title = fmt::format("what covering takes from the probability of {}",
                                *class_ < std::ssize(labels) ? labels[static_cast<size_t>(*class_)]
                                                             : fmt::format("class {}", *class_));
    return occlusion(
        pixels, [&](const Tensor& x) { return contiguous((*classifier_)(x).select(1, *class_)); },
        run);
  }

  const OpenModel& opened_;
  const Model& model_;
  const ExplainOptions& options_;
  Explanation result_;
  std::vector<Tensor> patches_;
  Tensor text_, query_;
  std::optional<Classifier> classifier_;
  std::optional<int64_t> class_;
};

}  // namespace

Explanation explain(const std::shared_ptr<const OpenModel>& opened,
                    std::span<const std::string> paths, const ExplainOptions& options) {
  if (options.kind != Kind::occlusion && !opened->model->token_layout()) {
    fail(ErrorCode::unsupported,
         "{}: {} is no transformer over patches; only --occlusion explains it", opened->name,
         opened->family->name);
  }
  if (options.kind == Kind::similarity) check_has_text(*opened);
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
