#include "ocelli/engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>

#include "ocelli/base/threads.h"
#include "ocelli/data/inputs.h"

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

  // The next piece of work; waits while too many finished chunks wait for delivery. The one they
  // wait for was taken before them, so its worker is not among those that wait here.
  std::optional<Chunk> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock,
                  [&] { return stopped_ || done_.size() < static_cast<size_t>(4 * workers_); });
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
  int64_t taken_ = 0;
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
    const Pixels pixels = load(begin, end);
    std::vector<int64_t> good;
    for (int64_t i = 0; i < end - begin; ++i) {
      if (pixels.errors[i]) {
        result->errors.push_back({begin + i, paths_[begin + i], *pixels.errors[i]});
      } else {
        good.push_back(i);
      }
    }
    if (pixels.batch.defined() && !good.empty()) {
      const Tensor rows = forward_(compact(pixels.batch, good));
      for (size_t i = 0; i < good.size(); ++i) {
        add(begin + good[i], rows.select(0, static_cast<int64_t>(i)), *result);
      }
    } else {
      for (const int64_t i : good) add(begin + i, forward_(pixels.each[i]).select(0, 0), *result);
    }
    std::ranges::sort(result->errors, {}, &ItemError::index);
    return result;
  }

 private:
  struct Pixels {
    Tensor batch;              // [n, H, W, 3] where all images come to one size,
    std::vector<Tensor> each;  // else [1, H, W, 3]
    std::vector<std::optional<Error>> errors;
  };

  Pixels load(int64_t begin, int64_t end) const {
    const auto [height, width] = processor_.output_size();
    Pixels pixels{{}, std::vector<Tensor>(end - begin), {}};
    pixels.errors.resize(end - begin);
    if (has_fixed_size(processor_)) pixels.batch = Tensor::empty({end - begin, height, width, 3});
    parallel_for(end - begin, 1, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        throw_if_cancelled();
        try {
          load_one(begin, i, pixels);
        } catch (const Error& error) {
          if (options_.strict || error.code() == ErrorCode::cancelled) throw;
          pixels.errors[i] = error;
        }
      }
    });
    return pixels;
  }

  void load_one(int64_t begin, int64_t i, Pixels& pixels) const {
    const std::string& path = paths_[begin + i];
    try {
      // Read, not mapped: a file that is cut short meanwhile must not end the program.
      const std::string contents = read_input(path);
      const std::span<const std::byte> bytes = std::as_bytes(std::span(contents));
      const Image image = decode_image(bytes, path, options_.decode);
      if (options_.inspect) options_.inspect(begin + i, bytes, image);
      if (pixels.batch.defined()) {
        const int64_t size = pixels.batch.numel() / pixels.batch.size(0);
        preprocess_into(processor_, image, pixels.batch.data<float>() + i * size);
      } else {
        pixels.each[i] = preprocess(processor_, image).unsqueeze(0);
      }
    } catch (const std::bad_alloc&) {
      fail(ErrorCode::out_of_memory, "{}: there is not enough memory to decode it", path);
    }
  }

  // Moves the good images to the front.
  static Tensor compact(const Tensor& batch, const std::vector<int64_t>& good) {
    const size_t bytes = batch.nbytes() / batch.size(0);
    auto* data = static_cast<std::byte*>(batch.raw());
    for (size_t i = 0; i < good.size(); ++i) {
      if (static_cast<size_t>(good[i]) == i) continue;
      std::memcpy(data + i * bytes, data + good[i] * bytes, bytes);
    }
    return batch.slice(0, 0, static_cast<int64_t>(good.size()));
  }

  void add(int64_t index, Tensor row, Rows& result) const {
    if (is_finite(row)) {
      result.rows.emplace_back(index, std::move(row));
      return;
    }
    const Error error(
        ErrorCode::corrupt_data,
        fmt::format("{}: the model answers with NaN or infinity; 'ocelli info --check "
                    "MODEL' looks for them in its weights",
                    paths_[index]));
    if (options_.strict) throw error;
    result.errors.push_back({index, paths_[index], error});
  }

  const ImageProcessor& processor_;
  std::span<const std::string> paths_;
  const Forward& forward_;
  const RunOptions& options_;
};

}  // namespace

bool is_finite(const Tensor& values) {
  return std::ranges::all_of(values.values<float>(), [](float x) { return std::isfinite(x); });
}

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
