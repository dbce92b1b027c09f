// JPEG by libjpeg-turbo with its defaults, which are Pillow's: the accurate integer DCT and fancy
// upsampling.
#include <algorithm>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <cstring>

#include "ocelli/image/codecs.h"
#include "ocelli/image/encode.h"

// After the others.
#include <jpeglib.h>

namespace ocelli {
namespace {

// libjpeg calls error_exit where it cannot go on; C++ objects with destructors stay outside the
// function that sets the jump.
struct Errors {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void on_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<Errors*>(info->err);
  info->err->format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

void no_message(j_common_ptr, int) {}
void no_output(j_common_ptr) {}

void install(Errors* errors, jpeg_common_struct* info) {
  info->err = jpeg_std_error(&errors->manager);
  errors->manager.error_exit = on_error;
  errors->manager.emit_message = no_message;
  errors->manager.output_message = no_output;
}

// The whole file is in memory; at its end libjpeg is told to wait for more, and gives up there,
// where its own source would invent grey pixels.
boolean no_more(j_decompress_ptr) {
  return FALSE;
}
void nothing(j_decompress_ptr) {}
void skip(j_decompress_ptr info, long count) {
  if (count <= 0) return;
  const size_t n = std::min(static_cast<size_t>(count), info->src->bytes_in_buffer);
  info->src->next_input_byte += n;
  info->src->bytes_in_buffer -= n;
}

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_source_mgr source{};
  Errors errors{};
  Decoder(const uint8_t* data, size_t size) {
    install(&errors, reinterpret_cast<j_common_ptr>(&info));
    jpeg_create_decompress(&info);
    source = {data, size, nothing, no_more, skip, jpeg_resync_to_restart, nothing};
    info.src = &source;
  }
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

enum class Result { ok, damaged, cut_off };

Result read_header(Decoder& d) {
  if (setjmp(d.errors.jump)) return Result::damaged;
  jpeg_save_markers(&d.info, JPEG_APP0 + 1, 0xffff);
  if (jpeg_read_header(&d.info, TRUE) == JPEG_SUSPENDED) return Result::cut_off;
  const bool inks = d.info.jpeg_color_space == JCS_CMYK || d.info.jpeg_color_space == JCS_YCCK;
  d.info.out_color_space = inks                                       ? JCS_CMYK
                           : d.info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE
                                                                      : JCS_RGB;
  return Result::ok;
}

// Several rows a call, as many as libjpeg makes at once.
constexpr JDIMENSION kRows = 8;

Result read_rows(Decoder& d, uint8_t* pixels, size_t stride) {
  if (setjmp(d.errors.jump)) return Result::damaged;
  if (!jpeg_start_decompress(&d.info)) return Result::cut_off;
  while (d.info.output_scanline < d.info.output_height) {
    const JDIMENSION count = std::min(kRows, d.info.output_height - d.info.output_scanline);
    JSAMPROW rows[kRows];
    for (JDIMENSION i = 0; i < count; ++i) {
      rows[i] = pixels + (size_t{d.info.output_scanline} + i) * stride;
    }
    if (jpeg_read_scanlines(&d.info, rows, count) == 0) return Result::cut_off;
  }
  return Result::ok;
}

void grey_to_rgb(const uint8_t* from, int64_t count, uint8_t* into) {
  for (int64_t i = 0; i < count; ++i) std::memset(into + 3 * i, from[i], 3);
}

// CMYK is stored inverted, as Adobe does it; Pillow takes it so even without Adobe's marker.
void inverted_to_rgb(const uint8_t* from, int64_t count, uint8_t* into) {
  for (int64_t i = 0; i < count; ++i, from += 4, into += 3) {
    const int inks[4] = {255 - from[0], 255 - from[1], 255 - from[2], 255 - from[3]};
    codec::inks_to_rgb(inks, into);
  }
}

}  // namespace

Tensor codec::decode_jpeg(const Source& source, int* orientation) {
  Decoder d(source.data(), source.bytes.size());
  const auto check_ok = [&](Result result) {
    if (result == Result::cut_off) source.corrupt("JPEG: the file is cut off");
    if (result == Result::damaged) source.corrupt(fmt::format("JPEG: {}", d.errors.message));
  };
  check_ok(read_header(d));
  for (jpeg_saved_marker_ptr m = d.info.marker_list; m; m = m->next) {
    const std::span data(reinterpret_cast<const std::byte*>(m->data), m->data_length);
    if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 &&
        std::memcmp(m->data, "Exif\0\0", 6) == 0) {
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
  if (grey)
    grey_to_rgb(raw.data<uint8_t>(), height * width, pixels.data<uint8_t>());
  else
    inverted_to_rgb(raw.data<uint8_t>(), height * width, pixels.data<uint8_t>());
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
    JSAMPROW row =
        const_cast<JSAMPROW>(image.data() + int64_t{info.next_scanline} * image.width() * 3);
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
