// Drawing of figures: rectangles, pictures and text. The typeface, DejaVu Sans, is part of the
// program, so that a machine needs no fonts; it has Latin, Greek, Cyrillic and more, not Chinese.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ocelli/image/image.h"

namespace ocelli {

struct Color {
  uint8_t red = 0, green = 0, blue = 0;
};

struct Rectangle {
  int64_t left = 0, top = 0, width = 0, height = 0;
};

struct Point {
  double x = 0, y = 0;
};

// The typeface at one size.
class Font {
 public:
  explicit Font(int pixels);
  ~Font();
  Font(const Font&) = delete;
  Font& operator=(const Font&) = delete;

  int64_t width(std::string_view text) const;  // UTF-8; other bytes count as U+FFFD
  int64_t line_height() const;
  int64_t ascent() const;

  // The text without what is beyond `width`, then with an ellipsis.
  std::string shortened(std::string_view text, int64_t width) const;
  // Broken at spaces into at most `lines` lines, the last one shortened.
  std::vector<std::string> wrapped(std::string_view text, int64_t width, size_t lines) const;

 private:
  friend class Canvas;
  struct Face;
  std::unique_ptr<Face> face_;
};

enum class Direction { right, up };

class Canvas {
 public:
  Canvas(int64_t height, int64_t width, Color background);

  // What lies outside of the canvas is not drawn.
  void fill(const Rectangle& area, Color color);
  void frame(const Rectangle& area, int64_t thickness, Color color);  // inside of `area`
  // Round at its ends; the middle of the first pixel is (0.5, 0.5).
  void line(Point from, Point to, double thickness, Color color);
  void picture(const Image& image, int64_t left, int64_t top);
  // Starts at (x, y); y, or x for text that goes up, is the base line.
  void text(const Font& font, std::string_view text, int64_t x, int64_t y, Color color,
            Direction direction = Direction::right);

  const Image& image() const { return image_; }

 private:
  void blend(int64_t x, int64_t y, Color color, int weight);  // weight: 0 to 255

  Image image_;
};

}  // namespace ocelli
