#include "ocelli/text/pipeline/decoder.h"

#include <array>
#include <functional>

#include "ocelli/text/pipeline/component.h"
#include "ocelli/text/pipeline/subword.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace {

using Tokens = std::vector<std::string>;

// A decoder that is one function.
class FunctionDecoder final : public Decoder {
 public:
  explicit FunctionDecoder(std::function<void(Tokens&)> function)
      : function_(std::move(function)) {}
  void apply(Tokens& tokens) const override { function_(tokens); }

 private:
  std::function<void(Tokens&)> function_;
};

std::unique_ptr<const Decoder> make(std::function<void(Tokens&)> function) {
  return std::make_unique<FunctionDecoder>(std::move(function));
}

void fuse(Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  tokens = {std::move(text)};
}

std::unique_ptr<const Decoder> make_sequence_decoder(const JsonNode& node) {
  auto parts = std::make_shared<std::vector<std::unique_ptr<const Decoder>>>();
  for (const JsonNode& part : node.items("decoders")) {
    check_depth(part);
    if (auto decoder = make_decoder(part)) parts->push_back(std::move(decoder));
  }
  return make([parts](Tokens& tokens) {
    for (const auto& part : *parts) part->apply(tokens);
  });
}

// A token with a character that stands for no byte is left as it is.
void decode_byte_level(Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) {
    std::string part;
    bool symbols = true;
    for (const char32_t c : to_code_points(token)) {
      const int byte = byte_of_symbol(c);
      symbols &= byte >= 0;
      part += static_cast<char>(byte);
    }
    bytes += symbols ? part : token;
  }
  tokens = {valid_utf8(bytes)};
}

// Bytes in a row become their text, or U+FFFD each when they are none.
void decode_bytes(Tokens& tokens) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (valid_utf8(bytes) == bytes)
      result.push_back(bytes);
    else
      result.insert(result.end(), bytes.size(), "\uFFFD");
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = byte_of_token(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    result.push_back(std::move(token));
  }
  flush();
  tokens = std::move(result);
}

std::unique_ptr<const Decoder> make_word_piece_decoder(const JsonNode& node) {
  const auto prefix = node.get<std::string>("prefix", "##");
  const bool clean = node.get("cleanup", true);
  return make([prefix, clean](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix))
          token.erase(0, prefix.size());
        else
          token.insert(token.begin(), ' ');
      }
      if (clean) token = clean_up_spaces(std::move(token));
    }
  });
}

std::unique_ptr<const Decoder> make_metaspace(const JsonNode& node) {
  const auto mark = node.get<std::string>("replacement", "\u2581");
  const auto scheme = node.get<std::string>(
      "prepend_scheme", node.get("add_prefix_space", true) ? "always" : "never");
  return make([mark, scheme](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (i == 0 && scheme != "never")
        tokens[i] = replace_all(tokens[i], mark, "");
      else
        tokens[i] = replace_all(tokens[i], mark, " ");
    }
  });
}

std::unique_ptr<const Decoder> make_bpe_decoder(const JsonNode& node) {
  const auto suffix = node.get<std::string>("suffix", "</w>");
  return make([suffix](Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], suffix, i + 1 < tokens.size() ? " " : "");
    }
  });
}

std::unique_ptr<const Decoder> make_strip_decoder(const JsonNode& node) {
  const auto content = node.require<std::string>("content");
  const auto start = node.get<int64_t>("start", 0), stop = node.get<int64_t>("stop", 0);
  return make([content, start, stop](Tokens& tokens) {
    if (content.empty()) return;
    for (std::string& token : tokens) {
      for (int64_t i = 0; i < start && token.starts_with(content); ++i) {
        token.erase(0, content.size());
      }
      for (int64_t i = 0; i < stop && token.ends_with(content); ++i) {
        token.resize(token.size() - content.size());
      }
    }
  });
}

std::unique_ptr<const Decoder> make_replace_decoder(const JsonNode& node) {
  const Pattern pattern = read_pattern(node.at("pattern"));
  const auto content = node.require<std::string>("content");
  return make([pattern, content](Tokens& tokens) {
    for (std::string& token : tokens) {
      const std::vector<Span> spans = pattern.find_all(token);
      check_growth(token.size() + spans.size() * content.size());
      std::string text;
      size_t end = 0;
      for (const Span& span : spans) {
        text.append(token, end, span.begin - end).append(content);
        end = span.end;
      }
      token = text.append(token, end);
    }
  });
}

}  // namespace

std::unique_ptr<const Decoder> make_decoder(const JsonNode& node) {
  if (!node) return nullptr;
  const auto type = node.require<std::string>("type");
  if (type == "Sequence") return make_sequence_decoder(node);
  if (type == "ByteLevel") return make(decode_byte_level);
  if (type == "ByteFallback") return make(decode_bytes);
  if (type == "Fuse") return make(fuse);
  if (type == "WordPiece") return make_word_piece_decoder(node);
  if (type == "Metaspace") return make_metaspace(node);
  if (type == "BPEDecoder") return make_bpe_decoder(node);
  if (type == "Strip") return make_strip_decoder(node);
  if (type == "Replace") return make_replace_decoder(node);
  fail_component(node, "decoder", type);
}

std::string clean_up_spaces(std::string text) {
  static constexpr std::array<std::array<std::string_view, 2>, 11> kRules = {{{" .", "."},
                                                                              {" ?", "?"},
                                                                              {" !", "!"},
                                                                              {" ,", ","},
                                                                              {" ' ", "'"},
                                                                              {" n't", "n't"},
                                                                              {" 'm", "'m"},
                                                                              {" do not", " don't"},
                                                                              {" 's", "'s"},
                                                                              {" 've", "'ve"},
                                                                              {" 're", "'re"}}};
  for (const auto& [from, to] : kRules) text = replace_all(text, from, to);
  return text;
}

}  // namespace ocelli
