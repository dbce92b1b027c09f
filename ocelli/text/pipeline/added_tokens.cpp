#include "ocelli/text/pipeline/added_tokens.h"

#include <unicode/uchar.h>

#include <algorithm>

#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

bool is_word_character(char32_t c) {
  const auto point = static_cast<UChar32>(c);
  return u_hasBinaryProperty(point, UCHAR_ALPHABETIC) ||
         u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL) ||
         U_GET_GC_MASK(point) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
}

bool ends_in_word(std::string_view text) {
  if (text.empty()) return false;
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return is_word_character(next_code_point(text, at));
}

bool begins_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_character(next_code_point(text, at));
}

}  // namespace

AddedToken AddedToken::read(const JsonNode& node, int32_t id) {
  AddedToken token;
  token.content = node.require<std::string>("content");
  token.single_word = node.get("single_word", false);
  token.lstrip = node.get("lstrip", false);
  token.rstrip = node.get("rstrip", false);
  token.special = node.get("special", false);
  token.normalized = node.get("normalized", !token.special);
  token.id = id;
  return token;
}

AddedTokenFinder::AddedTokenFinder(
    std::vector<AddedToken> tokens,
    const std::function<std::string(const std::string&)>& normalize) {
  for (AddedToken& token : tokens) {
    std::string pattern = normalize(token.content);
    if (!pattern.empty()) tokens_.push_back({std::move(token), std::move(pattern)});
  }
  const auto first = [](const Entry& entry) {
    return static_cast<unsigned char>(entry.pattern[0]);
  };
  std::ranges::stable_sort(tokens_, [&](const Entry& a, const Entry& b) {
    return first(a) != first(b) ? first(a) < first(b) : a.pattern.size() > b.pattern.size();
  });
  for (const Entry& entry : tokens_) ++starts_[first(entry) + 1];
  for (size_t i = 1; i < starts_.size(); ++i) starts_[i] += starts_[i - 1];
}

const AddedTokenFinder::Entry* AddedTokenFinder::match(std::string_view text, size_t at) const {
  const auto first = static_cast<unsigned char>(text[at]);
  for (uint32_t i = starts_[first]; i < starts_[first + 1]; ++i) {
    if (text.substr(at).starts_with(tokens_[i].pattern)) return &tokens_[i];
  }
  return nullptr;
}

bool AddedTokenFinder::finds_in_words_alone() const {
  return std::ranges::none_of(tokens_, [](const Entry& entry) {
    return entry.token.rstrip || entry.pattern.find(' ') != std::string::npos;
  });
}

std::vector<Segment> AddedTokenFinder::find(std::string_view text) const {
  std::vector<Segment> segments;
  size_t end = 0;  // of what was cut off
  for (size_t at = 0; at < text.size();) {
    const Entry* entry = match(text, at);
    if (!entry) {
      ++at;
      continue;
    }
    const AddedToken& token = entry->token;
    size_t begin = at, stop = at + entry->pattern.size();
    at = stop;
    if (token.single_word &&
        (ends_in_word(text.substr(0, begin)) || begins_with_word(text.substr(stop)))) {
      continue;
    }
    if (token.rstrip) stop = text.size() - trim_left(text.substr(stop), is_white_space).size();
    if (stop <= end) continue;  // inside the white space that the one before it took
    begin = std::max(begin, end);
    if (token.lstrip) {
      begin = end + trim_right(text.substr(end, begin - end), is_white_space).size();
    }
    if (end < begin) segments.push_back({text.substr(end, begin - end)});
    segments.push_back({text.substr(begin, stop - begin), &token});
    end = stop;
  }
  if (end < text.size()) segments.push_back({text.substr(end)});
  return segments;
}

}  // namespace ocelli
