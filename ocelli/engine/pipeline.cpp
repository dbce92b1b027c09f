#include "ocelli/engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "ocelli/base/threads.h"

namespace ocelli {
namespace {

struct Chunk {
  int64_t begin = 0, end = 0;
  std::shared_ptr<void> result;
};

class OrderedRun {
 public:
  OrderedRun(int64_t n, int64_t batch,
             const std::function<std::shared_ptr<void>(int64_t, int64_t)>& work)
      : n_(n), batch_(batch), workers_(num_threads()), work_(work) {}

  void operator()(
      const std::function<void(int64_t, int64_t, const std::shared_ptr<void>&)>& deliver) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < workers_; ++i) threads.emplace_back([this] { run_worker(); });
    try {
      for (int64_t next = 0; next < n_;) {
        const Chunk chunk = wait_for(next);
        deliver(chunk.begin, chunk.end, chunk.result);
        next = chunk.end;
      }
    } catch (...) {
      stop(std::current_exception());
    }
    threads.clear();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void run_worker() {
    set_num_threads(1);
    try {
      while (auto chunk = take()) {
        chunk->result = work_(chunk->begin, chunk->end);
        std::lock_guard lock(mutex_);
        done_.emplace(chunk->begin, std::move(*chunk));
        changed_.notify_all();
      }
    } catch (...) {
      stop(std::current_exception());
    }
  }

  // The next piece of work; waits while too many finished chunks wait for delivery.
  std::optional<Chunk> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return stopped_ || done_.size() < static_cast<size_t>(4 * workers_) ||
             done_.begin()->first != delivered_;
    });
    if (stopped_ || taken_ == n_) return std::nullopt;
    Chunk chunk;
    chunk.begin = taken_;
    chunk.end = taken_ + std::clamp<int64_t>((n_ - taken_) / (2 * workers_), 1, batch_);
    taken_ = chunk.end;
    return chunk;
  }

  Chunk wait_for(int64_t begin) {
    std::unique_lock lock(mutex_);
    while (!stopped_ && !done_.contains(begin)) {
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      throw_if_cancelled();
    }
    if (stopped_) std::rethrow_exception(error_);
    Chunk chunk = std::move(done_.at(begin));
    done_.erase(begin);
    delivered_ = chunk.end;
    changed_.notify_all();
    return chunk;
  }

  void stop(std::exception_ptr error) {
    std::lock_guard lock(mutex_);
    if (!stopped_) error_ = std::move(error);
    stopped_ = true;
    changed_.notify_all();
  }

  const int64_t n_, batch_;
  const int workers_;
  const std::function<std::shared_ptr<void>(int64_t, int64_t)>& work_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Chunk> done_;
  int64_t taken_ = 0, delivered_ = 0;
  bool stopped_ = false;
  std::exception_ptr error_;
};

struct Rows {
  std::vector<std::pair<int64_t, Tensor>> rows;
  std::vector<ItemError> errors;
};

bool has_fixed_size(const ImageProcessor& p) {
  return p.crop != ImageProcessor::Crop::none || p.resize == ImageProcessor::Resize::exact;
}

class ImageRun {
 public:
  ImageRun(const ImageProcessor& processor, std::span<const std::string> paths,
           const Forward& forward, const RunOptions& options)
      : processor_(processor), paths_(paths), forward_(forward), options_(options) {}

  std::shared_ptr<Rows> operator()(int64_t begin, int64_t end) const {
    auto result = std::make_shared<Rows>();
    const auto [height, width] = processor_.output_size();
    const bool fixed = has_fixed_size(processor_);
    std::vector<Tensor> pixels(end - begin);
    std::vector<std::optional<Error>> errors(end - begin);
    Tensor batch = fixed ? Tensor::empty({end - begin, height, width, 3}) : Tensor();
    parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        throw_if_cancelled();
        try {
          const Image image = decode_image_file(paths_[begin + i], options_.decode);
          if (fixed) {
            preprocess_into(processor_, image, batch.data<float>() + i * height * width * 3);
          } else {
            pixels[i] = preprocess(processor_, image).unsqueeze(0);
          }
        } catch (const Error& error) {
          if (options_.strict || error.code() == ErrorCode::cancelled) throw;
          errors[i] = error;
        }
      }
    });
    std::vector<int64_t> good;
    for (int64_t i = 0; i < end - begin; ++i) {
      if (errors[i]) {
        result->errors.push_back({begin + i, paths_[begin + i], *errors[i]});
      } else {
        good.push_back(i);
      }
    }
    if (fixed) {
      forward_batch(compact(batch, good), begin, good, *result);
    } else {
      for (const int64_t i : good)
        result->rows.emplace_back(begin + i, forward_(pixels[i]).select(0, 0));
    }
    return result;
  }

 private:
  // Moves the good images to the front.
  static Tensor compact(const Tensor& batch, const std::vector<int64_t>& good) {
    const size_t bytes = batch.size(0) == 0 ? 0 : batch.nbytes() / batch.size(0);
    auto* data = static_cast<std::byte*>(batch.raw());
    for (size_t i = 0; i < good.size(); ++i) {
      if (static_cast<size_t>(good[i]) != i)
        std::memcpy(data + i * bytes, data + good[i] * bytes, bytes);
    }
    return batch.slice(0, 0, static_cast<int64_t>(good.size()));
  }

  void forward_batch(const Tensor& pixels, int64_t begin, const std::vector<int64_t>& good,
                     Rows& result) const {
    if (good.empty()) return;
    const Tensor rows = forward_(pixels);
    for (size_t i = 0; i < good.size(); ++i) {
      result.rows.emplace_back(begin + good[i], rows.select(0, static_cast<int64_t>(i)));
    }
  }

  const ImageProcessor& processor_;
  std::span<const std::string> paths_;
  const Forward& forward_;
  const RunOptions& options_;
};

}  // namespace

void run_ordered(
    int64_t n, int64_t batch, const std::function<std::shared_ptr<void>(int64_t, int64_t)>& work,
    const std::function<void(int64_t, int64_t, const std::shared_ptr<void>&)>& deliver) {
  check(batch >= 1, "--batch {}: at least 1 is needed", batch);
  if (num_threads() > 1 && n >= 4 * num_threads()) {
    OrderedRun(n, batch, work)(deliver);
    return;
  }
  for (int64_t begin = 0; begin < n; begin += batch) {
    throw_if_cancelled();
    const int64_t end = std::min(n, begin + batch);
    deliver(begin, end, work(begin, end));
  }
}

std::vector<ItemError> run_images(const ImageProcessor& processor,
                                  std::span<const std::string> paths, const Forward& forward,
                                  const DeliverRow& deliver, const RunOptions& options) {
  std::vector<ItemError> errors;
  const ImageRun run(processor, paths, forward, options);
  const auto n = static_cast<int64_t>(paths.size());
  run_ordered(
      n, options.batch, [&](int64_t begin, int64_t end) { return run(begin, end); },
      [&](int64_t, int64_t end, const std::shared_ptr<void>& result) {
        auto& chunk = *static_cast<Rows*>(result.get());
        for (const auto& [index, row] : chunk.rows) deliver(index, row);
        errors.insert(errors.end(), chunk.errors.begin(), chunk.errors.end());
        if (options.progress) options.progress(end, n);
      });
  return errors;
}

}  // namespace ocelli
