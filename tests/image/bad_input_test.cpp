// Files that are not what they seem: each is refused with a message that says what is wrong.
#include <sys/resource.h>
#include <zlib.h>

#include "ocelli/base/file.h"
#include "tests/image/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

void append_big(std::string* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) *out += static_cast<char>(value >> shift);
}

void append_chunk(std::string* png, const std::string& kind, const std::string& data) {
  append_big(png, static_cast<uint32_t>(data.size()));
  const std::string checked = kind + data;
  *png += checked;
  append_big(png, static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(checked.data()),
                                              static_cast<uInt>(checked.size()))));
}

// A valid PNG of one bit a pixel, all zeros.
std::string zeros_png(uint32_t width, uint32_t height) {
  std::string header;
  append_big(&header, width);
  append_big(&header, height);
  header += std::string("\1\0\0\0\0", 5);
  z_stream stream{};
  EXPECT_EQ(deflateInit(&stream, 6), Z_OK);
  std::string row((width + 7) / 8 + 1, '\0'), body, part(1 << 16, '\0');
  for (uint32_t y = 0; y <= height; ++y) {
    stream.next_in = reinterpret_cast<Bytef*>(row.data());
    stream.avail_in = y < height ? static_cast<uInt>(row.size()) : 0;
    do {
      stream.next_out = reinterpret_cast<Bytef*>(part.data());
      stream.avail_out = static_cast<uInt>(part.size());
      deflate(&stream, y < height ? Z_NO_FLUSH : Z_FINISH);
      body.append(part, 0, part.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  std::string png = "\x89PNG\r\n\x1a\n";
  append_chunk(&png, "IHDR", header);
  append_chunk(&png, "IDAT", body);
  append_chunk(&png, "IEND", "");
  return png;
}

int64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

TEST(BadImages, MissingFile) {
  const TempFolder folder;
  expect_error(ErrorCode::not_found, {"no.jpg"}, [&] { decode_image_file(folder / "no.jpg"); });
}

TEST(BadImages, Folder) {
  const TempFolder folder;
  EXPECT_THROW(decode_image_file(folder.path()), Error);
}

TEST(BadImages, EmptyFile) {
  const TempFolder folder;
  write_file(folder / "a.jpg", std::string());
  expect_error(ErrorCode::corrupt_data, {"a.jpg", "empty"},
               [&] { decode_image_file(folder / "a.jpg"); });
}

TEST(BadImages, TextNamedJpg) {
  const TempFolder folder;
  write_file(folder / "a.jpg", std::string("Not a picture\nat all\n"));
  expect_error(ErrorCode::corrupt_data, {"a.jpg", "not an image", "Not a pictur", "JPEG, PNG"},
               [&] { decode_image_file(folder / "a.jpg"); });
}

TEST(BadImages, FormatIsToldFromTheBytes) {
  const TempFolder folder;
  write_file(folder / "a.txt", read_file(golden("formats/jpeg_420.jpg")));
  EXPECT_EQ(decode_image_file(folder / "a.txt").format, "jpeg");
}

TEST(BadImages, CutOffJpegAndPng) {
  for (const char* name : {"jpeg_420.jpg", "jpeg_progressive.jpg", "jpeg_grey.jpg", "jpeg_cmyk.jpg",
                           "png_rgb8.png", "png_rgb8_interlaced.png", "png_palette4.png"}) {
    const std::string whole = read_file(golden("formats") / name);
    for (const double share : {0.1, 0.5, 0.8, 0.95}) {
      const auto size = static_cast<size_t>(static_cast<double>(whole.size()) * share);
      expect_error(ErrorCode::corrupt_data, {"bytes", "cut off"},
                   [&] { decode_bytes(whole.substr(0, size)); });
    }
  }
}

// Pillow refuses it too.
TEST(BadImages, JpegWithoutItsEnd) {
  const std::string whole = read_file(golden("formats/jpeg_420.jpg"));
  expect_error(ErrorCode::corrupt_data, {"cut off"},
               [&] { decode_bytes(whole.substr(0, whole.size() - 2)); });
}

TEST(BadImages, HugePngIsRefusedBeforeMemoryIsTaken) {
  const std::string png = zeros_png(60000, 60000);
  const int64_t before = peak_memory();
  expect_error(ErrorCode::invalid_argument, {"60000 x 60000", "limit of 178956970", "--max-pixels"},
               [&] { decode_bytes(png); });
  EXPECT_LT(peak_memory() - before, 16 << 20);
}

TEST(BadImages, LimitIsConfigurable) {
  const std::string png = zeros_png(300, 200);
  expect_error(ErrorCode::invalid_argument, {"300 x 200", "59999"},
               [&] { decode_bytes(png, {.max_pixels = 59999}); });
  const Image image = decode_bytes(png, {.max_pixels = 60000});
  EXPECT_EQ(image.pixels.numel(), 180000);
}

TEST(BadImages, HeadersAlone) {
  using namespace std::string_literals;
  for (const std::string& bytes :
       {"\xff\xd8\xff"s, "\x89PNG\r\n\x1a\n"s, "RIFF\x10\0\0\0WEBPVP8 "s, "GIF89a"s, "II*\0"s,
        "MM\0*"s, "MM\0*\0\0\0\x08"s, "BM"s + std::string(24, '\0'), "P6\n"s,
        "P6 99999999999 1 255 "s, "P5 4 4 0\n"s, "P5 4 4 70000\n"s, "P1 2 2 10"s,
        "P5 0 4 255\n"s}) {
    EXPECT_THROW(decode_bytes(bytes), Error) << bytes;
  }
}

}  // namespace
}  // namespace ocelli
