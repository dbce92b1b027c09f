// SentencePiece's unigram models (spiece.model), read and run as the library does.
// https://github.com/google/sentencepiece, src/sentencepiece_model.proto
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ocelli/text/pipeline/charsmap.h"
#include "ocelli/text/pipeline/piece_index.h"
#include "ocelli/text/pipeline/subword.h"

namespace ocelli {

// The file's contents.
struct SentencePieceFile {
  enum class Type { normal = 1, unknown, control, user_defined, unused, byte };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };

  std::string name;  // for messages
  std::vector<Piece> pieces;
  int64_t model_type = 1;  // 1: unigram, 2: BPE, 3: words, 4: characters
  std::string charsmap;    // compiled; empty: none
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  bool treat_whitespace_as_suffix = false;
  bool byte_fallback = false;
  int64_t unk_id = 0, bos_id = 1, eos_id = 2;  // negative: none
  std::string unk_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>";

  // Throws corrupt_data for bytes that are no such file.
  static SentencePieceFile parse(std::string_view bytes, const std::string& name);
};

class SentencePieceModel {
 public:
  // Throws unsupported for models other than unigram ones, corrupt_data for what cannot be.
  explicit SentencePieceModel(SentencePieceFile file);

  // Ids of the pieces; characters without one in a row are one unknown.
  std::vector<int32_t> encode(std::string_view text) const;
  std::string decode(const std::vector<int32_t>& ids) const;

  int32_t size() const { return static_cast<int32_t>(file_.pieces.size()); }
  const std::string& piece(int32_t id) const { return file_.pieces[id].text; }
  std::optional<int32_t> id(std::string_view piece) const { return ids_.id(piece); }
  int32_t unknown() const { return unknown_; }

 private:
  struct Found {
    std::string_view text;
    int32_t id = 0;
  };

  std::string normalized(std::string_view text) const;
  CharsMap::Match normalize_prefix(std::string_view text) const;
  std::vector<Found> best_path(std::string_view text) const;
  double score(int32_t id, size_t length) const;
  void append_bytes(std::string_view text, std::vector<int32_t>& ids) const;

  SentencePieceFile file_;
  std::optional<CharsMap> charsmap_;
  Vocabulary ids_;
  PieceIndex index_, user_defined_;
  int32_t unknown_ = -1;
  float lowest_, highest_;  // of the normal pieces
};

}  // namespace ocelli
