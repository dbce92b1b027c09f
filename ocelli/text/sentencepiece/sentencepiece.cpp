#include "ocelli/text/sentencepiece/sentencepiece.h"

#include <limits>

#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Type = SentencePieceFile::Type;

constexpr std::string_view kSpace = "\u2581";
constexpr float kUnknownPiecePenalty = 10;

void append_escaped(std::string& text, std::string_view part, bool escape) {
  for (const char c : part) {
    if (escape && c == ' ')
      text += kSpace;
    else
      text += c;
  }
}

}  // namespace

SentencePieceModel::SentencePieceModel(SentencePieceFile file)
    : file_(std::move(file)),
      lowest_(std::numeric_limits<float>::max()),
      highest_(std::numeric_limits<float>::min()) {
  if (file_.model_type != 1) {
    fail(ErrorCode::unsupported, "{}: a SentencePiece model of type {}; unigram ones (1) are read",
         file_.name, file_.model_type);
  }
  if (!file_.charsmap.empty()) charsmap_.emplace(file_.charsmap, file_.name);
  std::vector<PieceIndex::Piece> all, user_defined;
  for (int32_t id = 0; id < size(); ++id) {
    const auto& [text, score, type] = file_.pieces[id];
    if (text.empty() || ids_.id(text)) {
      fail(ErrorCode::corrupt_data, "{}: piece {} is empty or there twice", file_.name, id);
    }
    ids_.set(text, id);
    if (type == Type::unknown) {
      if (unknown_ >= 0) fail(ErrorCode::corrupt_data, "{}: two unknown pieces", file_.name);
      unknown_ = id;
    }
    if (type == Type::normal) {
      lowest_ = std::min(lowest_, score);
      highest_ = std::max(highest_, score);
    }
    if (type == Type::normal || type == Type::user_defined) all.push_back({text, id});
    if (type == Type::user_defined) user_defined.push_back({text, id});
  }
  if (unknown_ < 0) fail(ErrorCode::corrupt_data, "{}: no unknown piece", file_.name);
  index_ = PieceIndex(std::move(all));
  user_defined_ = PieceIndex(std::move(user_defined));
}

// The rule, user-defined piece or character that `text` begins with, as it is after normalising.
CharsMap::Match SentencePieceModel::normalize_prefix(std::string_view text) const {
  size_t longest = 0;
  user_defined_.prefixes(text, [&](size_t length, int32_t) { longest = length; });
  if (longest > 0) return {longest, text.substr(0, longest)};
  if (charsmap_) {
    if (const auto match = charsmap_->longest(text)) return *match;
  }
  size_t at = 0;
  next_code_point(text, at);
  return {at, text.substr(0, at)};
}

std::string SentencePieceModel::normalized(std::string_view text) const {
  const bool trim = file_.remove_extra_whitespaces, escape = file_.escape_whitespaces;
  while (trim && !text.empty()) {
    const auto match = normalize_prefix(text);
    if (match.replacement != " ") break;
    text.remove_prefix(match.length);
  }
  if (text.empty()) return {};
  const bool prefix = file_.add_dummy_prefix && !file_.treat_whitespace_as_suffix;
  const bool suffix = file_.add_dummy_prefix && file_.treat_whitespace_as_suffix;
  std::string result;
  if (prefix) append_escaped(result, " ", escape);
  bool after_space = trim;
  while (!text.empty()) {
    const auto match = normalize_prefix(text);
    std::string_view part = match.replacement;
    while (after_space && part.starts_with(' ')) part.remove_prefix(1);
    if (!part.empty()) {
      append_escaped(result, part, escape);
      after_space = trim && part.ends_with(' ');
    }
    text.remove_prefix(match.length);
  }
  const std::string_view space = escape ? kSpace : " ";
  while (trim && result.ends_with(space)) result.erase(result.size() - space.size());
  if (suffix) append_escaped(result, " ", escape);
  return result;
}

// A user-defined piece gets what makes it win over any normal ones.
double SentencePieceModel::score(int32_t id, size_t length) const {
  const auto& piece = file_.pieces[id];
  if (piece.type != Type::user_defined) return piece.score;
  return static_cast<float>(length) * highest_ - 0.1;
}

std::vector<SentencePieceModel::Found> SentencePieceModel::best_path(std::string_view text) const {
  struct Node {
    size_t begin = std::numeric_limits<size_t>::max();
    float score = 0;  // single precision as in the library, which decides near ties
    int32_t id = 0;
  };
  std::vector<Node> best(text.size() + 1);
  const auto offer = [&](size_t begin, size_t end, double points, int32_t id) {
    Node& node = best[end];
    const double total = points + best[begin].score;
    if (node.begin == Node().begin || total > node.score) {
      node = {begin, static_cast<float>(total), id};
    }
  };
  for (size_t begin = 0, next = 0; begin < text.size(); begin = next) {
    next_code_point(text, next);
    bool single = false;  // a piece for this character alone
    index_.prefixes(text.substr(begin), [&](size_t length, int32_t id) {
      offer(begin, begin + length, score(id, length), id);
      single |= begin + length == next;
    });
    if (!single) offer(begin, next, static_cast<float>(lowest_ - kUnknownPiecePenalty), unknown_);
  }
  std::vector<Found> pieces;
  for (size_t end = text.size(); end > 0; end = best[end].begin) {
    pieces.push_back({text.substr(best[end].begin, end - best[end].begin), best[end].id});
  }
  std::ranges::reverse(pieces);
  return pieces;
}

void SentencePieceModel::append_bytes(std::string_view text, std::vector<int32_t>& ids) const {
  for (const char c : text) {
    ids.push_back(ids_.id(byte_token(static_cast<uint8_t>(c))).value_or(unknown_));
  }
}

std::vector<int32_t> SentencePieceModel::encode(std::string_view text) const {
  const std::string source = normalized(text);
  std::vector<int32_t> ids;
  std::string unknown;  // what unknown pieces in a row read
  const auto flush = [&] {
    if (!unknown.empty()) ids.push_back(ids_.id(unknown).value_or(unknown_));
    unknown.clear();
  };
  for (const Found& found : best_path(source)) {
    if (found.id != unknown_) {
      flush();
      ids.push_back(found.id);
    } else if (file_.byte_fallback) {
      append_bytes(found.text, ids);
    } else {
      unknown += found.text;
    }
  }
  flush();
  return ids;
}

std::string SentencePieceModel::decode(const std::vector<int32_t>& ids) const {
  std::string text, bytes;
  for (const int32_t id : ids) {
    const auto& piece = file_.pieces[id];
    if (piece.type == Type::control) continue;
    if (const int byte = byte_of_token(piece.text); piece.type == Type::byte && byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    text += valid_utf8(std::exchange(bytes, {}));
    if (piece.type == Type::unknown) {
      text += " \u2047 ";
      continue;
    }
    std::string_view part = piece.text;
    const bool at_start =
        text.empty() && (file_.add_dummy_prefix || file_.remove_extra_whitespaces);
    if (at_start && part.starts_with(kSpace)) part.remove_prefix(kSpace.size());
    text += replace_all(part, kSpace, " ");
  }
  return text + valid_utf8(bytes);
}

}  // namespace ocelli
