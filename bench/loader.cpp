// Images a second that a loader gives: decoded, augmented, normalised, in batches of 64; and the
// processor's time that one takes, which holds on a busy machine, too.
// usage: loader DATA [RECIPE [SIZE [THREADS [SECONDS]]]], RECIPE one of
//   eval    resized as for a model      crop    RandomResizedCrop and flip (default)
//   rand    crop, then RandAugment      dino    two global and eight local views (images of DATA)
#include "ocelli/data/loader.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>

namespace {

using namespace ocelli;

LoaderOptions options_of(const std::string& recipe, int64_t size, int threads) {
  LoaderOptions options;
  options.batch_size = 64;
  options.threads = threads;
  options.processor.resize_height = options.processor.resize_width = size;
  const std::vector<Transform> crop = {RandomResizedCrop{.height = size, .width = size},
                                       RandomHorizontalFlip{}};
  if (recipe == "crop") options.transform = compose(crop);
  if (recipe == "rand") options.transform = compose({crop[0], crop[1], RandAugment{}});
  if (recipe == "dino") {
    options.multi_crop =
        MultiCrop{.global_crops_size = size, .local_crops_size = size * 3 / 7 / 2 * 2};
  }
  return options;
}

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: loader DATA [RECIPE [SIZE [THREADS [SECONDS]]]]\n");
    return 64;
  }
  const std::string recipe = argc > 2 ? argv[2] : "crop";
  const int64_t size = argc > 3 ? std::stoll(argv[3]) : 224;
  const int threads = argc > 4 ? std::stoi(argv[4]) : num_threads();
  const double seconds = argc > 5 ? std::stod(argv[5]) : 5;
  Loader loader(open_dataset(argv[1]), options_of(recipe, size, threads));
  for (int i = 0; i < 4; ++i) loader.next();  // what was prepared before the clock started
  int64_t images = 0;
  double time = 0;
  const double before = processor_seconds();
  const auto start = std::chrono::steady_clock::now();
  while (time < seconds) {
    if (const auto batch = loader.next()) images += batch->size();
    time = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const auto count = static_cast<double>(images);
  fmt::print(
      "{{\"recipe\": \"{}\", \"size\": {}, \"threads\": {}, \"images_per_second\": {:.1f}, "
      "\"processor_ms_per_image\": {:.3f}}}\n",
      recipe, size, threads, count / time, 1e3 * (processor_seconds() - before) / count);
}
