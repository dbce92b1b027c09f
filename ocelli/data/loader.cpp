#include "ocelli/data/loader.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "ocelli/base/progress.h"
#include "ocelli/data/random.h"

namespace ocelli {
namespace {

constexpr int kSubstitutes = 20;  // tried before the data are called unreadable

// Streams of random numbers beside those of samples.
enum Purpose : uint64_t { kMixup = 1, kMasks = 2 };

bool is_bad_sample(ErrorCode code) {
  return code == ErrorCode::not_found || code == ErrorCode::io || code == ErrorCode::corrupt_data ||
         code == ErrorCode::unsupported || code == ErrorCode::invalid_argument;
}

}  // namespace

// Slots are the batches under work, in their order. Workers take the samples of the first slot
// that has some left; next() takes the first slot when all of it is done.
struct Loader::Work {
  struct Slot {
    int64_t epoch = 0, number = 0;  // of the batch
    bool ends_epoch = false;        // instead of a batch
    std::vector<int64_t> wanted;    // indices
    size_t taken = 0, done = 0;
    bool ready = false;
    Batch batch;
    std::exception_ptr error;  // of sample number `failed`
    size_t failed = 0;
  };

  Work(std::shared_ptr<const Dataset> data, LoaderOptions loader_options, LoaderState state);
  ~Work();

  void check_options();
  void run();
  std::shared_ptr<Slot> slot_with_work();
  std::shared_ptr<Slot> plan();
  void allocate(Slot& slot) const;
  void process(Slot& slot, size_t i);
  Sample read(int64_t* index, Rng& rng);
  void fill(Slot& slot, size_t i, const Image& image, Rng& rng) const;
  void put(const Image& view, const Tensor& images, int64_t row) const;
  void finish(Slot& slot) const;
  Rng batch_rng(const Slot& slot, Purpose purpose) const;

  const std::shared_ptr<const Dataset> dataset;
  LoaderOptions options;
  std::vector<Transform> views, local_views;
  std::array<int64_t, 2> size;  // of a view, height and width

  mutable std::mutex mutex;  // of all below
  std::condition_variable has_room, has_batch;
  std::deque<std::shared_ptr<Slot>> slots;
  bool stopped = false;
  int64_t epoch, number;  // of the batch to plan next
  Order order;
  LoaderState given;
  std::map<int64_t, BadSample> bad;
  int64_t replaced = 0;
  std::vector<std::jthread> workers;
};

Loader::Work::Work(std::shared_ptr<const Dataset> data, LoaderOptions loader_options,
                   LoaderState state)
    : dataset(std::move(data)),
      options(std::move(loader_options)),
      size(options.processor.output_size()),
      epoch(state.epoch),
      number(state.batch),
      given(state) {
  check_options();
  if (options.multi_crop) {
    views = {options.multi_crop->global_view(0), options.multi_crop->global_view(1)};
    local_views.assign(static_cast<size_t>(options.multi_crop->local_crops_number),
                       options.multi_crop->local_view());
    size = {options.multi_crop->global_crops_size, options.multi_crop->global_crops_size};
  } else if (options.transform) {
    views = {options.transform};
  } else {
    views = {
        [this](const Image& image, Rng&) { return resize_and_crop(options.processor, image); }};
  }
  order = dataset->order(options.sampling, epoch);
  for (int64_t i = 0; i < number * options.batch_size && order(); ++i) {
  }
  for (int i = 0; i < options.threads; ++i) workers.emplace_back([this] { run(); });
}

Loader::Work::~Work() {
  {
    std::lock_guard lock(mutex);
    stopped = true;
  }
  has_room.notify_all();
}

void Loader::Work::check_options() {
  const auto classes = static_cast<int64_t>(dataset->classes().size());
  if (options.num_classes == 0) options.num_classes = classes;
  check(options.batch_size > 0 && options.threads > 0 && options.prefetch > 0,
        "loader: batch_size {}, threads {} and prefetch {} must be positive", options.batch_size,
        options.threads, options.prefetch);
  check(!options.mixup || options.num_classes > 0, "loader: mixup needs the number of classes");
  check(!options.multi_crop || (!options.transform && !options.mixup && !options.erasing),
        "loader: multi_crop goes with neither a transform, mixup nor erasing");
  const auto all = dataset->size();
  if (!all || !options.sampling.drop_last) return;
  const int64_t samples = epoch_size(options.sampling, *all);
  check(samples >= options.batch_size,
        "the batch of {} is larger than the {} samples of the data{}; take a smaller batch",
        options.batch_size, samples, options.sampling.world > 1 ? " on each rank" : "");
}

void Loader::Work::run() {
  set_num_threads(1);
  std::unique_lock lock(mutex);
  while (!stopped) {
    const std::shared_ptr<Slot> slot = slot_with_work();
    if (!slot) {
      has_room.wait(lock);
      continue;
    }
    const size_t i = slot->taken++;
    lock.unlock();
    std::exception_ptr error;
    try {
      process(*slot, i);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && (!slot->error || i < slot->failed)) {
      slot->error = error;
      slot->failed = i;
    }
    if (++slot->done < slot->wanted.size()) continue;
    lock.unlock();
    try {
      if (!slot->error) finish(*slot);
    } catch (...) {
      slot->error = std::current_exception();
    }
    lock.lock();
    slot->ready = true;
    has_batch.notify_all();
  }
}

std::shared_ptr<Loader::Work::Slot> Loader::Work::slot_with_work() {
  for (const auto& slot : slots) {
    if (slot->taken < slot->wanted.size()) return slot;
  }
  while (static_cast<int64_t>(slots.size()) < options.prefetch) {
    slots.push_back(plan());
    has_room.notify_all();
    if (!slots.back()->ready) return slots.back();
    has_batch.notify_all();
  }
  return nullptr;
}

// The next batch, or the end of the epoch.
std::shared_ptr<Loader::Work::Slot> Loader::Work::plan() {
  auto slot = std::make_shared<Slot>();
  slot->epoch = epoch;
  slot->number = number;
  try {
    while (std::ssize(slot->wanted) < options.batch_size) {
      const auto index = order();
      if (!index) break;
      slot->wanted.push_back(*index);
    }
    const bool full = std::ssize(slot->wanted) == options.batch_size;
    if (full || (!options.sampling.drop_last && !slot->wanted.empty())) {
      ++number;
      allocate(*slot);
      return slot;
    }
    check(number > 0, "the batch of {} is larger than the {} samples of the data",
          options.batch_size, slot->wanted.size());
    order = dataset->order(options.sampling, ++epoch);
    number = 0;
    slot->ends_epoch = true;
  } catch (...) {
    slot->error = std::current_exception();
  }
  slot->wanted.clear();
  slot->ready = true;
  return slot;
}

void Loader::Work::allocate(Slot& slot) const {
  const auto count = std::ssize(slot.wanted);
  Batch& batch = slot.batch;
  batch.images = Tensor::empty({std::ssize(views) * count, size[0], size[1], 3});
  if (!local_views.empty()) {
    const int64_t edge = options.multi_crop->local_crops_size;
    batch.local_crops = Tensor::empty({std::ssize(local_views) * count, edge, edge, 3});
  }
  batch.labels = Tensor::empty({count}, DType::i32);
  batch.captions.resize(slot.wanted.size());
  batch.indices = slot.wanted;
}

void Loader::Work::process(Slot& slot, size_t i) {
  const Sampling& s = options.sampling;
  // Its place among the samples of all ranks: one that is drawn twice looks different.
  const int64_t place = place_of(s, slot.number * options.batch_size + static_cast<int64_t>(i));
  int64_t& index = slot.batch.indices[i];
  Rng rng = keyed_rng({s.seed, static_cast<uint64_t>(slot.epoch), static_cast<uint64_t>(index),
                       static_cast<uint64_t>(place)});
  Sample sample = read(&index, rng);
  if (options.num_classes > 0 && sample.label >= options.num_classes) {
    fail(ErrorCode::invalid_argument, "{}: the label {} is outside the {} classes",
         dataset->id(index), sample.label, options.num_classes);
  }
  slot.batch.labels.data<int32_t>()[i] = static_cast<int32_t>(sample.label);
  slot.batch.captions[i] = std::move(sample.caption);
  fill(slot, i, sample.image, rng);
}

// The sample at *index or, with its index, the first substitute that can be read.
Sample Loader::Work::read(int64_t* index, Rng& rng) {
  for (int attempt = 0;; ++attempt) {
    try {
      return dataset->get(*index);
    } catch (const Error& error) {
      if (!is_bad_sample(error.code())) throw;
      std::lock_guard lock(mutex);
      bad.try_emplace(*index, BadSample{*index, dataset->id(*index), error.what()});
      if (attempt == kSubstitutes) {
        fail(ErrorCode::corrupt_data, "{} samples in a row cannot be read; the last: {}",
             kSubstitutes + 1, error.what());
      }
      if (attempt == 0) ++replaced;
    }
    *index = dataset->substitute(*index, rng);
  }
}

void Loader::Work::fill(Slot& slot, size_t i, const Image& image, Rng& rng) const {
  const auto row = static_cast<int64_t>(i), count = std::ssize(slot.wanted);
  const Batch& batch = slot.batch;
  for (size_t v = 0; v < views.size(); ++v) {
    put(views[v](image, rng), batch.images, static_cast<int64_t>(v) * count + row);
  }
  for (size_t v = 0; v < local_views.size(); ++v) {
    put(local_views[v](image, rng), batch.local_crops, static_cast<int64_t>(v) * count + row);
  }
  if (!options.erasing) return;
  const int64_t height = batch.images.size(1), width = batch.images.size(2);
  if (const auto window = options.erasing->sample(height, width, rng)) {
    options.erasing->apply(batch.images.data<float>() + row * height * width * 3, width, *window,
                           rng);
  }
}

void Loader::Work::put(const Image& view, const Tensor& images, int64_t row) const {
  const int64_t height = images.size(1), width = images.size(2);
  check(view.height() == height && view.width() == width,
        "loader: a view is {} x {}, but images of the batch are {} x {}", view.width(),
        view.height(), width, height);
  normalise_into(options.processor, view.data(), height * width,
                 images.data<float>() + row * height * width * 3);
}

Rng Loader::Work::batch_rng(const Slot& slot, Purpose purpose) const {
  return keyed_rng({options.sampling.seed, static_cast<uint64_t>(slot.epoch), purpose,
                    static_cast<uint64_t>(slot.number)});
}

// What concerns a batch as a whole is drawn for all ranks' parts of it, and each takes its own.
void Loader::Work::finish(Slot& slot) const {
  Batch& batch = slot.batch;
  const Sampling& s = options.sampling;
  const int64_t images = batch.size() * s.world, begin = slot.number * options.batch_size;
  const auto place = [&](int64_t i) { return place_of(s, begin + i) - begin * s.world; };
  if (options.masks) {
    Rng rng = batch_rng(slot, kMasks);
    const int64_t views_of_each = std::ssize(views);
    const Tensor all = options.masks->sample_batch(views_of_each * images, rng);
    const int64_t patches = all.size(1);
    batch.masks = Tensor::empty({batch.images.size(0), patches}, DType::u8);
    uint8_t* row = batch.masks.data<uint8_t>();
    for (int64_t v = 0; v < views_of_each; ++v) {
      for (int64_t i = 0; i < batch.size(); ++i, row += patches) {
        std::copy_n(all.data<uint8_t>() + (v * images + place(i)) * patches, patches, row);
      }
    }
  }
  if (!options.mixup) return;
  Rng rng = batch_rng(slot, kMixup);
  const auto all = options.mixup->sample(images, batch.images.size(1), batch.images.size(2), rng);
  std::vector<Mixup::Mix> mixes;
  for (int64_t i = 0; i < batch.size(); ++i) {
    mixes.push_back(all[static_cast<size_t>(place(i))]);
  }
  options.mixup->apply(batch.images, mixes);
  batch.labels = options.mixup->targets(batch.labels, mixes, options.num_classes);
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options, LoaderState state)
    : work_(std::make_unique<Work>(std::move(dataset), std::move(options), state)) {}

Loader::~Loader() = default;

std::optional<Batch> Loader::next() {
  std::unique_lock lock(work_->mutex);
  while (work_->slots.empty() || !work_->slots.front()->ready) {
    work_->has_batch.wait_for(lock, std::chrono::milliseconds(100));
    throw_if_cancelled();
  }
  const auto slot = work_->slots.front();
  work_->slots.pop_front();
  work_->has_room.notify_all();
  if (slot->error) std::rethrow_exception(slot->error);
  if (slot->ends_epoch) {
    work_->given = {slot->epoch + 1, 0};
    return std::nullopt;
  }
  work_->given = {slot->epoch, slot->number + 1};
  return std::move(slot->batch);
}

LoaderState Loader::state() const {
  std::lock_guard lock(work_->mutex);
  return work_->given;
}

std::optional<int64_t> Loader::num_batches() const {
  const LoaderOptions& o = work_->options;
  const auto size = work_->dataset->size();
  if (!size && o.sampling.epoch_size == 0) return std::nullopt;
  const int64_t samples = epoch_size(o.sampling, size.value_or(0));
  return o.sampling.drop_last ? samples / o.batch_size
                              : (samples + o.batch_size - 1) / o.batch_size;
}

std::vector<BadSample> Loader::bad_samples() const {
  std::lock_guard lock(work_->mutex);
  std::vector<BadSample> all;
  for (const auto& [index, sample] : work_->bad) all.push_back(sample);
  return all;
}

int64_t Loader::replaced() const {
  std::lock_guard lock(work_->mutex);
  return work_->replaced;
}

}  // namespace ocelli
