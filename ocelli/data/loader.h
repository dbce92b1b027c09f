// Batches for training: samples are read, decoded, augmented and normalised on threads of their
// own, ahead of the step. The batches are the same for any number of threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/base/threads.h"
#include "ocelli/data/augment.h"
#include "ocelli/data/dataset.h"
#include "ocelli/data/mixup.h"
#include "ocelli/data/multi_crop.h"
#include "ocelli/image/preprocess.h"

namespace ocelli {

struct LoaderOptions {
  int64_t batch_size = 32;  // of this rank
  Sampling sampling;
  // The size and the normalisation of images. Without a transform it also cuts them, as for the
  // model in use.
  ImageProcessor processor;
  Transform transform;  // of a training image; gives images of processor.output_size()
  std::optional<RandomErasing> erasing;
  std::optional<Mixup> mixup;  // needs num_classes
  // Instead of transform: the views of self-supervised training, and the masks of the global ones.
  std::optional<MultiCrop> multi_crop;
  std::optional<BlockMasks> masks;
  // Labels must lie below; 0: the dataset's own number of classes, where it is known.
  int64_t num_classes = 0;
  int threads = num_threads();
  int64_t prefetch = 3;  // batches in memory besides the one in use
};

struct Batch {
  Tensor images;  // f32 [B, H, W, 3]; with multi_crop [2 B, H, W, 3], all first views, all second
  Tensor local_crops;                 // f32 [n B, h, w, 3], in the same order; only with multi_crop
  Tensor masks;                       // u8 [2 B, patches]; only with masks
  Tensor labels;                      // i32 [B], -1 for none; after Mixup soft f32 [B, classes]
  std::vector<std::string> captions;  // B
  std::vector<int64_t> indices;       // B, of the dataset

  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

// Where a loader stands: batches of `epoch` that next() has given.
struct LoaderState {
  int64_t epoch = 0, batch = 0;
};

// A sample that could not be read; another took its place.
struct BadSample {
  int64_t index = 0;
  std::string id, error;
};

class Loader {
 public:
  // Begins at `state`. Throws invalid_argument for options that do not go together, and for a
  // batch larger than the data when the last one is dropped.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, LoaderState state = {});
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch; nothing, once, at the end of each epoch, after which the next one begins.
  // Throws what a worker met, in the order of the batches: a label outside the classes, or data of
  // which nothing can be read. Throws cancelled when a stop was asked for.
  std::optional<Batch> next();

  // Of what next() has given; a loader that begins at it goes on bit for bit.
  LoaderState state() const;
  // Of an epoch; nothing where it is not known.
  std::optional<int64_t> num_batches() const;

  // Samples that were met so far and could not be read, by index, and how often one was replaced.
  std::vector<BadSample> bad_samples() const;
  int64_t replaced() const;

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace ocelli
