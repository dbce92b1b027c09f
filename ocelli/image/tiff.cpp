// TIFF by libtiff: strips and tiles of 8- and 16-bit grey, RGB and CMYK and of 32-bit float grey
// are converted here as Pillow does it; the rest (palettes, bilevel, YCbCr) by libtiff's own RGBA
// reader.
#include <tiffio.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "ocelli/image/codecs.h"

namespace ocelli {
namespace {

struct Cursor {
  const codec::Source* source;
  toff_t at;
};

tsize_t read_bytes(thandle_t handle, tdata_t into, tsize_t count) {
  auto* c = static_cast<Cursor*>(handle);
  const auto& bytes = c->source->bytes;
  if (c->at >= bytes.size() || count < 0) return 0;
  const size_t n = std::min<size_t>(static_cast<size_t>(count), bytes.size() - c->at);
  std::memcpy(into, bytes.data() + c->at, n);
  c->at += n;
  return static_cast<tsize_t>(n);
}
tsize_t write_bytes(thandle_t, tdata_t, tsize_t) {
  return 0;
}
toff_t seek(thandle_t handle, toff_t offset, int whence) {
  auto* c = static_cast<Cursor*>(handle);
  const toff_t base = whence == SEEK_CUR ? c->at : whence == SEEK_END ? c->source->bytes.size() : 0;
  return c->at = base + offset;
}
int close(thandle_t) {
  return 0;
}
toff_t size_of(thandle_t handle) {
  return static_cast<Cursor*>(handle)->source->bytes.size();
}

using Tiff = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

struct Layout {
  uint32_t width = 0, height = 0;
  uint16_t bits = 1, samples = 1, photometric = 0, planes = PLANARCONFIG_CONTIG;
  uint16_t compression = 0, format = SAMPLEFORMAT_UINT;

  // Colours of a pixel; samples beyond are alpha and dropped.
  int colours() const {
    return photometric == PHOTOMETRIC_SEPARATED ? 4 : photometric == PHOTOMETRIC_RGB ? 3 : 1;
  }
  bool separate() const { return planes == PLANARCONFIG_SEPARATE && samples > 1; }
  // Whether the conversion here knows it.
  bool plain() const {
    const bool number = format == SAMPLEFORMAT_UINT && (bits == 8 || bits == 16);
    const bool real = format == SAMPLEFORMAT_IEEEFP && bits == 32 && samples == 1;
    const bool grey = photometric == PHOTOMETRIC_MINISBLACK;
    const bool colour = photometric == PHOTOMETRIC_RGB || photometric == PHOTOMETRIC_SEPARATED;
    return samples >= colours() && samples <= 8 && (number ? grey || colour : real && grey);
  }
};

// A block of samples as 8-bit RGB.
void convert(const Layout& l, const uint8_t* from, int64_t count, int64_t step, int plane,
             uint8_t* into) {
  const auto sample = [&](int64_t i, int c) -> int {
    const int64_t at = i * step + c;
    if (l.bits == 8) return from[at];
    if (l.bits == 16) {
      uint16_t value = 0;
      std::memcpy(&value, from + 2 * at, 2);
      return l.colours() == 1 ? std::min<int>(value, 255) : value >> 8;
    }
    float value = 0;
    std::memcpy(&value, from + 4 * at, 4);
    return value > 0 ? static_cast<int>(std::min(value, 255.0f)) : 0;
  };
  for (int64_t i = 0; i < count; ++i, into += 3) {
    if (plane >= 0) {
      into[plane] = static_cast<uint8_t>(sample(i, 0));
    } else if (l.colours() == 4) {
      const int inks[4] = {sample(i, 0), sample(i, 1), sample(i, 2), sample(i, 3)};
      codec::inks_to_rgb(inks, into);
    } else {
      for (int c = 0; c < 3; ++c) {
        into[c] = static_cast<uint8_t>(sample(i, l.colours() == 1 ? 0 : c));
      }
    }
  }
}

// Strips are tiles as wide as the image.
void read_blocks(const codec::Source& source, TIFF* tiff, const Layout& l, const Tensor& pixels) {
  const bool tiled = TIFFIsTiled(tiff);
  uint32_t wide = l.width, tall = l.height;
  if (tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &wide);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &tall);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &tall);
    tall = std::min(tall, l.height);
  }
  const int64_t step = l.separate() ? 1 : l.samples, pixel = step * l.bits / 8;
  const int64_t most = (int64_t{64} << 20) + int64_t{l.width} * l.height * pixel;
  const int64_t size = tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff);
  if (wide == 0 || tall == 0 || int64_t{wide} > most / pixel / tall || size > most ||
      size < int64_t{wide} * tall * pixel) {
    source.corrupt("TIFF: strips or tiles of a wrong size");
  }
  const Tensor block = Tensor::empty({size}, DType::u8);
  const int planes = l.separate() ? std::min(l.colours(), 3) : 1;
  for (int plane = 0; plane < planes; ++plane) {
    for (uint32_t y = 0; y < l.height; y += tall) {
      const uint32_t rows = std::min(tall, l.height - y);
      for (uint32_t x = 0; x < l.width; x += wide) {
        const auto s = static_cast<uint16_t>(plane);
        const tmsize_t wanted = tiled ? size : int64_t{rows} * wide * pixel;
        const tmsize_t got =
            tiled ? TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, s), block.raw(), size)
                  : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, s), block.raw(), wanted);
        if (got < wanted) source.corrupt("TIFF: the pixels are damaged or cut off");
        for (uint32_t r = 0; r < rows; ++r) {
          convert(l, block.data<uint8_t>() + r * wide * pixel, std::min(wide, l.width - x), step,
                  l.separate() && l.colours() == 3 ? plane : -1,
                  pixels.data<uint8_t>() + (int64_t{y + r} * l.width + x) * 3);
        }
      }
    }
  }
}

void read_rgba(const codec::Source& source, TIFF* tiff, const Layout& l, const Tensor& pixels) {
  const Tensor rgba = Tensor::empty({l.height, l.width}, DType::i32);
  auto* raster = reinterpret_cast<uint32_t*>(rgba.data<int32_t>());
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);  // turned by decode_image
  if (!TIFFReadRGBAImageOriented(tiff, l.width, l.height, raster, ORIENTATION_TOPLEFT, 1)) {
    source.corrupt(
        "TIFF: the pixels are damaged, cut off, or of a kind that libtiff cannot turn into RGB");
  }
  uint8_t* into = pixels.data<uint8_t>();
  for (int64_t i = 0; i < rgba.numel(); ++i) {
    into[3 * i] = static_cast<uint8_t>(TIFFGetR(raster[i]));
    into[3 * i + 1] = static_cast<uint8_t>(TIFFGetG(raster[i]));
    into[3 * i + 2] = static_cast<uint8_t>(TIFFGetB(raster[i]));
  }
}

}  // namespace

Tensor codec::decode_tiff(const Source& source, int* orientation) {
  TIFFSetErrorHandler(nullptr);
  TIFFSetWarningHandler(nullptr);
  Cursor cursor{&source, 0};
  const Tiff tiff(TIFFClientOpen("image", "rm", &cursor, read_bytes, write_bytes, seek, close,
                                 size_of, nullptr, nullptr),
                  TIFFClose);
  Layout l;
  if (!tiff || !TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &l.width) ||
      !TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &l.height)) {
    source.corrupt("TIFF: the header is damaged or cut off");
  }
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_BITSPERSAMPLE, &l.bits);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_SAMPLESPERPIXEL, &l.samples);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_PLANARCONFIG, &l.planes);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_SAMPLEFORMAT, &l.format);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_COMPRESSION, &l.compression);
  if (!TIFFGetField(tiff.get(), TIFFTAG_PHOTOMETRIC, &l.photometric)) {
    l.photometric = l.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  }
  uint16_t turn = 1;
  if (TIFFGetField(tiff.get(), TIFFTAG_ORIENTATION, &turn) && turn <= 8) *orientation = turn;
  const Tensor pixels = source.allocate(l.height, l.width);
  const bool separate_inks = l.separate() && l.colours() != 3;
  if (l.plain() && !separate_inks)
    read_blocks(source, tiff.get(), l, pixels);
  else
    read_rgba(source, tiff.get(), l, pixels);
  return pixels;
}

}  // namespace ocelli
