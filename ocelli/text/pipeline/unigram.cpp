// The unigram language model: the pieces whose scores add up to most, found from left to right.
// Kudo, arXiv 1804.10959; in the arithmetic of huggingface/tokenizers.
#include <limits>

#include "ocelli/text/pipeline/piece_index.h"
#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

constexpr double kUnknownPenalty = 10;

class Unigram final : public SubwordModel {
 public:
  explicit Unigram(const JsonNode& node)
      : place_(node.place()), byte_fallback_(node.get("byte_fallback", false)) {
    for (const nlohmann::json& piece : pieces_of(node)) {
      if (!piece.is_array() || piece.size() != 2 || !piece[0].is_string() ||
          !piece[1].is_number()) {
        fail(ErrorCode::corrupt_data, "{}: entry {} of 'vocab' is not a piece and its score",
             place_, scores_.size());
      }
      const auto id = static_cast<int32_t>(scores_.size());
      scores_.push_back(piece[1].get<double>());
      lowest_ = std::min(lowest_, scores_.back());
      vocabulary_.set(piece[0].get<std::string>(), id);
    }
    if (node.has("unk_id")) {
      const auto id = node.require<int64_t>("unk_id");
      if (id < 0 || id >= static_cast<int64_t>(scores_.size())) {
        fail(ErrorCode::corrupt_data, "{}: unk_id is {} but there are {} pieces", place_, id,
             scores_.size());
      }
      unknown_ = static_cast<int32_t>(id);
    }
    index_ = PieceIndex(unique_pieces());
  }

  const char* kind() const override { return "Unigram"; }
  void append(std::string_view word, std::vector<int32_t>& ids) const override {
    const std::vector<Node> best = best_path(word);
    // Unknown characters in a row are one piece.
    std::vector<std::string_view> pieces;
    size_t unknown_end = 0;
    for (size_t end = word.size(); end > 0; end = best[end].begin) {
      const Node& node = best[end];
      const bool unknown = unknown_ && node.id == *unknown_;
      if (unknown && unknown_end == end && !pieces.empty()) {
        pieces.back() = word.substr(node.begin, pieces.back().size() + end - node.begin);
      } else {
        pieces.push_back(word.substr(node.begin, end - node.begin));
      }
      if (unknown) unknown_end = node.begin;
    }
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) append_piece(*piece, ids);
  }

 private:
  // The best way to a place in the word.
  struct Node {
    size_t begin = std::numeric_limits<size_t>::max();  // of the last piece; the largest: no way
    double score = 0;
    int32_t id = 0;
  };

  static const nlohmann::json& pieces_of(const JsonNode& node) {
    const nlohmann::json& pieces = node.at("vocab").json();
    constexpr auto kMost = static_cast<size_t>(std::numeric_limits<int32_t>::max());
    if (!pieces.is_array() || pieces.empty() || pieces.size() > kMost) {
      fail(ErrorCode::corrupt_data, "{}: 'vocab' is not a list of pieces and their scores",
           node.place());
    }
    return pieces;
  }

  // Of two pieces with one text, the later counts.
  std::vector<PieceIndex::Piece> unique_pieces() const {
    std::vector<PieceIndex::Piece> pieces;
    for (size_t i = 0; i < scores_.size(); ++i) {
      const auto id = static_cast<int32_t>(i);
      const std::string* token = vocabulary_.token(id);
      if (vocabulary_.id(*token) == id) pieces.push_back({*token, id});
    }
    return pieces;
  }

  std::vector<Node> best_path(std::string_view word) const {
    std::vector<Node> best(word.size() + 1);
    const auto offer = [&](size_t begin, size_t end, double score, int32_t id) {
      Node& node = best[end];
      const double total = score + best[begin].score;
      if (node.begin == Node().begin || total > node.score) node = {begin, total, id};
    };
    for (size_t begin = 0, next = 0; begin < word.size(); begin = next) {
      next_code_point(word, next);
      bool single = false;  // a piece for this character alone
      index_.prefixes(word.substr(begin), [&](size_t length, int32_t id) {
        offer(begin, begin + length, scores_[id], id);
        single |= begin + length == next;
      });
      if (single) continue;
      if (!unknown_) {
        fail(ErrorCode::corrupt_data,
             "{}: the text holds a character that has no piece, and there is no unk_id", place_);
      }
      offer(begin, next, lowest_ - kUnknownPenalty, *unknown_);
    }
    return best;
  }

  void append_piece(std::string_view piece, std::vector<int32_t>& ids) const {
    if (const auto id = vocabulary_.id(piece)) return ids.push_back(*id);
    const size_t count = ids.size();
    for (const char c : piece) {
      const auto id =
          byte_fallback_ ? vocabulary_.id(byte_token(static_cast<uint8_t>(c))) : std::nullopt;
      if (!id) {
        ids.resize(count);
        return ids.push_back(*unknown_);
      }
      ids.push_back(*id);
    }
  }

  std::string place_;
  bool byte_fallback_;
  std::vector<double> scores_;
  double lowest_ = std::numeric_limits<double>::infinity();
  PieceIndex index_;
};

}  // namespace

std::unique_ptr<const SubwordModel> make_unigram(const JsonNode& node) {
  return std::make_unique<Unigram>(node);
}

}  // namespace ocelli
