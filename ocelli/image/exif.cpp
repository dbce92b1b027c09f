#include "ocelli/image/exif.h"

#include <libexif/exif-data.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string_view>

namespace ocelli {
namespace {

const ExifEntry* find(const ExifData& data, ExifIfd part, int tag) {
  return exif_content_get_entry(data.ifd[part], static_cast<ExifTag>(tag));
}

// ASCII up to the first zero byte.
std::string text_of(const ExifEntry* entry) {
  if (!entry || entry->format != EXIF_FORMAT_ASCII) return "";
  const auto* begin = reinterpret_cast<const char*>(entry->data);
  return {begin, std::find(begin, begin + entry->size, '\0')};
}

// "2024:05:01 12:30:00" as a date that sorts and that SQL's functions read.
std::string date_of(std::string text) {
  constexpr char kForm[] = "0000:00:00 00:00:00";
  const bool good = std::ranges::equal(text, std::string_view(kForm), [](char c, char form) {
    return form == '0' ? c >= '0' && c <= '9' : c == form;
  });
  if (!good || text.starts_with("0000")) return "";
  text[4] = text[7] = '-';
  return text;
}

// Degrees, minutes and seconds, three fractions.
std::optional<double> degrees_of(const ExifData& data, int tag, const std::string& negative) {
  const ExifEntry* entry = find(data, EXIF_IFD_GPS, tag);
  if (!entry || entry->format != EXIF_FORMAT_RATIONAL || entry->components != 3 ||
      entry->size < 24) {
    return std::nullopt;
  }
  double degrees = 0, unit = 1;
  for (int i = 0; i < 3; ++i, unit /= 60) {
    const ExifRational part = exif_get_rational(
        entry->data + 8 * i, exif_data_get_byte_order(const_cast<ExifData*>(&data)));
    if (part.denominator == 0) return std::nullopt;
    degrees += unit * part.numerator / part.denominator;
  }
  if (degrees > 180) return std::nullopt;
  return text_of(find(data, EXIF_IFD_GPS, tag - 1)) == negative ? -degrees : degrees;
}

// The data of the first chunk `name` of a PNG (length, name, data, checksum) or a WebP (name,
// length, data, padding); empty where there is none.
std::string_view find_chunk(std::string_view file, std::string_view name, bool png) {
  const size_t name_at = png ? 4 : 0, size_at = png ? 0 : 4;
  for (size_t at = png ? 8 : 12; at + 8 <= file.size();) {
    size_t size = 0;
    for (size_t i = 0; i < 4; ++i) {
      const auto byte = static_cast<unsigned char>(file[at + size_at + i]);
      size |= size_t{byte} << 8 * (png ? 3 - i : i);
    }
    if (file.substr(at + name_at, 4) == name) return file.substr(at + 8, size);
    at += 8 + size + (png ? 4 : size % 2);
  }
  return {};
}

// What libexif takes: a JPEG, or a block that begins with "Exif" and two zeros.
std::string exif_of(std::string_view file) {
  constexpr size_t kMost = 1 << 20;
  const bool png = file.starts_with("\x89PNG\r\n\x1a\n");
  const bool webp = file.starts_with("RIFF") && file.size() >= 12 && file.substr(8, 4) == "WEBP";
  if (!png && !webp) return std::string(file.substr(0, kMost));
  constexpr std::string_view kBegin("Exif\0\0", 6);
  std::string_view block = find_chunk(file, png ? "eXIf" : "EXIF", png);
  if (block.starts_with(kBegin)) block.remove_prefix(kBegin.size());
  return std::string(kBegin).append(block.substr(0, kMost));
}

}  // namespace

ExifInfo read_exif(std::span<const std::byte> file) {
  constexpr int kLatitude = 2, kLongitude = 4;  // the reference (N, S, E, W) is the tag before
  ExifInfo info;
  const std::string exif = exif_of({reinterpret_cast<const char*>(file.data()), file.size()});
  const std::unique_ptr<ExifData, void (*)(ExifData*)> data(
      exif_data_new_from_data(reinterpret_cast<const unsigned char*>(exif.data()),
                              static_cast<unsigned>(exif.size())),
      exif_data_unref);
  if (!data) return info;
  info.taken = date_of(text_of(find(*data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL)));
  info.latitude = degrees_of(*data, kLatitude, "S");
  info.longitude = degrees_of(*data, kLongitude, "W");
  return info;
}

}  // namespace ocelli
