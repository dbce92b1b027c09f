// JPEG by libjpeg-turbo with its defaults, which are Pillow's: the accurate integer DCT and fancy
// upsampling.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <algorithm>
#include <cstdlib>

#include <jpeglib.h>

#include "ocelli/image/codecs.h"
#include "ocelli/image/encode.h"

namespace ocelli {
namespace {

// libjpeg calls error_exit where it cannot go on; C++ objects with destructors stay outside the
// function that sets the jump.
struct Errors {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
  bool truncated;
};

void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// A premature end comes as a warning; other warnings (extra bytes) are harmless.
void on_message(j_common_ptr info, int level) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  if (level < 0) {
    info->err->format_message(info, errors->message);
    if (std::strstr(errors->message, "Premature end")) errors->truncated = true;
  }
}

void no_output(j_common_ptr) {}

void install(Errors* errors, jpeg_common_struct* info) {
  info->err = jpeg_std_error(&errors->manager);
  errors->manager.error_exit = on_error;
  errors->manager.emit_message = on_message;
  errors->manager.output_message = no_output;
  errors->truncated = false;
}

struct Decoder {
  jpeg_decompress_struct info{};
  Errors errors{};
  Decoder() {
    install(&errors, reinterpret_cast<j_common_ptr>(&info));
    jpeg_create_decompress(&info);
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

bool read_header(Decoder& d, const uint8_t* data, size_t size) {
  if (setjmp(d.errors.jump)) return false;
  jpeg_mem_src(&d.info, data, static_cast<unsigned long>(size));
  jpeg_save_markers(&d.info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(&d.info, TRUE);
  const bool inks = d.info.jpeg_color_space == JCS_CMYK || d.info.jpeg_color_space == JCS_YCCK;
  d.info.out_color_space = inks                                        ? JCS_CMYK
                           : d.info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE
                                                                      : JCS_RGB;
  return true;
}

bool read_rows(Decoder& d, uint8_t* pixels, size_t stride) {
  if (setjmp(d.errors.jump)) return false;
  jpeg_start_decompress(&d.info);
  while (d.info.output_scanline < d.info.output_height) {
    JSAMPROW rows[4];
    for (JDIMENSION i = 0; i < 4; ++i) {
      const JDIMENSION at = std::min(d.info.output_scanline + i, d.info.output_height - 1);
      rows[i] = pixels + at * stride;
    }
    jpeg_read_scanlines(&d.info, rows, std::min<JDIMENSION>(4, d.info.output_height - d.info.output_scanline));
    if (d.errors.truncated) return false;
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

// Pillow's rounding of a * b / 255.
int multiply_255(int a, int b) {
  const int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

void grey_to_rgb(const uint8_t* from, int64_t count, uint8_t* into) {
  for (int64_t i = 0; i < count; ++i) std::memset(into + 3 * i, from[i], 3);
}

// Adobe writes inks inverted.
void inks_to_rgb(const uint8_t* from, int64_t count, bool inverted, uint8_t* into) {
  for (int64_t i = 0; i < count; ++i) {
    int ink[4];
    for (int k = 0; k < 4; ++k) ink[k] = inverted ? 255 - from[4 * i + k] : from[4 * i + k];
    const int light = 255 - ink[3];
    for (int k = 0; k < 3; ++k) {
      into[3 * i + k] = static_cast<uint8_t>(std::clamp(light - multiply_255(ink[k], light), 0, 255));
    }
  }
}

}  // namespace

Tensor codec::decode_jpeg(const Source& source, int* orientation) {
  Decoder d;
  const auto check_ok = [&](bool ok) {
    if (!ok) source.corrupt(fmt::format("JPEG: {}{}", d.errors.message, d.errors.truncated ? " (the file is cut off)" : ""));
  };
  check_ok(read_header(d, source.data(), source.bytes.size()));
  for (jpeg_saved_marker_ptr m = d.info.marker_list; m; m = m->next) {
    const std::span data(reinterpret_cast<const std::byte*>(m->data), m->data_length);
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && std::memcmp(m->data, "Exif\0\0", 6) == 0) {
      *orientation = exif_orientation(data);
      break;
    }
  }
  const int64_t height = d.info.image_height, width = d.info.image_width;
  const Tensor pixels = source.allocate(height, width);
  if (d.info.out_color_space == JCS_RGB) {
    check_ok(read_rows(d, pixels.data<uint8_t>(), static_cast<size_t>(width) * 3));
    return pixels;
  }
  const bool grey = d.info.out_color_space == JCS_GRAYSCALE;
  const int64_t channels = grey ? 1 : 4;
  const Tensor raw = Tensor::empty({height, width, channels}, DType::u8);
  check_ok(read_rows(d, raw.data<uint8_t>(), static_cast<size_t>(width * channels)));
  if (grey) grey_to_rgb(raw.data<uint8_t>(), height * width, pixels.data<uint8_t>());
  else inks_to_rgb(raw.data<uint8_t>(), height * width, d.info.saw_Adobe_marker, pixels.data<uint8_t>());
  return pixels;
}

namespace {

bool compress(const Image& image, int quality, Errors* errors, unsigned char** memory,
              unsigned long* size) {
  jpeg_compress_struct info{};
  install(errors, reinterpret_cast<j_common_ptr>(&info));
  jpeg_create_compress(&info);
  if (setjmp(errors->jump)) {
    jpeg_destroy_compress(&info);
    return false;
  }
  jpeg_mem_dest(&info, memory, size);
  info.image_width = static_cast<JDIMENSION>(image.width());
  info.image_height = static_cast<JDIMENSION>(image.height());
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.data() + int64_t{info.next_scanline} * image.width() * 3);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return true;
}

}  // namespace

std::string encode_jpeg(const Image& image, int quality) {
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  Errors errors{};
  const bool ok = compress(image, quality, &errors, &memory, &size);
  std::string bytes(reinterpret_cast<char*>(memory), ok ? size : 0);
  std::free(memory);
  if (!ok) fail(ErrorCode::internal, "JPEG: {}", errors.message);
  return bytes;
}

}  // namespace ocelli
