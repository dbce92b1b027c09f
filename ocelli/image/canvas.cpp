#include "ocelli/image/canvas.h"

#include <ft2build.h>
#include FT_FREETYPE_H

#include <algorithm>
#include <cmath>
#include <cstring>

// The bytes of the typeface, put into the program by font.S.
extern "C" const unsigned char ocelli_font_begin[], ocelli_font_end[];

namespace ocelli {
namespace {

constexpr char32_t kReplacement = 0xFFFD, kEllipsis = 0x2026;
constexpr std::string_view kEllipsisText = "\xE2\x80\xA6";

// The next character; moves `at` behind it.
char32_t next_character(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  if (lead < 0xC2 || lead > 0xF4) return kReplacement;
  char32_t code = lead & (0x3F >> more);
  for (int i = 0; i < more; ++i, ++at) {
    if (at >= text.size() || (text[at] & 0xC0) != 0x80) return kReplacement;
    code = code << 6 | (text[at] & 0x3F);
  }
  return code;
}

}  // namespace

struct Font::Face {
  FT_Library library = nullptr;
  FT_Face face = nullptr;

  explicit Face(int pixels) {
    const auto size = static_cast<FT_Long>(ocelli_font_end - ocelli_font_begin);
    if (FT_Init_FreeType(&library) != 0 ||
        FT_New_Memory_Face(library, ocelli_font_begin, size, 0, &face) != 0 ||
        FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(pixels)) != 0) {
      fail(ErrorCode::internal, "the built-in font cannot be used");
    }
  }
  ~Face() { FT_Done_FreeType(library); }
  Face(const Face&) = delete;

  FT_GlyphSlot load(char32_t character, int flags) const {
    if (FT_Load_Char(face, character, flags) != 0) fail(ErrorCode::internal, "a glyph is damaged");
    return face->glyph;
  }
  int64_t advance(char32_t character) const {
    return character < ' ' ? 0 : load(character, FT_LOAD_DEFAULT)->advance.x >> 6;
  }
};

Font::Font(int pixels) : face_(std::make_unique<Face>(pixels)) {}
Font::~Font() = default;

int64_t Font::width(std::string_view text) const {
  int64_t width = 0;
  for (size_t at = 0; at < text.size();) width += face_->advance(next_character(text, at));
  return width;
}

int64_t Font::line_height() const {
  return face_->face->size->metrics.height >> 6;
}
int64_t Font::ascent() const {
  return face_->face->size->metrics.ascender >> 6;
}

std::string Font::shortened(std::string_view text, int64_t width) const {
  const int64_t ellipsis = face_->advance(kEllipsis);
  int64_t used = 0;
  size_t fits = 0;  // with an ellipsis behind it
  for (size_t at = 0; at < text.size();) {
    used += face_->advance(next_character(text, at));
    if (used > width) return std::string(text.substr(0, fits)).append(kEllipsisText);
    if (used + ellipsis <= width) fits = at;
  }
  return std::string(text);
}

std::vector<std::string> Font::wrapped(std::string_view text, int64_t width, size_t lines) const {
  std::vector<std::string> result;
  while (!text.empty() && result.size() + 1 < lines && this->width(text) > width) {
    size_t end = text.find(' ');
    for (size_t next = end; next != text.npos && this->width(text.substr(0, next)) <= width;) {
      end = next;
      next = text.find(' ', next + 1);
    }
    if (end == text.npos) break;
    result.push_back(shortened(text.substr(0, end), width));
    text.remove_prefix(end + 1);
  }
  result.push_back(shortened(text, width));
  return result;
}

Canvas::Canvas(int64_t height, int64_t width, Color background) {
  image_.pixels = Tensor::empty({height, width, 3}, DType::u8);
  fill({0, 0, width, height}, background);
}

void Canvas::fill(const Rectangle& area, Color color) {
  const int64_t right = std::min(area.left + area.width, image_.width());
  const int64_t bottom = std::min(area.top + area.height, image_.height());
  for (int64_t y = std::max<int64_t>(area.top, 0); y < bottom; ++y) {
    for (int64_t x = std::max<int64_t>(area.left, 0); x < right; ++x) blend(x, y, color, 255);
  }
}

void Canvas::frame(const Rectangle& a, int64_t thickness, Color color) {
  fill({a.left, a.top, a.width, thickness}, color);
  fill({a.left, a.top + a.height - thickness, a.width, thickness}, color);
  fill({a.left, a.top, thickness, a.height}, color);
  fill({a.left + a.width - thickness, a.top, thickness, a.height}, color);
}

void Canvas::line(Point from, Point to, double thickness, Color color) {
  const double reach = thickness / 2 + 0.5, dx = to.x - from.x, dy = to.y - from.y;
  const double length2 = dx * dx + dy * dy;
  const auto first = [&](double a, double b) {
    return static_cast<int64_t>(std::max(std::min(a, b) - reach, 0.0));
  };
  const auto last = [&](double a, double b, int64_t size) {
    return static_cast<int64_t>(std::min(std::max(a, b) + reach, static_cast<double>(size - 1)));
  };
  for (int64_t y = first(from.y, to.y); y <= last(from.y, to.y, image_.height()); ++y) {
    for (int64_t x = first(from.x, to.x); x <= last(from.x, to.x, image_.width()); ++x) {
      // How much of the pixel is covered goes by its distance from the segment.
      const double px = static_cast<double>(x) + 0.5 - from.x;
      const double py = static_cast<double>(y) + 0.5 - from.y;
      const double along = length2 > 0 ? std::clamp((px * dx + py * dy) / length2, 0.0, 1.0) : 0.0;
      const double distance = std::hypot(px - along * dx, py - along * dy);
      const double cover = std::clamp(reach - distance, 0.0, 1.0);
      blend(x, y, color, static_cast<int>(std::lround(255 * cover)));
    }
  }
}

void Canvas::picture(const Image& image, int64_t left, int64_t top) {
  const uint8_t* from = image.data();
  for (int64_t y = 0; y < image.height(); ++y) {
    for (int64_t x = 0; x < image.width(); ++x, from += 3) {
      blend(left + x, top + y, {from[0], from[1], from[2]}, 255);
    }
  }
}

void Canvas::text(const Font& font, std::string_view text, int64_t x, int64_t y, Color color,
                  Direction direction) {
  int64_t pen = 0;
  for (size_t at = 0; at < text.size();) {
    const char32_t character = next_character(text, at);
    if (character < ' ') continue;
    const FT_GlyphSlot glyph = font.face_->load(character, FT_LOAD_RENDER);
    const FT_Bitmap& bitmap = glyph->bitmap;
    for (int64_t row = 0; row < bitmap.rows; ++row) {
      for (int64_t column = 0; column < bitmap.width; ++column) {
        const int64_t along = pen + glyph->bitmap_left + column, down = row - glyph->bitmap_top;
        const bool up = direction == Direction::up;
        blend(up ? x + down : x + along, up ? y - along : y + down, color,
              bitmap.buffer[row * bitmap.pitch + column]);
      }
    }
    pen += glyph->advance.x >> 6;
  }
}

void Canvas::blend(int64_t x, int64_t y, Color color, int weight) {
  if (x < 0 || y < 0 || x >= image_.width() || y >= image_.height()) return;
  uint8_t* pixel = image_.pixels.data<uint8_t>() + 3 * (y * image_.width() + x);
  const uint8_t paint[] = {color.red, color.green, color.blue};
  for (int c = 0; c < 3; ++c) {
    pixel[c] = static_cast<uint8_t>((pixel[c] * (255 - weight) + paint[c] * weight + 127) / 255);
  }
}

}  // namespace ocelli
