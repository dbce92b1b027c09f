// Images a second of decoding alone, and of decoding, resizing and normalising, for a folder of
// images and the preprocessing of CLIP. usage: preprocess FOLDER [THREADS [SECONDS]]
#include "ocelli/image/preprocess.h"

#include <fmt/format.h>

#include <chrono>
#include <iostream>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/threads.h"
#include "ocelli/data/inputs.h"
#include "ocelli/image/decode.h"

namespace {

using namespace ocelli;

ImageProcessor clip_processor() {
  return ImageProcessor::from_transformers({{"image_processor_type", "CLIPImageProcessor"}},
                                           "CLIP");
}

template <typename Work>
double images_per_second(const std::vector<std::string>& paths, double seconds, const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 0, total = 0;
  while (total < seconds) {
    const auto start = Clock::now();
    parallel_for(static_cast<int64_t>(paths.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) work(paths[static_cast<size_t>(i)]);
    });
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::max(best, static_cast<double>(paths.size()) / time);
    total += time;
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: preprocess FOLDER [THREADS [SECONDS]]\n");
    return 64;
  }
  const std::string folder = argv[1];
  set_num_threads(argc > 2 ? std::stoi(argv[2]) : 1);
  const double seconds = argc > 3 ? std::stod(argv[3]) : 3;
  const auto paths = list_images(std::span(&folder, 1), std::cin);
  const ImageProcessor processor = clip_processor();
  const double decode =
      images_per_second(paths, seconds, [](const std::string& path) { decode_image_file(path); });
  const double all = images_per_second(paths, seconds, [&](const std::string& path) {
    preprocess(processor, decode_image_file(path));
  });
  fmt::print(
      "{{\"images\": {}, \"threads\": {}, \"isa\": \"{}\", \"decode_per_second\": {:.1f}, "
      "\"preprocess_per_second\": {:.1f}}}\n",
      paths.size(), num_threads(), backend::current_isa(), decode, all);
}
