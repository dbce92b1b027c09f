#include "ocelli/train/loading.h"

namespace ocelli {

LoaderOptions training_loader(const TrainRecipe& recipe, const ImageProcessor& processor) {
  const auto& a = recipe.augment;
  LoaderOptions loading;
  loading.batch_size = recipe.batch;
  loading.sampling.seed = recipe.seed;
  loading.processor = processor;
  const auto [height, width] = processor.output_size();
  std::vector<Transform> transforms = {
      RandomResizedCrop{.height = height, .width = width, .scale = {a.crop_scale, 1}}};
  if (a.flip > 0) transforms.push_back(RandomHorizontalFlip{.p = a.flip});
  if (a.trivial_augment) transforms.push_back(TrivialAugmentWide{});
  if (a.rand_augment_ops > 0) {
    transforms.push_back(RandAugment{.num_ops = static_cast<int>(a.rand_augment_ops),
                                     .magnitude = static_cast<int>(a.rand_augment_magnitude)});
  }
  if (a.color_jitter > 0) {
    transforms.push_back(ColorJitter{a.color_jitter, a.color_jitter, a.color_jitter});
  }
  loading.transform = compose(std::move(transforms));
  if (a.erasing > 0) loading.erasing = RandomErasing{.p = a.erasing};
  return loading;
}

LoaderOptions test_loader(const TrainRecipe& recipe, const ImageProcessor& processor) {
  LoaderOptions loading;
  loading.batch_size = recipe.batch;
  loading.sampling.shuffle = false;
  loading.processor = processor;
  return loading;
}

}  // namespace ocelli
