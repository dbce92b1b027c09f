// BMP: a palette of 1, 4 or 8 bits, plain or run-length encoded; 16, 24 and 32 bits; OS/2's
// headers. https://learn.microsoft.com/windows/win32/gdi/bitmap-storage
#include <array>
#include <bit>
#include <cstring>

#include "ocelli/image/codecs.h"

namespace ocelli {
namespace {

enum Compression : uint32_t { kPlain = 0, kRuns8 = 1, kRuns4 = 2, kFields = 3 };

struct Bmp {
  const codec::Source& source;
  int64_t width = 0, height = 0;
  bool upward = true;  // the first row in the file is the lowest
  uint32_t bits = 0, compression = 0;
  size_t pixels = 0;  // where they begin
  std::array<std::array<uint8_t, 3>, 256> palette{};
  size_t colours = 0;
  std::array<uint32_t, 3> masks{};  // red, green, blue

  uint32_t number(size_t at, size_t size) const {
    if (at > source.bytes.size() || size > source.bytes.size() - at) cut_off();
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= uint32_t{source.data()[at + i]} << (8 * i);
    return value;
  }
  [[noreturn]] void cut_off() const { source.corrupt("BMP: the file is cut off"); }
  int64_t row_of(int64_t y) const { return upward ? height - 1 - y : y; }
};

void read_palette(Bmp* bmp, size_t at, uint32_t count, size_t entry) {
  if (count == 0 || count > 256) count = 1u << bmp->bits;
  bmp->colours = std::min<size_t>(count, (bmp->pixels - std::min(at, bmp->pixels)) / entry);
  for (size_t i = 0; i < bmp->colours; ++i) {
    for (size_t c = 0; c < 3; ++c) {
      bmp->palette[i][c] = static_cast<uint8_t>(bmp->number(at + i * entry + 2 - c, 1));
    }
  }
}

Bmp read_header(const codec::Source& source) {
  Bmp bmp{source};
  const uint32_t header = bmp.number(14, 4);
  const bool os2 = header == 12;
  if (!os2 && header < 40) {
    fail(ErrorCode::unsupported, "{}: BMP: a header of {} bytes", source.name, header);
  }
  const auto tall = static_cast<int32_t>(os2 ? bmp.number(20, 2) : bmp.number(22, 4));
  bmp.width = os2 ? bmp.number(18, 2) : static_cast<int32_t>(bmp.number(18, 4));
  bmp.upward = tall >= 0;
  bmp.height = bmp.upward ? tall : -int64_t{tall};
  bmp.bits = bmp.number(os2 ? 24 : 28, 2);
  bmp.compression = os2 ? uint32_t{kPlain} : bmp.number(30, 4);
  bmp.pixels = bmp.number(10, 4);
  const bool known = bmp.compression == kPlain
                         ? bmp.bits == 1 || bmp.bits == 4 || bmp.bits == 8 || bmp.bits == 16 ||
                               bmp.bits == 24 || bmp.bits == 32
                     : bmp.compression == kRuns8  ? bmp.bits == 8
                     : bmp.compression == kRuns4  ? bmp.bits == 4
                     : bmp.compression == kFields ? bmp.bits == 16 || bmp.bits == 32
                                                  : false;
  if (!known) {
    fail(ErrorCode::unsupported, "{}: BMP: {} bits with compression {}", source.name, bmp.bits,
         bmp.compression);
  }
  bmp.masks = bmp.bits == 16 ? std::array<uint32_t, 3>{0x7c00, 0x3e0, 0x1f}
                             : std::array<uint32_t, 3>{0xff0000, 0xff00, 0xff};
  if (bmp.compression ==
      kFields) {  // the masks follow the header of 40 bytes or are its next fields
    for (size_t c = 0; c < 3; ++c) bmp.masks[c] = bmp.number(54 + 4 * c, 4);
  }
  if (bmp.bits <= 8) read_palette(&bmp, 14 + header, os2 ? 0 : bmp.number(46, 4), os2 ? 3 : 4);
  return bmp;
}

// `value` of `bits` bits as 8 bits.
uint8_t widen(uint32_t value, int bits) {
  if (bits == 0) return 0;
  if (bits >= 8) return static_cast<uint8_t>(value >> (bits - 8));
  return static_cast<uint8_t>(value * 255 / ((1u << bits) - 1));
}

void read_row(const Bmp& bmp, const uint8_t* from, uint8_t* into) {
  for (int64_t x = 0; x < bmp.width; ++x, into += 3) {
    if (bmp.bits <= 8) {
      const int64_t bit = x * bmp.bits;
      const uint32_t shift = 8 - bmp.bits - static_cast<uint32_t>(bit % 8);
      const uint32_t index = (from[bit / 8] >> shift) & ((1u << bmp.bits) - 1);
      if (index >= bmp.colours) bmp.source.corrupt("BMP: a colour outside the palette");
      std::memcpy(into, bmp.palette[index].data(), 3);
    } else if (bmp.bits == 24) {
      const uint8_t* bgr = from + 3 * x;
      into[0] = bgr[2], into[1] = bgr[1], into[2] = bgr[0];
    } else {
      uint32_t pixel = 0;
      std::memcpy(&pixel, from + x * (bmp.bits / 8), bmp.bits / 8);
      for (size_t c = 0; c < 3; ++c) {
        const uint32_t mask = bmp.masks[c];
        into[c] = mask ? widen((pixel & mask) >> std::countr_zero(mask), std::popcount(mask)) : 0;
      }
    }
  }
}

void read_rows(const Bmp& bmp, uint8_t* into) {
  const int64_t stride = (bmp.width * bmp.bits + 31) / 32 * 4;
  const size_t size = bmp.source.bytes.size();
  if (bmp.pixels > size || bmp.height > static_cast<int64_t>(size - bmp.pixels) / stride) {
    bmp.cut_off();
  }
  for (int64_t y = 0; y < bmp.height; ++y) {
    read_row(bmp, bmp.source.data() + bmp.pixels + y * stride,
             into + bmp.row_of(y) * bmp.width * 3);
  }
}

// Pairs of a count and an index (two of 4 bits each); 0 escapes to the end of a row (0), of the
// image (1), a jump (2) or that many plain indices, padded to 16 bits.
void read_runs(const Bmp& bmp, uint8_t* into) {
  for (int64_t i = 0; i < bmp.width * bmp.height; ++i) {
    std::memcpy(into + 3 * i, bmp.palette[0].data(), 3);
  }
  size_t at = bmp.pixels;
  int64_t x = 0, y = 0;
  const bool half = bmp.compression == kRuns4;
  const auto put = [&](uint32_t pair, bool second) {
    const uint32_t index = !half ? pair : second ? pair & 15 : pair >> 4;
    if (index >= bmp.colours) bmp.source.corrupt("BMP: a colour outside the palette");
    if (x < bmp.width && y < bmp.height) {
      std::memcpy(into + (bmp.row_of(y) * bmp.width + x) * 3, bmp.palette[index].data(), 3);
    }
    ++x;
  };
  while (y < bmp.height) {
    const uint32_t count = bmp.number(at, 1), code = bmp.number(at + 1, 1);
    at += 2;
    if (count > 0) {
      for (uint32_t i = 0; i < count; ++i) put(code, i % 2 != 0);
    } else if (code == 0) {
      x = 0, ++y;
    } else if (code == 1) {
      return;
    } else if (code == 2) {
      x += bmp.number(at, 1), y += bmp.number(at + 1, 1);
      at += 2;
    } else {
      for (uint32_t i = 0; i < code; ++i) put(bmp.number(at + (half ? i / 2 : i), 1), i % 2 != 0);
      at += ((half ? (code + 1) / 2 : code) + 1) / 2 * 2;
    }
  }
}

}  // namespace

Tensor codec::decode_bmp(const Source& source) {
  const Bmp bmp = read_header(source);
  const Tensor pixels = source.allocate(bmp.height, bmp.width);
  if (bmp.compression == kRuns8 || bmp.compression == kRuns4) {
    read_runs(bmp, pixels.data<uint8_t>());
  } else {
    read_rows(bmp, pixels.data<uint8_t>());
  }
  return pixels;
}

}  // namespace ocelli
