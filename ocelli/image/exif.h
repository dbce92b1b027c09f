// When and where a photograph was taken, as its EXIF block says (libexif), in
// JPEG, PNG (chunk eXIf) and WebP (chunk EXIF).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace ocelli {

struct ExifInfo {
  std::string taken;  // "2024-05-01 12:30:00" by the camera's clock; "" when it is not told
  std::optional<double> latitude, longitude;  // degrees; south and west are negative
};

// Never throws for damaged blocks: what cannot be read is not told.
ExifInfo read_exif(std::span<const std::byte> file);

}  // namespace ocelli
