// WebP by libwebp; of an animation the first frame, on black where it does not reach.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "ocelli/image/codecs.h"

namespace ocelli {
namespace {

using Demuxer = std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)>;

int orientation_of(const WebPDemuxer* demuxer) {
  WebPChunkIterator chunk;
  if (!WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) return 1;
  const int orientation = codec::exif_orientation(
      {reinterpret_cast<const std::byte*>(chunk.chunk.bytes), chunk.chunk.size});
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

bool decode_first_frame(WebPDemuxer* demuxer, int64_t width, int64_t height, const Tensor& pixels) {
  WebPIterator frame;
  if (!WebPDemuxGetFrame(demuxer, 1, &frame)) return false;
  bool ok = frame.x_offset >= 0 && frame.y_offset >= 0 && frame.width > 0 && frame.height > 0 &&
            frame.x_offset + int64_t{frame.width} <= width &&
            frame.y_offset + int64_t{frame.height} <= height;
  int real_width = 0, real_height = 0;  // of the frame's own header
  ok = ok && WebPGetInfo(frame.fragment.bytes, frame.fragment.size, &real_width, &real_height) &&
       real_width == frame.width && real_height == frame.height;
  if (ok) {
    std::memset(pixels.raw(), 0, pixels.nbytes());
    const auto skipped = static_cast<size_t>((frame.y_offset * width + frame.x_offset) * 3);
    ok = nullptr != WebPDecodeRGBInto(frame.fragment.bytes, frame.fragment.size,
                                      pixels.data<uint8_t>() + skipped, pixels.nbytes() - skipped,
                                      static_cast<int>(width * 3));
  }
  WebPDemuxReleaseIterator(&frame);
  return ok;
}

}  // namespace

Tensor codec::decode_webp(const Source& source, int* orientation) {
  int width = 0, height = 0;
  if (!WebPGetInfo(source.data(), source.bytes.size(), &width, &height)) {
    source.corrupt("WebP: the header is damaged or cut off");
  }
  const Tensor pixels = source.allocate(height, width);
  const WebPData data{source.data(), source.bytes.size()};
  const Demuxer demuxer(WebPDemux(&data), WebPDemuxDelete);
  if (demuxer) *orientation = orientation_of(demuxer.get());
  const bool animated = demuxer && WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT) > 1;
  const bool ok =
      animated ? decode_first_frame(demuxer.get(), width, height, pixels)
               : nullptr != WebPDecodeRGBInto(source.data(), source.bytes.size(),
                                              pixels.data<uint8_t>(), pixels.nbytes(), width * 3);
  if (!ok) source.corrupt("WebP: the pixels are damaged or cut off");
  return pixels;
}

}  // namespace ocelli
