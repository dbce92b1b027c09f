// Byte pair encoding: the pair of the best rank is joined until none is left.
// Sennrich et al., arXiv 1508.07909.
#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

struct Merge {
  uint32_t rank = 0;
  int32_t id = 0;  // of the two joined
};

class Bpe final : public SubwordModel {
 public:
  explicit Bpe(const JsonNode& node)
      : prefix_(node.get<std::string>("continuing_subword_prefix", "")),
        suffix_(node.get<std::string>("end_of_word_suffix", "")),
        fuse_unknown_(node.get("fuse_unk", false)),
        ignore_merges_(node.get("ignore_merges", false)) {
    vocabulary_ = Vocabulary::read(node.at("vocab"));
    if (node.has("unk_token")) {
      // A file may name one that it lacks, as long as no text needs it.
      const auto token = node.require<std::string>("unk_token");
      unknown_ = vocabulary_.id(token);
      if (!unknown_) lacks_ = fmt::format("{}: the unknown token '{}'", node.place(), token);
    }
    if (node.get("byte_fallback", false)) read_byte_tokens();
    uint32_t rank = 0;
    for (const nlohmann::json& merge : merges_of(node)) add_merge(merge, rank++, node.place());
  }

  const char* kind() const override { return "BPE"; }
  void append(std::string_view word, std::vector<int32_t>& ids) const override {
    if (word.empty()) return;
    if (ignore_merges_) {
      if (const auto id = vocabulary_.id(word)) return ids.push_back(*id);
    }
    std::vector<Symbol> symbols = symbols_of(word);
    if (symbols.size() <= kShort)
      join_short(symbols);
    else
      join_long(symbols);
    for (const Symbol& symbol : symbols) {
      if (symbol.length > 0) ids.push_back(symbol.id);
    }
  }

 private:
  static constexpr size_t kShort = 24;

  struct Symbol {
    int32_t id = 0;
    int32_t length = 1;  // 0: joined to the one before it
    int32_t previous = -1, next = -1;
  };

  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  static const nlohmann::json& merges_of(const JsonNode& node) {
    const nlohmann::json& merges = node.at("merges").json();
    if (!merges.is_array()) {
      fail(ErrorCode::corrupt_data, "{}: the field 'merges' is not an array", node.place());
    }
    return merges;
  }

  // "a b", or since version 0.20 ["a", "b"].
  void add_merge(const nlohmann::json& merge, uint32_t rank, const std::string& place) {
    std::string left, right;
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const size_t space = text.find(' ');
      left = text.substr(0, space);
      if (space != std::string::npos) right = text.substr(space + 1);
      if (right.find(' ') != std::string::npos) right.clear();
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    if (left.empty() || right.size() < prefix_.size() || right.empty()) {
      fail(ErrorCode::corrupt_data, "{}: merge {} is not a pair", place, rank + 1);
    }
    const int32_t first = vocabulary_.require(left, place);
    const int32_t second = vocabulary_.require(right, place);
    const int32_t joined = vocabulary_.require(left + right.substr(prefix_.size()), place);
    merges_[key(first, second)] = {rank, joined};
  }

  void read_byte_tokens() {
    byte_fallback_ = true;
    for (int b = 0; b < 256; ++b) {
      bytes_[b] = vocabulary_.id(byte_token(static_cast<uint8_t>(b)));
    }
  }

  std::vector<Symbol> symbols_of(std::string_view word) const {
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    bool pending = false;  // an unknown token that more unknown characters may join
    std::string text;
    for (size_t at = 0; at < word.size();) {
      const size_t before = at;
      next_code_point(word, at);
      text = before > 0 ? prefix_ : std::string();
      text += word.substr(before, at - before);
      if (at == word.size()) text += suffix_;
      if (const auto id = vocabulary_.id(text)) {
        if (std::exchange(pending, false)) symbols.push_back({*unknown_});
        symbols.push_back({*id});
      } else if (!append_bytes(text, symbols) && (unknown_ || !lacks_.empty())) {
        if (!unknown_) fail(ErrorCode::corrupt_data, "{} is missing from the vocabulary", lacks_);
        if (pending && !fuse_unknown_) symbols.push_back({*unknown_});
        pending = true;
      }
    }
    if (pending) symbols.push_back({*unknown_});
    return symbols;
  }

  bool append_bytes(std::string_view text, std::vector<Symbol>& symbols) const {
    if (!byte_fallback_) return false;
    const auto token = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (!std::ranges::all_of(text, [&](char c) { return token(c).has_value(); })) return false;
    for (const char c : text) symbols.push_back({*token(c)});
    return true;
  }

  const Merge* merge(int32_t left, int32_t right) const {
    const auto found = merges_.find(key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
  }

  // Looks at every pair for each join: the fastest for words of common length.
  void join_short(std::vector<Symbol>& symbols) const {
    std::array<const Merge*, kShort> pairs{};
    size_t count = symbols.size();
    const auto look_up = [&](size_t i) { pairs[i] = merge(symbols[i].id, symbols[i + 1].id); };
    for (size_t i = 0; i + 1 < count; ++i) look_up(i);
    while (count > 1) {
      size_t best = count;
      for (size_t i = 0; i + 1 < count; ++i) {
        if (pairs[i] && (best == count || pairs[i]->rank < pairs[best]->rank)) best = i;
      }
      if (best == count) break;
      symbols[best].id = pairs[best]->id;
      std::move(symbols.begin() + best + 2, symbols.begin() + count, symbols.begin() + best + 1);
      std::move(pairs.begin() + best + 2, pairs.begin() + count, pairs.begin() + best + 1);
      --count;
      if (best > 0) look_up(best - 1);
      if (best + 1 < count) look_up(best);
    }
    symbols.resize(count);
  }

  // A queue of the pairs, best rank and then leftmost first; those that are gone are skipped.
  void join_long(std::vector<Symbol>& symbols) const {
    struct Candidate {
      uint32_t rank;
      int32_t at, id;
      bool operator<(const Candidate& other) const {
        return rank != other.rank ? rank > other.rank : at > other.at;
      }
    };
    std::priority_queue<Candidate> queue;
    const auto push = [&](int32_t left) {
      if (left < 0 || symbols[left].next < 0) return;
      if (const Merge* pair = merge(symbols[left].id, symbols[symbols[left].next].id)) {
        queue.push({pair->rank, left, pair->id});
      }
    };
    const auto size = static_cast<int32_t>(symbols.size());
    for (int32_t i = 0; i < size; ++i) {
      symbols[i].previous = i - 1;
      symbols[i].next = i + 1 < size ? i + 1 : -1;
    }
    for (int32_t i = 0; i < size; ++i) push(i);
    while (!queue.empty()) {
      const Candidate top = queue.top();
      queue.pop();
      Symbol& left = symbols[top.at];
      if (left.length == 0 || left.next < 0) continue;
      Symbol& right = symbols[left.next];
      const Merge* pair = merge(left.id, right.id);
      if (!pair || pair->id != top.id) continue;
      left.id = top.id;
      left.next = right.next;
      right.length = 0;
      if (left.next >= 0) symbols[left.next].previous = top.at;
      push(left.previous);
      push(top.at);
    }
  }

  std::string prefix_, suffix_;
  bool fuse_unknown_, ignore_merges_;
  bool byte_fallback_ = false;
  std::string lacks_;  // what to say of an unknown token that is missing
  std::array<std::optional<int32_t>, 256> bytes_;
  std::unordered_map<uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<const SubwordModel> make_bpe(const JsonNode& node) {
  return std::make_unique<Bpe>(node);
}

}  // namespace ocelli
