#include "ocelli/text/pipeline/piece_index.h"

namespace ocelli {

PieceIndex::PieceIndex(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {
  std::erase_if(pieces_, [](const Piece& piece) { return piece.text.empty(); });
  std::ranges::sort(pieces_, {}, &Piece::text);
  for (const Piece& piece : pieces_) ++starts_[static_cast<unsigned char>(piece.text[0]) + 1];
  for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
}

}  // namespace ocelli
