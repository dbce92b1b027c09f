// GIF by giflib: the first frame.
#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "ocelli/image/codecs.h"

namespace ocelli {
namespace {

struct Cursor {
  const codec::Source* source;
  size_t at = 0;
};

int read_bytes(GifFileType* gif, GifByteType* into, int count) {
  auto* cursor = static_cast<Cursor*>(gif->UserData);
  const auto& bytes = cursor->source->bytes;
  const size_t n = std::min(static_cast<size_t>(std::max(count, 0)), bytes.size() - cursor->at);
  if (n > 0) std::memcpy(into, bytes.data() + cursor->at, n);
  cursor->at += n;
  return static_cast<int>(n);
}

int close(GifFileType* gif) {
  int error = 0;
  return DGifCloseFile(gif, &error);
}

using Gif = std::unique_ptr<GifFileType, decltype(&close)>;

// Moves to the first frame; returns its transparent index, or 0 when it has none.
int find_frame(const codec::Source& source, GifFileType* gif) {
  int transparent = 0;
  GifRecordType type = UNDEFINED_RECORD_TYPE;
  while (DGifGetRecordType(gif, &type) == GIF_OK && type != IMAGE_DESC_RECORD_TYPE) {
    int code = 0;
    GifByteType* extension = nullptr;
    if (type != EXTENSION_RECORD_TYPE || DGifGetExtension(gif, &code, &extension) != GIF_OK) {
      source.corrupt("GIF: holds no image");
    }
    GraphicsControlBlock control;
    if (extension && code == GRAPHICS_EXT_FUNC_CODE && extension[0] == 4 &&
        DGifExtensionToGCB(extension[0], extension + 1, &control) == GIF_OK) {
      transparent = std::max(control.TransparentColor, 0);
    }
    while (extension) {
      if (DGifGetExtensionNext(gif, &extension) != GIF_OK) source.corrupt("GIF: is cut off");
    }
  }
  if (type != IMAGE_DESC_RECORD_TYPE || DGifGetImageDesc(gif) != GIF_OK) {
    source.corrupt("GIF: holds no image");
  }
  return transparent;
}

}  // namespace

Tensor codec::decode_gif(const Source& source) {
  Cursor cursor{&source};
  int error = 0;
  const Gif gif(DGifOpen(&cursor, read_bytes, &error), close);
  if (!gif) source.corrupt("GIF: the header is damaged");
  const int64_t width = gif->SWidth;
  const Tensor pixels = source.allocate(gif->SHeight, width);
  const int transparent = find_frame(source, gif.get());
  const GifImageDesc& frame = gif->Image;
  const ColorMapObject* colours = frame.ColorMap ? frame.ColorMap : gif->SColorMap;
  if (!colours || frame.Left < 0 || frame.Top < 0 || frame.Width <= 0 || frame.Height <= 0 ||
      frame.Left + frame.Width > gif->SWidth || frame.Top + frame.Height > gif->SHeight) {
    source.corrupt("GIF: the frame has no colours or lies outside the image");
  }
  const auto paint = [&](int index, uint8_t* into) {
    const GifColorType c =
        index < colours->ColorCount ? colours->Colors[index] : GifColorType{0, 0, 0};
    into[0] = c.Red, into[1] = c.Green, into[2] = c.Blue;
  };
  for (int64_t i = 0; i < gif->SHeight * width; ++i) {
    paint(transparent, pixels.data<uint8_t>() + 3 * i);
  }
  std::vector<GifPixelType> line(static_cast<size_t>(frame.Width));
  // Interlaced rows come in four passes.
  constexpr int kStart[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  for (int pass = 0; pass < (frame.Interlace ? 4 : 1); ++pass) {
    const int start = frame.Interlace ? kStart[pass] : 0, step = frame.Interlace ? kStep[pass] : 1;
    for (int y = start; y < frame.Height; y += step) {
      if (DGifGetLine(gif.get(), line.data(), frame.Width) != GIF_OK) {
        source.corrupt("GIF: the pixels are damaged or cut off");
      }
      uint8_t* into = pixels.data<uint8_t>() + ((frame.Top + y) * width + frame.Left) * 3;
      for (const GifPixelType index : line) paint(index, into), into += 3;
    }
  }
  return pixels;
}

}  // namespace ocelli
