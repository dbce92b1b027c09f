#include "ocelli/image/exif.h"

#include <libexif/exif-data.h>

#include <algorithm>
#include <cmath>
#include <memory>

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

}  // namespace

ExifInfo read_exif(std::span<const std::byte> jpeg) {
  constexpr int kLatitude = 2, kLongitude = 4;  // the reference (N, S, E, W) is the tag before
  ExifInfo info;
  const auto size = static_cast<unsigned>(std::min<size_t>(jpeg.size(), 1 << 20));
  const std::unique_ptr<ExifData, void (*)(ExifData*)> data(
      exif_data_new_from_data(reinterpret_cast<const unsigned char*>(jpeg.data()), size),
      exif_data_unref);
  if (!data) return info;
  info.taken = date_of(text_of(find(*data, EXIF_IFD_EXIF, EXIF_TAG_DATE_TIME_ORIGINAL)));
  info.latitude = degrees_of(*data, kLatitude, "S");
  info.longitude = degrees_of(*data, kLongitude, "W");
  return info;
}

}  // namespace ocelli
