// Keeps all cores busy from file to answer. Many items: every worker decodes and computes its own
// chunks on one core, which needs no barrier inside an op and overlaps decoding with computing. Few
// items: they are decoded side by side and computed as one batch by all cores.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ocelli/base/progress.h"
#include "ocelli/image/decode.h"
#include "ocelli/image/preprocess.h"

namespace ocelli {

struct RunOptions {
  int64_t batch = 8;    // largest number of items in one forward
  bool strict = false;  // the first image that fails ends the run
  DecodeOptions decode = {};
  Progress progress = {};
  // Called from many threads with each image that was decoded, and the bytes of its file.
  std::function<void(int64_t index, std::span<const std::byte> bytes, const Image& image)> inspect =
      {};
};

struct ItemError {
  int64_t index;
  std::string path;
  Error error;
};

// Cuts [0, n) into chunks of at most `batch`, smaller ones towards the end. `work(begin, end)` runs
// on num_threads() workers, each computing on one thread, or, for few items, on the calling thread
// with all of them; `deliver(begin, end, result)` runs on the calling thread in order. Finished
// chunks that wait are bounded. The first exception stops all and is thrown; so does a cancel.
void run_ordered(
    int64_t n, int64_t batch, const std::function<std::shared_ptr<void>(int64_t, int64_t)>& work,
    const std::function<void(int64_t, int64_t, const std::shared_ptr<void>&)>& deliver);

// No NaN and no infinity; f32.
bool is_finite(const Tensor& values);

using Forward = std::function<Tensor(const Tensor& pixels)>;  // [B, H, W, 3] -> [B, ...]
using DeliverRow =
    std::function<void(int64_t index, const Tensor& row)>;  // a row of Forward's result

// Runs `forward` over images. Rows come in input order; images that fail are left out and returned.
std::vector<ItemError> run_images(const ImageProcessor& processor,
                                  std::span<const std::string> paths, const Forward& forward,
                                  const DeliverRow& deliver, const RunOptions& options);

}  // namespace ocelli
