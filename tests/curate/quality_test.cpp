#include "ocelli/curate/quality.h"

#include <gtest/gtest.h>

#include "ocelli/image/canvas.h"

namespace ocelli {
namespace {

Image painted(int64_t height, int64_t width, uint8_t (*value)(int64_t y, int64_t x)) {
  Image image{Tensor::empty({height, width, 3}, DType::u8), "made"};
  auto* p = image.pixels.data<uint8_t>();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) *p++ = value(y, x);
    }
  }
  return image;
}

uint8_t noise(int64_t y, int64_t x) {
  return static_cast<uint8_t>((y * 7919 + x * 104729) * 2654435761u >> 13);
}

std::string complaint(const Image& image) {
  return quality_complaint(measure_quality(image), {});
}

TEST(Quality, NamesWhatIsWrong) {
  EXPECT_EQ(complaint(painted(128, 128, noise)), "");
  EXPECT_EQ(complaint(painted(40, 128, noise)), "small: 128 x 40 pixels");
  EXPECT_EQ(complaint(painted(100, 800, noise)), "odd aspect: 8 to 1");
  EXPECT_TRUE(complaint(painted(128, 128, [](int64_t, int64_t) {
                return uint8_t{90};
              })).starts_with("near-solid"));
  EXPECT_TRUE(complaint(painted(128, 128, [](int64_t y, int64_t x) {
                return uint8_t(noise(y, x) / 12);
              })).starts_with("dark"));
  EXPECT_TRUE(complaint(painted(128, 256, [](int64_t, int64_t x) {
                return uint8_t(x);
              })).starts_with("blurred"));
}

TEST(Quality, MeasuresKnownValues) {
  const QualityMeasures m = measure_quality(
      painted(64, 64, [](int64_t y, int64_t) { return uint8_t(y < 32 ? 0 : 255); }));
  EXPECT_NEAR(m.brightness, 0.5, 1e-6);
  EXPECT_NEAR(m.contrast, 0.5, 1e-6);
  EXPECT_NEAR(m.entropy, 1, 1e-6);
  EXPECT_NEAR(m.solid, 0.5, 1e-6);
}

TEST(Quality, FindsLinesOfTextWhetherDarkOrLight) {
  const std::string line = "Lines of text that say nothing of interest to anybody";
  for (const bool dark : {true, false}) {
    const Color paper = dark ? Color{250, 250, 240} : Color{20, 30, 60};
    const Color ink = dark ? Color{20, 20, 20} : Color{240, 240, 240};
    Canvas page(400, 500, paper), words(400, 500, paper);
    const Font font(16);
    for (int64_t y = 40; y < 380; y += 24) page.text(font, line, 30, y, ink);
    for (int64_t y = 40; y < 380; y += 60) words.text(font, "Exit", 30 + y, y, ink);
    const double text = measure_quality(page.image()).text;
    EXPECT_GT(text, 0.25);
    EXPECT_LT(text, 0.6);
    EXPECT_EQ(measure_quality(words.image()).text, 0);
    EXPECT_TRUE(quality_complaint(measure_quality(page.image()),
                                  {.min_entropy = 0, .max_solid = 1, .max_text = 0.1})
                    .starts_with("text: "));
    EXPECT_EQ(quality_complaint(measure_quality(page.image()), {.min_entropy = 0, .max_solid = 1}),
              "");
  }
  EXPECT_EQ(measure_quality(painted(128, 128, noise)).text, 0);
}

std::string file_says(const std::string& name, std::string_view bytes) {
  return file_complaint(name, std::as_bytes(std::span(bytes)));
}

TEST(FileComplaint, ClassifiesByBytes) {
  const std::string_view png("\x89PNG\r\n\x1a\n0000", 12), jpeg("\xff\xd8\xff\xe0 0000000", 12);
  EXPECT_EQ(file_says("a.jpg", ""), "empty");
  EXPECT_EQ(file_says("a.jpg", "hello, this is text"), "no image");
  EXPECT_EQ(file_says("a.JPG", jpeg), "");
  EXPECT_EQ(file_says("a.jpg", png), "wrong extension: png");
  EXPECT_EQ(file_says("a.png", std::string(png) + "....acTL...."), "animated");
  const std::string control("\x21\xf9\x04", 3);
  EXPECT_EQ(file_says("a.gif", "GIF89a........" + control), "");
  EXPECT_EQ(file_says("a.gif", "GIF89a........" + control + "...." + control), "animated");
}

}  // namespace
}  // namespace ocelli
