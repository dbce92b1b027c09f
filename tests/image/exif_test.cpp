#include "ocelli/image/exif.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ocelli/base/rng.h"

namespace ocelli {
namespace {

std::string number(uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

// An entry of a directory: tag, type, count, value or where it lies.
std::string entry(int tag, int type, uint32_t count, const std::string& value) {
  return number(tag, 2) + number(type, 2) + number(count, 4) + value;
}

std::string fraction(uint32_t numerator, uint32_t denominator) {
  return number(numerator, 4) + number(denominator, 4);
}

// EXIF 2.32, figure 6. Directory 0 names the others, at 38 and 56.
std::string tiff_of(const std::string& date, const std::string& north, uint32_t denominator) {
  constexpr int kAscii = 2, kLong = 4, kRational = 5;
  std::string tiff = std::string("II*\0", 4) + number(8, 4);
  tiff += number(2, 2) + entry(0x8769, kLong, 1, number(38, 4)) +
          entry(0x8825, kLong, 1, number(56, 4)) + number(0, 4);
  tiff += number(1, 2) + entry(0x9003, kAscii, 20, number(110, 4)) + number(0, 4);
  tiff += number(4, 2) + entry(1, kAscii, 2, north + std::string(3, '\0')) +
          entry(2, kRational, 3, number(130, 4)) + entry(3, kAscii, 2, std::string("E\0\0\0", 4)) +
          entry(4, kRational, 3, number(154, 4)) + number(0, 4);
  tiff += date + '\0';
  tiff += fraction(47, 1) + fraction(30, 1) + fraction(3600, denominator);
  tiff += fraction(8, 1) + fraction(3330, 100) + fraction(0, 1);
  return tiff;
}

// A JPEG's first segment.
std::string jpeg(const std::string& date, const std::string& north, uint32_t denominator) {
  const std::string segment = std::string("Exif\0\0", 6) + tiff_of(date, north, denominator);
  const auto size = segment.size() + 2;
  return std::string("\xff\xd8\xff\xe1", 4) + static_cast<char>(size >> 8) +
         static_cast<char>(size) + segment + "\xff\xd9";
}

ExifInfo read(const std::string& bytes) {
  return read_exif(std::as_bytes(std::span(bytes)));
}

TEST(Exif, TimeAndPlace) {
  const ExifInfo info = read(jpeg("2024:05:01 12:30:59", "N", 100));
  EXPECT_EQ(info.taken, "2024-05-01 12:30:59");
  ASSERT_TRUE(info.latitude && info.longitude);
  EXPECT_NEAR(*info.latitude, 47.51, 1e-9);
  EXPECT_NEAR(*info.longitude, 8.555, 1e-9);
  EXPECT_NEAR(read(jpeg("2024:05:01 12:30:59", "S", 100)).latitude.value(), -47.51, 1e-9);
}

std::string big_endian(size_t value) {
  std::string bytes = number(static_cast<uint32_t>(value), 4);
  std::ranges::reverse(bytes);
  return bytes;
}

std::string png(const std::string& exif) {
  return "\x89PNG\r\n\x1a\n" + big_endian(3) + "tEXtabc" + "crc." + big_endian(exif.size()) +
         "eXIf" + exif + "crc.";
}

std::string webp(const std::string& exif) {
  return "RIFF" + number(0, 4) + "WEBPVP8X" + number(3, 4) + std::string("abc\0", 4) + "EXIF" +
         number(static_cast<uint32_t>(exif.size()), 4) + exif;
}

TEST(Exif, ChunksOfPngAndWebp) {
  const std::string exif = tiff_of("2024:05:01 12:30:59", "N", 100);
  for (const std::string& file : {png(exif), webp(exif), webp(std::string("Exif\0\0", 6) + exif)}) {
    EXPECT_EQ(read(file).taken, "2024-05-01 12:30:59");
    EXPECT_NEAR(read(file).latitude.value(), 47.51, 1e-9);
    for (size_t size = 0; size < file.size(); ++size) read(file.substr(0, size));
  }
}

TEST(Exif, WhatCannotBeReadIsNotTold) {
  EXPECT_EQ(read(jpeg("0000:00:00 00:00:00", "N", 100)).taken, "");
  EXPECT_EQ(read(jpeg("    :  :     :  :  ", "N", 100)).taken, "");
  EXPECT_FALSE(read(jpeg("2024:05:01 12:30:59", "N", 0)).latitude);
  EXPECT_EQ(read("no JPEG").taken, "");
  EXPECT_EQ(read("").taken, "");
}

TEST(Exif, DamageIsHarmless) {
  const std::string good = jpeg("2024:05:01 12:30:59", "N", 100);
  Rng rng(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good.substr(0, rng.next_u32() % (good.size() + 1));
    for (char& byte : bad) {
      if (rng.next_u32() % 20 == 0) byte = static_cast<char>(rng.next_u32());
    }
    const ExifInfo info = read(bad);
    EXPECT_LE(std::abs(info.latitude.value_or(0)), 180);
  }
}

}  // namespace
}  // namespace ocelli
