// Every format, bit depth and mode against the pixels that Pillow sees.
#include <cstring>

#include "ocelli/base/file.h"
#include "tests/image/support.h"

namespace ocelli {
namespace {

struct Case {
  std::string file, format;
  int64_t width = 0, height = 0;
  size_t offset = 0;
  nlohmann::json turned;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.file;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& entry : golden_json("formats.json")) {
    all.push_back({entry["file"], entry["format"], entry["size"][0], entry["size"][1],
                   entry["offset"], entry.value("turned", nlohmann::json())});
  }
  return all;
}

class Formats : public testing::TestWithParam<Case> {
 protected:
  std::string bytes() const { return read_file(golden("formats") / GetParam().file); }
};

TEST_P(Formats, PixelsArePillows) {
  const Case& c = GetParam();
  const Image image = decode_bytes(bytes(), {.apply_orientation = false});
  EXPECT_EQ(image.format, c.format);
  ASSERT_EQ(image.width(), c.width);
  ASSERT_EQ(image.height(), c.height);
  static const std::string expected = read_file(golden("formats.bin"));
  const auto* want = reinterpret_cast<const uint8_t*>(expected.data()) + c.offset;
  int wrong = 0, largest = 0;
  for (int64_t i = 0; i < image.pixels.numel(); ++i) {
    const int difference = std::abs(image.data()[i] - want[i]);
    wrong += difference != 0;
    if (difference > largest) {
      largest = difference;
      if (largest > 0 && wrong <= 3) {
        ADD_FAILURE() << "at row " << i / 3 / c.width << " column " << i / 3 % c.width
                      << " channel " << i % 3 << ": " << int{image.data()[i]} << ", not "
                      << int{want[i]};
      }
    }
  }
  EXPECT_EQ(wrong, 0) << "of " << image.pixels.numel() << ", by up to " << largest;
}

TEST_P(Formats, OrientationIsPillows) {
  const Case& c = GetParam();
  const Image image = decode_bytes(bytes());
  if (c.turned.is_null()) {
    EXPECT_EQ(crc_of(image), crc_of(decode_bytes(bytes(), {.apply_orientation = false})));
    return;
  }
  EXPECT_EQ(image.width(), c.turned["size"][0].get<int64_t>());
  EXPECT_EQ(image.height(), c.turned["size"][1].get<int64_t>());
  EXPECT_EQ(crc_of(image), c.turned["crc"].get<uint32_t>());
}

TEST_P(Formats, LimitIsOnThePixelsOfTheHeader) {
  const Case& c = GetParam();
  expect_error(ErrorCode::invalid_argument, {"limit", fmt::to_string(c.width * c.height - 1)},
               [&] { decode_bytes(bytes(), {.max_pixels = c.width * c.height - 1}); });
  EXPECT_NO_THROW(decode_bytes(bytes(), {.max_pixels = c.width * c.height}));
}

// However a file is cut off, it decodes or is refused with an Error; a sanitizer sees the rest.
TEST_P(Formats, CutOffAnywhere) {
  const std::string whole = bytes();
  for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 97) {
    try {
      decode_bytes(whole.substr(0, size));
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("bytes"), std::string::npos) << error.what();
    }
  }
}

TEST_P(Formats, DamagedAnywhere) {
  const std::string whole = bytes();
  for (size_t i = 0; i < whole.size(); i += 1 + whole.size() / 211) {
    for (const char value : {'\0', '\x7f', '\xff'}) {
      std::string damaged = whole;
      damaged[i] = value;
      try {
        decode_bytes(damaged, {.max_pixels = 1 << 20});
      } catch (const Error&) {
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pillow, Formats, testing::ValuesIn(cases()), [](const auto& test) {
  std::string name = test.param.file;
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(c); }, '_');
  return name;
});

}  // namespace
}  // namespace ocelli
