#include "ocelli/text/sentencepiece/sentencepiece_document.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Json = nlohmann::json;
using Type = SentencePieceFile::Type;

constexpr std::string_view kMark = "\u2581";

// Every way to put a normal piece together of two others, the best score first.
Json bpe_merges(const SentencePieceFile& file) {
  std::map<std::string_view, size_t> normal;
  for (size_t i = 0; i < file.pieces.size(); ++i) {
    if (file.pieces[i].type == Type::normal) normal[file.pieces[i].text] = i;
  }
  std::vector<std::tuple<float, size_t, std::string_view, std::string_view>> ranked;
  for (const auto& [token, id] : normal) {
    for (size_t at = 0; at < token.size();) {
      next_code_point(token, at);
      const std::string_view left = token.substr(0, at), right = token.substr(at);
      if (right.empty() || !normal.contains(left) || !normal.contains(right)) continue;
      ranked.emplace_back(-file.pieces[id].score, id, left, right);
    }
  }
  std::ranges::sort(ranked, [](const auto& a, const auto& b) {
    // Scores of foreign files may be no numbers, which have no order.
    const bool same = !(std::get<0>(a) < std::get<0>(b)) && !(std::get<0>(b) < std::get<0>(a));
    return same ? std::tie(std::get<1>(a), std::get<2>(a), std::get<3>(a)) <
                      std::tie(std::get<1>(b), std::get<2>(b), std::get<3>(b))
                : std::get<0>(a) < std::get<0>(b);
  });
  Json merges = Json::array();
  for (const auto& [score, id, left, right] : ranked) merges.push_back({left, right});
  return merges;
}

std::vector<std::string> user_defined(const SentencePieceFile& file) {
  std::vector<std::string> texts;
  for (const auto& piece : file.pieces) {
    if (piece.type == Type::user_defined) texts.push_back(piece.text);
  }
  std::ranges::stable_sort(texts, {}, [](const std::string& text) {
    return -static_cast<int64_t>(to_code_points(text).size());
  });
  return texts;
}

Json model_of(const SentencePieceFile& file) {
  if (file.model_type == 1) {
    return {{"type", "Unigram"},
            {"vocab", scored_pieces(file)},
            {"unk_id", file.unk_id},
            {"byte_fallback", file.byte_fallback}};
  }
  if (file.model_type != 2) {
    fail(ErrorCode::unsupported,
         "{}: a SentencePiece model of type {}; unigram (1) and BPE (2) are read", file.name,
         file.model_type);
  }
  Json vocab = Json::object();
  for (size_t i = 0; i < file.pieces.size(); ++i) vocab[file.pieces[i].text] = i;
  return {{"type", "BPE"},
          {"vocab", std::move(vocab)},
          {"merges", bpe_merges(file)},
          {"unk_token", file.unk_piece},
          {"fuse_unk", true},
          {"byte_fallback", file.byte_fallback},
          {"ignore_merges", !user_defined(file).empty()}};
}

Json replace(Json pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", std::move(pattern)}, {"content", content}};
}

Json normalizer_of(const SentencePieceFile& file, bool legacy) {
  Json parts = Json::array();
  if (!file.charsmap.empty()) parts.push_back(charsmap_normalizer(file));
  if (file.remove_extra_whitespaces) {
    parts.push_back(replace({{"Regex", R"(\A +| +\z)"}}, ""));
    parts.push_back(replace({{"Regex", " {2,}"}}, " "));
  }
  if (file.escape_whitespaces) parts.push_back(replace({{"String", " "}}, kMark));
  if (file.add_dummy_prefix && legacy) {
    // Metaspace gives no mark to a text that begins with one, SentencePiece does.
    parts.push_back(replace({{"Regex", R"(\A\u2581)"}}, "\u2581\u2581"));
  }
  return {{"type", "Sequence"}, {"normalizers", std::move(parts)}};
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (is_punctuation(byte) || c == ' ')) result += '\\';
    result += c;
  }
  return result;
}

Json pre_tokenizer_of(const SentencePieceFile& file, bool legacy) {
  Json parts = Json::array();
  if (file.add_dummy_prefix) {
    parts.push_back({{"type", "Metaspace"},
                     {"replacement", kMark},
                     {"prepend_scheme", legacy ? "always" : "first"},
                     {"split", false}});
  }
  std::string pattern;
  for (const std::string& text : user_defined(file)) {
    if (!pattern.empty()) pattern += '|';
    pattern += escaped(text);
  }
  if (!pattern.empty()) {
    parts.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}});
  }
  return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

Json decoder_of(const SentencePieceFile& file) {
  Json parts = Json::array({replace({{"String", kMark}}, " ")});
  if (file.byte_fallback) parts.push_back({{"type", "ByteFallback"}});
  if (file.byte_fallback || file.add_dummy_prefix) parts.push_back({{"type", "Fuse"}});
  if (file.add_dummy_prefix) {
    parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", std::move(parts)}};
}

Json added_tokens_of(const SentencePieceFile& file) {
  Json tokens = Json::array();
  const auto add = [&](const std::string& text) {
    tokens.push_back({{"content", text}, {"special", true}, {"normalized", false}});
  };
  for (const auto& piece : file.pieces) {
    if (piece.type == Type::control) add(piece.text);
  }
  if (file.bos_id >= 0) add(file.bos_piece);
  if (file.eos_id >= 0) add(file.eos_piece);
  if (file.unk_id >= 0) add(file.unk_piece);
  return tokens;
}

}  // namespace

Json sentencepiece_document(const SentencePieceFile& file, bool legacy) {
  return {{"normalizer", normalizer_of(file, legacy)},
          {"pre_tokenizer", pre_tokenizer_of(file, legacy)},
          {"model", model_of(file)},
          {"decoder", decoder_of(file)},
          {"added_tokens", added_tokens_of(file)}};
}

Json scored_pieces(const SentencePieceFile& file) {
  Json pieces = Json::array();
  for (const auto& piece : file.pieces) pieces.push_back({piece.text, piece.score});
  return pieces;
}

Json charsmap_normalizer(const SentencePieceFile& file) {
  return {{"type", "Precompiled"},
          {"precompiled_charsmap",
           Json::binary(std::vector<uint8_t>(file.charsmap.begin(), file.charsmap.end()))}};
}

}  // namespace ocelli
