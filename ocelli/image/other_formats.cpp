// WebP, GIF, TIFF by their libraries; BMP and PNM by hand: they are headers before rows of pixels.
#include <gif_lib.h>
#include <tiffio.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <cctype>
#include <cstring>
#include <memory>
#include <vector>

#include "ocelli/image/codecs.h"

namespace ocelli::codec {

Tensor decode_webp(const Source& source, int* orientation) {
  int width = 0, height = 0;
  if (!WebPGetInfo(source.data(), source.bytes.size(), &width, &height)) {
    source.corrupt("WebP: the header is damaged");
  }
  const Tensor pixels = source.allocate(height, width);
  const WebPData data{source.data(), source.bytes.size()};
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemux(&data), WebPDemuxDelete);
  WebPChunkIterator chunk;
  if (demuxer && WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk)) {
    *orientation = exif_orientation({reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size});
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  const uint8_t* frame = source.data();
  size_t size = source.bytes.size();
  WebPIterator first;
  const bool animated = demuxer && WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT) > 1;
  if (animated && WebPDemuxGetFrame(demuxer.get(), 1, &first)) {
    if (first.width != width || first.height != height) {
      WebPDemuxReleaseIterator(&first);
      fail(ErrorCode::unsupported, "{}: WebP: an animation whose first frame is only a part", source.name);
    }
    frame = first.fragment.bytes;
    size = first.fragment.size;
  }
  const bool ok = WebPDecodeRGBInto(frame, size, pixels.data<uint8_t>(), pixels.nbytes(), width * 3);
  if (animated) WebPDemuxReleaseIterator(&first);
  if (!ok) source.corrupt("WebP: the pixels are damaged or cut off");
  return pixels;
}

namespace {

struct Cursor {
  const Source* source;
  size_t at = 0;
};

int read_gif(GifFileType* gif, GifByteType* into, int count) {
  auto* cursor = static_cast<Cursor*>(gif->UserData);
  const size_t n = std::min(static_cast<size_t>(count), cursor->source->bytes.size() - cursor->at);
  std::memcpy(into, cursor->source->data() + cursor->at, n);
  cursor->at += n;
  return static_cast<int>(n);
}

int close_gif(GifFileType* gif) {
  int error = 0;
  return DGifCloseFile(gif, &error);
}

}  // namespace

Tensor decode_gif(const Source& source) {
  Cursor cursor{&source};
  int error = 0;
  const std::unique_ptr<GifFileType, decltype(&close_gif)> gif(DGifOpen(&cursor, read_gif, &error), close_gif);
  if (!gif) source.corrupt("GIF: the header is damaged");
  const Tensor pixels = source.allocate(gif->SHeight, gif->SWidth);
  std::memset(pixels.raw(), 0, pixels.nbytes());
  GifRecordType type = UNDEFINED_RECORD_TYPE;
  while (DGifGetRecordType(gif.get(), &type) == GIF_OK && type != IMAGE_DESC_RECORD_TYPE) {
    int code = 0;
    GifByteType* extension = nullptr;
    if (type != EXTENSION_RECORD_TYPE || DGifGetExtension(gif.get(), &code, &extension) != GIF_OK) {
      source.corrupt("GIF: holds no image");
    }
    while (extension && DGifGetExtensionNext(gif.get(), &extension) == GIF_OK) {
    }
  }
  if (type != IMAGE_DESC_RECORD_TYPE || DGifGetImageDesc(gif.get()) != GIF_OK) source.corrupt("GIF: holds no image");
  const GifImageDesc& frame = gif->Image;
  const ColorMapObject* colours = frame.ColorMap ? frame.ColorMap : gif->SColorMap;
  if (!colours || frame.Left < 0 || frame.Top < 0 || frame.Width <= 0 || frame.Height <= 0 ||
      frame.Left + frame.Width > gif->SWidth || frame.Top + frame.Height > gif->SHeight) {
    source.corrupt("GIF: the frame lies outside the image");
  }
  std::vector<GifPixelType> line(static_cast<size_t>(frame.Width));
  // Interlaced rows come in four passes.
  constexpr int kStart[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  for (int pass = 0; pass < (frame.Interlace ? 4 : 1); ++pass) {
    for (int y = frame.Interlace ? kStart[pass] : 0; y < frame.Height; y += frame.Interlace ? kStep[pass] : 1) {
      if (DGifGetLine(gif.get(), line.data(), frame.Width) != GIF_OK) source.corrupt("GIF: the file is cut off");
      uint8_t* into = pixels.data<uint8_t>() + (int64_t{frame.Top + y} * gif->SWidth + frame.Left) * 3;
      for (int x = 0; x < frame.Width; ++x) {
        const int index = line[static_cast<size_t>(x)];
        const GifColorType colour = index < colours->ColorCount ? colours->Colors[index] : GifColorType{};
        into[3 * x] = colour.Red, into[3 * x + 1] = colour.Green, into[3 * x + 2] = colour.Blue;
      }
    }
  }
  return pixels;
}

namespace {

struct TiffCursor {
  const Source* source;
  toff_t at;
};

tsize_t tiff_read(thandle_t handle, tdata_t into, tsize_t count) {
  auto* c = static_cast<TiffCursor*>(handle);
  if (c->at >= c->source->bytes.size() || count < 0) return 0;
  const size_t n = std::min<size_t>(static_cast<size_t>(count), c->source->bytes.size() - c->at);
  std::memcpy(into, c->source->data() + c->at, n);
  c->at += n;
  return static_cast<tsize_t>(n);
}
tsize_t tiff_write(thandle_t, tdata_t, tsize_t) { return 0; }
toff_t tiff_seek(thandle_t handle, toff_t offset, int whence) {
  auto* c = static_cast<TiffCursor*>(handle);
  const toff_t base = whence == SEEK_CUR ? c->at : whence == SEEK_END ? c->source->bytes.size() : 0;
  return c->at = base + offset;
}
int tiff_close(thandle_t) { return 0; }
toff_t tiff_size(thandle_t handle) { return static_cast<TiffCursor*>(handle)->source->bytes.size(); }

}  // namespace

Tensor decode_tiff(const Source& source) {
  TIFFSetErrorHandler(nullptr);
  TIFFSetWarningHandler(nullptr);
  TiffCursor cursor{&source, 0};
  const std::unique_ptr<TIFF, decltype(&TIFFClose)> tiff(
      TIFFClientOpen("image", "rm", &cursor, tiff_read, tiff_write, tiff_seek, tiff_close, tiff_size,
                     nullptr, nullptr),
      TIFFClose);
  uint32_t width = 0, height = 0;
  if (!tiff || !TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) ||
      !TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height)) {
    source.corrupt("TIFF: the header is damaged");
  }
  const Tensor pixels = source.allocate(height, width);
  const Tensor rgba = Tensor::empty({height, width}, DType::i32);
  auto* raster = reinterpret_cast<uint32_t*>(rgba.data<int32_t>());
  if (!TIFFReadRGBAImageOriented(tiff.get(), width, height, raster, ORIENTATION_TOPLEFT, 1)) {
    source.corrupt("TIFF: the pixels are damaged, cut off, or of a kind that libtiff does not turn into colours");
  }
  uint8_t* into = pixels.data<uint8_t>();
  for (int64_t i = 0; i < rgba.numel(); ++i) {
    into[3 * i] = static_cast<uint8_t>(TIFFGetR(raster[i]));
    into[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(raster[i]));
    into[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(raster[i]));
  }
  return pixels;
}

// BITMAPINFOHEADER and its successors, uncompressed: 1, 4, 8 bits with a palette, 24 and 32 bits.
Tensor decode_bmp(const Source& source) {
  const auto number = [&](size_t at, size_t size) -> uint32_t {
    if (at + size > source.bytes.size()) source.corrupt("BMP: the file is cut off");
    uint32_t value = 0;
    std::memcpy(&value, source.data() + at, size);
    return value;
  };
  const uint32_t start = number(10, 4), header = number(14, 4);
  if (header < 40) fail(ErrorCode::unsupported, "{}: BMP: a header of {} bytes (OS/2)", source.name, header);
  const auto width = static_cast<int32_t>(number(18, 4)), tall = static_cast<int32_t>(number(22, 4));
  const uint32_t bits = number(28, 2), compression = number(30, 4);
  if (compression != 0 || (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32)) {
    fail(ErrorCode::unsupported, "{}: BMP: {} bits with compression {}", source.name, bits, compression);
  }
  const int64_t height = tall < 0 ? -int64_t{tall} : tall;
  const Tensor pixels = source.allocate(height, width);
  const int64_t stride = (int64_t{width} * bits + 31) / 32 * 4;
  if (start > source.bytes.size() || height > static_cast<int64_t>(source.bytes.size() - start) / stride) {
    source.corrupt("BMP: the file is cut off");
  }
  const size_t palette = 14 + header;
  uint32_t colours = number(46, 4);
  if (colours == 0 || colours > 256) colours = bits <= 8 ? 1u << bits : 0;
  for (int64_t y = 0; y < height; ++y) {
    const uint8_t* from = source.data() + start + (tall < 0 ? y : height - 1 - y) * stride;
    uint8_t* into = pixels.data<uint8_t>() + y * width * 3;
    for (int64_t x = 0; x < width; ++x, into += 3) {
      const uint8_t* bgr = from + x * (bits / 8);
      if (bits <= 8) {
        const int64_t position = x * bits;
        const uint32_t index = (from[position / 8] >> (8 - bits - position % 8)) & ((1u << bits) - 1);
        if (palette + 4 * size_t{index} + 4 > source.bytes.size() || index >= colours) {
          source.corrupt("BMP: a colour outside the palette");
        }
        bgr = source.data() + palette + 4 * size_t{index};
      }
      into[0] = bgr[2], into[1] = bgr[1], into[2] = bgr[0];
    }
  }
  return pixels;
}

// P1 to P6; comments run from # to the end of the line. Samples scale to 255 as Pillow does.
Tensor decode_pnm(const Source& source) {
  size_t at = 2;
  const auto skip = [&] {
    while (at < source.bytes.size() && (std::isspace(source.data()[at]) || source.data()[at] == '#')) {
      if (source.data()[at] == '#') {
        while (at < source.bytes.size() && source.data()[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
  };
  const auto next = [&]() -> int64_t {
    skip();
    int64_t value = 0;
    if (at >= source.bytes.size() || !std::isdigit(source.data()[at])) source.corrupt("PNM: a number is missing");
    while (at < source.bytes.size() && std::isdigit(source.data()[at])) {
      value = value * 10 + (source.data()[at++] - '0');
      if (value > 0x7fffffff) source.corrupt("PNM: a number is too large");
    }
    return value;
  };
  const char kind = static_cast<char>(source.data()[1]);
  const bool plain = kind <= '3', bitmap = kind == '1' || kind == '4', colour = kind == '3' || kind == '6';
  const int64_t width = next(), height = next(), largest = bitmap ? 1 : next();
  if (largest < 1 || largest > 65535) source.corrupt("PNM: the largest value is not between 1 and 65535");
  const Tensor pixels = source.allocate(height, width);
  if (!plain) ++at;  // one white space before the samples
  const int64_t channels = colour ? 3 : 1, wide = largest > 255 ? 2 : 1;
  const int64_t row = bitmap ? (width + 7) / 8 : width * channels * wide;
  const auto left = static_cast<int64_t>(source.bytes.size() - std::min(at, source.bytes.size()));
  if (!plain && height > left / row) source.corrupt("PNM: the file is cut off");
  const auto sample = [&](int64_t y, int64_t i) -> int64_t {
    const uint8_t* p = source.data() + at + y * row;
    if (plain && bitmap) {  // digits need no space between them
      skip();
      if (at >= source.bytes.size()) source.corrupt("PNM: the file is cut off");
      return source.data()[at++] == '0' ? 1 : 0;
    }
    if (plain) return next();
    if (bitmap) return (p[i / 8] >> (7 - i % 8)) & 1 ? 0 : 1;
    return wide == 2 ? p[2 * i] << 8 | p[2 * i + 1] : p[i];
  };
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t i = 0; i < width * channels; ++i) {
      const int64_t value = std::min(sample(y, i), largest);
      const auto scaled = static_cast<uint8_t>(largest == 255 ? value : (value * 255 * 2 + largest) / (2 * largest));
      uint8_t* into = pixels.data<uint8_t>() + y * width * 3;
      if (colour) into[i] = scaled;
      else std::memset(into + 3 * i, scaled, 3);
    }
  }
  return pixels;
}

}  // namespace ocelli::codec
