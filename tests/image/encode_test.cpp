#include "ocelli/image/encode.h"

#include <cmath>
#include <cstring>

#include "tests/image/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

TEST(Encode, PngComesBackAsItWas) {
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {3, 200}, {71, 5}}) {
    const Image image = noise_image(height, width, 9);
    const Image back = decode_bytes(encode_png(image));
    EXPECT_EQ(back.format, "png");
    EXPECT_EQ(back.pixels.shape(), image.pixels.shape());
    EXPECT_EQ(crc_of(back), crc_of(image));
  }
}

TEST(Encode, PngFilesAreWhole) {
  const TempFolder folder;
  const Image image = noise_image(20, 30, 4);
  write_png(folder / "a.png", image);
  EXPECT_EQ(crc_of(decode_image_file(folder / "a.png")), crc_of(image));
  EXPECT_THROW(write_png(folder / "no such folder/a.png", image), Error);
}

TEST(Encode, JpegComesBackAlike) {
  Image image{Tensor::empty({40, 50, 3}, DType::u8), ""};
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    image.pixels.data<uint8_t>()[i] =
        static_cast<uint8_t>(128 + 100 * std::sin(static_cast<double>(i / 3 % 50) / 9));
  }
  const std::string fine = encode_jpeg(image, 95), rough = encode_jpeg(image, 10);
  EXPECT_LT(rough.size(), fine.size());
  const Image back = decode_bytes(fine);
  ASSERT_EQ(back.pixels.shape(), image.pixels.shape());
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    ASSERT_NEAR(back.data()[i], image.data()[i], 8);
  }
}

}  // namespace
}  // namespace ocelli
