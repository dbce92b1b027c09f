// Resizing byte for byte as Pillow, for every filter.
#include "ocelli/image/resize.h"

#include <cstring>
#include <fstream>

#include "ocelli/image/resize_kernels.h"
#include "tests/image/support.h"

namespace ocelli {
namespace {

TEST(Resize, EveryFilterAndSizeAsPillow) {
  std::ifstream lines(golden("resize_crc.txt"));
  int64_t h = 0, w = 0, height = 0, width = 0;
  int filter = 0, count = 0;
  uint32_t expected = 0;
  while (lines >> h >> w >> height >> width >> filter >> expected) {
    const Image image = noise_image(h, w, static_cast<uint32_t>(h));
    const Image resized = resize(image, height, width, static_cast<Filter>(filter));
    EXPECT_EQ(crc_of(resized), expected)
        << h << " x " << w << " to " << height << " x " << width << " by filter " << filter;
    ++count;
  }
  EXPECT_EQ(count, 660);
}

TEST(Resize, AWindowIsAPartOfTheWhole) {
  const Image image = noise_image(57, 83, 1);
  for (int filter = 0; filter < 6; ++filter) {
    for (const auto& [height, width] :
         {std::pair<int64_t, int64_t>{29, 41}, {100, 90}, {57, 40}, {20, 83}}) {
      const Image whole = resize(image, height, width, static_cast<Filter>(filter));
      for (const Window& window : {Window{0, 0, 1, 1}, Window{height - 1, width - 1, 1, 1},
                                   Window{3, 5, 11, 17}, Window{7, 0, height - 7, width}}) {
        const Tensor part =
            resize_window(image, height, width, static_cast<Filter>(filter), window);
        ASSERT_EQ(part.shape(), (Shape{window.height, window.width, 3}));
        for (int64_t y = 0; y < window.height; ++y) {
          ASSERT_EQ(std::memcmp(part.data<uint8_t>() + y * window.width * 3,
                                whole.data() + ((y + window.top) * width + window.left) * 3,
                                static_cast<size_t>(window.width) * 3),
                    0)
              << "filter " << filter << ", row " << y;
        }
      }
    }
  }
}

// Each instruction set, at sizes that end in every tail.
TEST(Resize, EveryInstructionSetAlike) {
  for (int64_t size = 1; size < 70; ++size) {
    const Image image = noise_image(size, 71 - size, static_cast<uint32_t>(size));
    for (int filter = 1; filter < 6; ++filter) {
      const int64_t height = (size * 37 + filter) % 53 + 1, width = (size * 23 + filter) % 61 + 1;
      const Window window{height / 3, width / 4, height - height / 3, width - width / 4};
      Tensor expected;
      for (const ResizeKernels& kernels : resize_kernels()) {
        const Tensor got =
            resize_window(image, height, width, static_cast<Filter>(filter), window, kernels);
        if (kernels.name == std::string("scalar")) expected = got;
        ASSERT_EQ(std::memcmp(got.raw(), expected.raw(), got.nbytes()), 0)
            << kernels.name << ", filter " << filter << ": " << image.height() << " x "
            << image.width() << " to " << height << " x " << width;
      }
    }
  }
}

// Sharp edges overshoot both ends of a byte.
TEST(Resize, OvershootIsClippedAlike) {
  Image image = noise_image(40, 40, 2);
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    uint8_t& v = image.pixels.data<uint8_t>()[i];
    v = v < 128 ? 0 : 255;
  }
  for (const ResizeKernels& kernels : resize_kernels()) {
    for (const Filter filter : {Filter::bicubic, Filter::lanczos}) {
      const Tensor got = resize_window(image, 93, 31, filter, {0, 0, 93, 31}, kernels);
      const Tensor expected =
          resize_window(image, 93, 31, filter, {0, 0, 93, 31}, resize_kernels().front());
      EXPECT_EQ(std::memcmp(got.raw(), expected.raw(), got.nbytes()), 0) << kernels.name;
    }
  }
}

TEST(Resize, WindowsOutsideAreRefused) {
  const Image image = noise_image(8, 8, 1);
  for (const Window& window :
       {Window{0, 0, 5, 4}, Window{-1, 0, 2, 2}, Window{0, 3, 1, 2}, Window{0, 0, 0, 1}}) {
    expect_error(ErrorCode::invalid_argument, {"window"},
                 [&] { resize_window(image, 4, 4, Filter::bicubic, window); });
  }
  expect_error(ErrorCode::invalid_argument, {"0 x 4"},
               [&] { resize(image, 4, 0, Filter::bicubic); });
}

TEST(Resize, FilterNames) {
  EXPECT_EQ(parse_filter("bicubic"), Filter::bicubic);
  EXPECT_EQ(parse_filter("lanczos"), Filter::lanczos);
  expect_error(ErrorCode::invalid_argument, {"'cubic'", "bicubic"}, [] { parse_filter("cubic"); });
}

}  // namespace
}  // namespace ocelli
