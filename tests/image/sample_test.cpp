// The 600 photographs of imagenet1k-sample: decoded and resized, byte for byte as Pillow does.
#include <fstream>

#include "ocelli/image/resize.h"
#include "tests/image/support.h"

namespace ocelli {
namespace {

TEST(Sample, DecodesAndResizesAsPillow) {
  const std::filesystem::path folder =
      std::filesystem::path(OCELLI_SOURCE_DIR) / ".data/imagenet1k-sample";
  if (!std::filesystem::is_directory(folder)) {
    GTEST_SKIP() << folder << " is absent; `make test-data` unpacks it where ../shared/data exists";
  }
  std::ifstream lines(golden("imagenet1k_sample_crc.txt"));
  std::string name;
  uint32_t decoded = 0, resized = 0;
  int files = 0;
  while (lines >> name >> decoded >> resized) {
    const Image image = decode_image_file(folder / name, {.apply_orientation = false});
    EXPECT_EQ(crc_of(image), decoded) << name << " decodes to other pixels";
    const int64_t shorter = std::min(image.height(), image.width());
    const auto edge = [&](int64_t n) { return n == shorter ? 224 : 224 * n / shorter; };
    const Image small = resize(image, edge(image.height()), edge(image.width()), Filter::bicubic);
    EXPECT_EQ(crc_of(small), resized) << name << " resizes to other pixels";
    ++files;
  }
  EXPECT_EQ(files, 600);
}

}  // namespace
}  // namespace ocelli
