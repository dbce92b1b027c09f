// The pieces of a unigram model in order, to find those that a text begins with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ocelli {

class PieceIndex {
 public:
  struct Piece {
    std::string text;
    int32_t id = 0;
  };

  PieceIndex() = default;
  // Texts are unique; empty ones are left out.
  explicit PieceIndex(std::vector<Piece> pieces);

  // Calls found(length, id) for each piece that `text` begins with, the shortest first.
  template <typename Found>
  void prefixes(std::string_view text, Found found) const {
    if (text.empty()) return;
    const auto first = static_cast<unsigned char>(text[0]);
    auto begin = pieces_.begin() + starts_[first], end = pieces_.begin() + starts_[first + 1];
    for (size_t length = 1; begin != end; ++length) {
      if (begin->text.size() == length) {
        found(length, begin->id);
        ++begin;
      }
      if (length == text.size()) return;
      // Those whose next byte is the text's.
      const auto next = static_cast<unsigned char>(text[length]);
      const auto byte = [length](const Piece& piece) {
        return static_cast<unsigned char>(piece.text[length]);
      };
      begin = std::ranges::lower_bound(begin, end, next, {}, byte);
      end = std::ranges::upper_bound(begin, end, next, {}, byte);
    }
  }

 private:
  std::vector<Piece> pieces_;           // sorted
  std::array<uint32_t, 257> starts_{};  // of the pieces that begin with each byte
};

}  // namespace ocelli
