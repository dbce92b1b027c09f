#include "ocelli/image/canvas.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ocelli {
namespace {

constexpr Color kWhite = {255, 255, 255}, kBlack = {0, 0, 0};

// The pixels that are not white: their number and the box round them.
struct Drawn {
  int64_t count = 0, left = 1000, top = 1000, right = -1, bottom = -1;
};

Drawn drawn(const Canvas& canvas) {
  Drawn d;
  const Image& image = canvas.image();
  for (int64_t i = 0; i < image.height() * image.width(); ++i) {
    if (image.data()[3 * i] == 255) continue;
    const int64_t x = i % image.width(), y = i / image.width();
    d = {d.count + 1, std::min(d.left, x), std::min(d.top, y), std::max(d.right, x),
         std::max(d.bottom, y)};
  }
  return d;
}

TEST(Canvas, WhatLiesOutsideIsNotDrawn) {
  Canvas canvas(10, 20, kWhite);
  canvas.fill({-5, -5, 7, 7}, kBlack);
  canvas.fill({18, 8, 100, 100}, kBlack);
  canvas.text(Font(14), "far away", -20, 3, kWhite);
  EXPECT_EQ(drawn(canvas).count, 4 + 4);
}

TEST(Canvas, TextStandsOnItsLineAndGoesUpTheSame) {
  const Font font(14);
  Canvas right(60, 60, kWhite), up(60, 60, kWhite);
  right.text(font, "Hill", 10, 40, kBlack);
  up.text(font, "Hill", 40, 50, kBlack, Direction::up);
  const Drawn a = drawn(right), b = drawn(up);
  EXPECT_GT(a.count, 40);
  EXPECT_EQ(a.bottom, 39);
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.right - a.left, b.bottom - b.top);
  EXPECT_EQ(b.right, 39);
}

TEST(Canvas, EveryTextCanBeDrawn) {
  Canvas canvas(20, 400, kWhite);
  for (const char* text :
       {"", "ÄöЖΩ→", "日本", "bad \xFF\xC0\xE2\x80 bytes", "\t\n", "\xF0\x9F\x98\x80"}) {
    canvas.text(Font(14), text, 0, 15, kBlack);
  }
  EXPECT_GT(drawn(canvas).count, 0);
}

TEST(Font, ShortensAndWraps) {
  const Font font(14);
  const std::string text = "a brown dog runs over the wide green field";
  EXPECT_EQ(font.shortened(text, 1000), text);
  const std::string less = font.shortened(text, 100);
  EXPECT_TRUE(less.ends_with("\xE2\x80\xA6"));
  EXPECT_LE(font.width(less), 100);
  EXPECT_GT(font.width(less), 60);
  const auto lines = font.wrapped(text, 100, 3);
  EXPECT_EQ(lines.size(), 3u);
  for (const std::string& line : lines) EXPECT_LE(font.width(line), 100);
  EXPECT_EQ(font.wrapped(text, 100, 20)[0], lines[0]);
  EXPECT_EQ(font.wrapped("", 100, 3), std::vector<std::string>{""});
  EXPECT_EQ(font.wrapped("unbreakablelongword next", 60, 3).size(), 2u);
}

TEST(Canvas, DrawsLinesOfTheirThickness) {
  Canvas canvas(20, 40, kWhite);
  canvas.line({-50, -50}, {-10, -10}, 2, kBlack);  // outside
  EXPECT_EQ(drawn(canvas).count, 0);
  canvas.line({-1e6, 10}, {1e6, 10}, 2, kBlack);
  const Drawn level = drawn(canvas);
  EXPECT_EQ(level.count, 2 * 40);
  EXPECT_EQ(level.top, 9);
  EXPECT_EQ(level.bottom, 10);
  Canvas dot(20, 20, kWhite);
  dot.line({10, 10}, {10, 10}, 6, kBlack);
  EXPECT_EQ(drawn(dot).left, 7);
  EXPECT_EQ(drawn(dot).right, 12);
  EXPECT_EQ(drawn(dot).count, 6 * 6 - 4);
}

}  // namespace
}  // namespace ocelli
