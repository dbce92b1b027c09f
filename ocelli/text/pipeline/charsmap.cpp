#include "ocelli/text/pipeline/charsmap.h"

#include <cstring>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

// The fields of a Darts-clone unit.
bool has_leaf(uint32_t unit) {
  return unit >> 8 & 1;
}
uint32_t value(uint32_t unit) {
  return unit & 0x7FFFFFFF;
}
uint32_t label(uint32_t unit) {
  return unit & 0x800000FF;
}
uint32_t offset(uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200) >> 6);
}

}  // namespace

CharsMap::CharsMap(std::string_view bytes, const std::string& place) {
  uint32_t size = 0;
  if (bytes.size() >= sizeof size) std::memcpy(&size, bytes.data(), sizeof size);
  if (bytes.size() < sizeof size || size == 0 || size % sizeof(uint32_t) != 0 ||
      size > bytes.size() - sizeof size) {
    fail(ErrorCode::corrupt_data, "{}: a character map of {} bytes holds no tree of {}", place,
         bytes.size(), size);
  }
  units_.resize(size / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data() + sizeof size, size);
  replacements_ = bytes.substr(sizeof size + size);
}

template <typename Found>
void CharsMap::prefixes(std::string_view text, Found found) const {
  uint32_t node = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label(units_[node]) != byte) return;
    const bool leaf = has_leaf(units_[node]);
    node ^= offset(units_[node]);
    if (leaf && node < units_.size() && !found(i + 1, value(units_[node]))) return;
  }
}

std::optional<CharsMap::Match> CharsMap::longest(std::string_view text) const {
  std::optional<Match> best;
  prefixes(text, [&](size_t length, uint32_t at) {
    best = Match{length, replacement(at)};
    return true;
  });
  return best;
}

std::optional<CharsMap::Match> CharsMap::shortest(std::string_view text) const {
  std::optional<Match> first;
  prefixes(text, [&](size_t length, uint32_t at) {
    first = Match{length, replacement(at)};
    return false;
  });
  return first;
}

std::string_view CharsMap::replacement(uint32_t at) const {
  const std::string_view rest =
      std::string_view(replacements_).substr(std::min<size_t>(at, replacements_.size()));
  return rest.substr(0, rest.find('\0'));
}

}  // namespace ocelli
