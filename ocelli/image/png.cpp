// PNG by libpng: 1 to 16 bits, grey, palette, alpha, interlaced.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include "ocelli/base/file.h"
#include "ocelli/image/codecs.h"
#include "ocelli/image/encode.h"

namespace ocelli {
namespace {

struct Reader {
  std::span<const std::byte> bytes;
  size_t at = 0;
  char message[200] = {};
  png_structp png = nullptr;
  png_infop info = nullptr;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void on_error(png_structp png, png_const_charp message) {
  auto* reader = static_cast<Reader*>(png_get_error_ptr(png));
  std::strncpy(reader->message, message, sizeof reader->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep into, size_t count) {
  auto* reader = static_cast<Reader*>(png_get_io_ptr(png));
  if (count > reader->bytes.size() - reader->at) png_error(png, "the file is cut off");
  std::memcpy(into, reader->bytes.data() + reader->at, count);
  reader->at += count;
}

bool read_header(Reader& r) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_read_fn(r.png, &r, on_read);
  // The size is checked against our own limit.
  png_set_user_limits(r.png, 0x7fffffff, 0x7fffffff);
  png_read_info(r.png, r.info);
  return true;
}

// Everything becomes 8-bit RGB but 16-bit grey, which Pillow clips.
bool read_rows(Reader& r, bool grey16, png_bytepp rows) {
  if (setjmp(png_jmpbuf(r.png))) return false;
  png_set_expand(r.png);
  if (grey16) {
    png_set_strip_alpha(r.png);
  } else {
    png_set_strip_16(r.png);
    png_set_strip_alpha(r.png);
    png_set_gray_to_rgb(r.png);
  }
  png_set_interlace_handling(r.png);
  png_read_update_info(r.png, r.info);
  png_read_image(r.png, rows);
  png_read_end(r.png, nullptr);
  return true;
}

}  // namespace

Tensor codec::decode_png(const Source& source, int* orientation) {
  Reader r{source.bytes};
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
  r.info = r.png ? png_create_info_struct(r.png) : nullptr;
  if (!r.info) fail(ErrorCode::out_of_memory, "PNG: no memory");
  if (!read_header(r)) source.corrupt(fmt::format("PNG: {}", r.message));
  const int64_t height = png_get_image_height(r.png, r.info),
                width = png_get_image_width(r.png, r.info);
  const bool grey16 = png_get_bit_depth(r.png, r.info) == 16 &&
                      png_get_color_type(r.png, r.info) == PNG_COLOR_TYPE_GRAY;
  const Tensor pixels = source.allocate(height, width);
  const Tensor raw = grey16 ? Tensor::empty({height, width, 2}, DType::u8) : pixels;
  std::vector<png_bytep> rows;
  for (int64_t y = 0; y < height; ++y)
    rows.push_back(raw.data<uint8_t>() + y * width * raw.size(2));
  if (!read_rows(r, grey16, rows.data())) source.corrupt(fmt::format("PNG: {}", r.message));
  if (grey16) {
    const uint8_t* from = raw.data<uint8_t>();  // big endian
    for (int64_t i = 0; i < height * width; ++i) {
      std::memset(pixels.data<uint8_t>() + 3 * i, from[2 * i] ? 255 : from[2 * i + 1], 3);
    }
  }
#ifdef PNG_eXIf_SUPPORTED
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  if (png_get_eXIf_1(r.png, r.info, &size, &exif)) {
    *orientation = exif_orientation({reinterpret_cast<const std::byte*>(exif), size});
  }
#endif
  return pixels;
}

std::string encode_png(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width());
  png.height = static_cast<png_uint_32>(image.height());
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string bytes(size, '\0');
  if (!png_image_write_to_memory(&png, bytes.data(), &size, 0, image.data(), 0, nullptr)) {
    fail(ErrorCode::internal, "PNG: {}", png.message);
  }
  bytes.resize(size);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image) {
  write_file(path, encode_png(image));
}

}  // namespace ocelli
