// What is wrong with a folder's tokenizer files is said, with the file and the field.
#include <gtest/gtest.h>

#include <map>

#include "ocelli/base/file.h"
#include "ocelli/text/tokenizer.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

struct BadFolder {
  std::string name;
  ErrorCode code;
  std::string says;  // part of the message
  std::map<std::string, std::string> files;
};

std::string tokenizer_json(const std::string& fields) {
  return R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]})" +
         (fields.empty() ? "" : "," + fields) + "}";
}

std::string model_json(const std::string& model) {
  return "{\"model\":{" + model + "}}";
}

const std::vector<BadFolder>& bad_folders() {
  constexpr auto kCorrupt = ErrorCode::corrupt_data;
  constexpr auto kUnsupported = ErrorCode::unsupported;
  const std::string json = "tokenizer.json", config = "tokenizer_config.json";
  const std::string clip = "open_clip_config.json";
  static const std::vector<BadFolder> kFolders = {
      {"Nothing", ErrorCode::not_found, "looked for tokenizer.json", {}},
      {"NoObject", kCorrupt, "tokenizer.json: not a JSON object", {{json, "[1]"}}},
      {"NoModel", kCorrupt, "tokenizer.json.model.vocab", {{json, "{}"}}},
      {"UnknownModel",
       kUnsupported,
       "the model 'Neural' is none",
       {{json, model_json(R"("type":"Neural")")}}},
      {"IdIsText",
       kCorrupt,
       "the token 'a' has no id",
       {{json, model_json(R"("type":"BPE","vocab":{"a":"b"},"merges":[])")}}},
      {"IdIsNegative",
       kCorrupt,
       "the token 'a' has no id",
       {{json, model_json(R"("type":"BPE","vocab":{"a":-1},"merges":[])")}}},
      {"IdIsHuge",
       kCorrupt,
       "the token 'a' has no id",
       {{json, model_json(R"("type":"BPE","vocab":{"a":2147483648},"merges":[])")}}},
      {"MergeIsNoPair",
       kCorrupt,
       "merge 1 is not a pair",
       {{json, model_json(R"("type":"BPE","vocab":{"a":1},"merges":["ab"])")}}},
      {"MergeOfThree",
       kCorrupt,
       "merge 1 is not a pair",
       {{json, model_json(R"("type":"BPE","vocab":{"a":1},"merges":["a a a"])")}}},
      {"MergeOutside",
       kCorrupt,
       "the token 'aa' is missing",
       {{json, model_json(R"("type":"BPE","vocab":{"a":1},"merges":["a a"])")}}},
      {"NoUnknownWord",
       kCorrupt,
       "'[UNK]' is missing",
       {{json, model_json(R"("type":"WordPiece","vocab":{"a":1})")}}},
      {"UnknownPieceOutside",
       kCorrupt,
       "unk_id is 5",
       {{json, model_json(R"("type":"Unigram","unk_id":5,"vocab":[["a",0]])")}}},
      {"PieceWithoutScore",
       kCorrupt,
       "entry 0 of 'vocab'",
       {{json, model_json(R"("type":"Unigram","vocab":[["a"]])")}}},
      {"UnknownNormalizer",
       kUnsupported,
       "tokenizer.json.normalizer: the normalizer 'Rot13'",
       {{json, tokenizer_json(R"("normalizer":{"type":"Rot13"})")}}},
      {"UnknownPreTokenizer",
       kUnsupported,
       "pretokenizers[0]: the pre-tokenizer 'Dice'",
       {{json, tokenizer_json(
                   R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Dice"}]})")}}},
      {"UnknownPostProcessor",
       kUnsupported,
       "the post-processor 'X'",
       {{json, tokenizer_json(R"("post_processor":{"type":"X"})")}}},
      {"UnknownDecoder",
       kUnsupported,
       "the decoder 'CTC'",
       {{json, tokenizer_json(R"("decoder":{"type":"CTC"})")}}},
      {"BadRegex",
       kCorrupt,
       "the regular expression '(' does not compile",
       {{json, tokenizer_json(
                   R"("normalizer":{"type":"Replace","pattern":{"Regex":"("},"content":""})")}}},
      {"BadBehavior",
       kCorrupt,
       "'Torn' is no behavior",
       {{json, tokenizer_json(R"("pre_tokenizer":{"type":"Punctuation","behavior":"Torn"})")}}},
      {"BadBase64",
       kCorrupt,
       "not base64",
       {{json,
         tokenizer_json(R"("normalizer":{"type":"Precompiled","precompiled_charsmap":"*"})")}}},
      {"BadCharsmap",
       kCorrupt,
       "holds no tree",
       {{json, tokenizer_json(
                   R"("normalizer":{"type":"Precompiled","precompiled_charsmap":"/////w=="})")}}},
      {"BadField",
       kCorrupt,
       "an added token without its text",
       {{json, tokenizer_json(R"("added_tokens":[{"id":0}])")}}},
      {"TemplateWithoutText",
       kUnsupported,
       "a template without the text",
       {{json,
         tokenizer_json(
             R"("post_processor":{"type":"TemplateProcessing","single":[],"special_tokens":{}})")}}},
      {"BadSide",
       kCorrupt,
       "'padding_side' is 'up'",
       {{json, tokenizer_json("")}, {config, R"({"padding_side":"up"})"}}},
      {"BadAddedId",
       kCorrupt,
       "'x' is no id",
       {{json, tokenizer_json("")}, {config, R"({"added_tokens_decoder":{"x":{}}})"}}},
      {"OtherModel",
       kCorrupt,
       "the model is BPE but BertTokenizer is one of WordPiece",
       {{json, tokenizer_json("")}, {config, R"({"tokenizer_class":"BertTokenizer"})"}}},
      {"SpieceIsText",
       kCorrupt,
       "spiece.model: no SentencePiece model",
       {{"spiece.model", "hello"}, {config, R"({"tokenizer_class":"SiglipTokenizer"})"}}},
      {"SpieceIsEmpty",
       kCorrupt,
       "a SentencePiece model of 0 pieces",
       {{"spiece.model", ""}, {config, R"({"tokenizer_class":"T5Tokenizer"})"}}},
      {"OpenClipWithoutVocabulary",
       ErrorCode::not_found,
       "open_clip/bpe_simple_vocab_16e6.txt.gz",
       {{clip, R"({"model_cfg":{"text_cfg":{}}})"}}},
      {"OpenClipWithoutHfTokenizer",
       ErrorCode::not_found,
       "wants that of 'some/name'",
       {{clip, R"({"model_cfg":{"text_cfg":{"hf_tokenizer_name":"some/name"}}})"}}},
      {"OpenClipMode",
       kUnsupported,
       "tokenizer_mode",
       {{clip, R"({"model_cfg":{"text_cfg":{"tokenizer_mode":"clips"}}})"}}},
      {"OpenClipClean",
       kCorrupt,
       "'clean' is 'soap'",
       {{clip,
         R"({"model_cfg":{"text_cfg":{"hf_tokenizer_name":"x","tokenizer_kwargs":{"clean":"soap"}}}})"}}},
      {"NoGzip", kCorrupt, "not a gzip file", {{"bpe_simple_vocab_16e6.txt.gz", "text"}}},
  };
  return kFolders;
}

class BadTokenizer : public testing::TestWithParam<BadFolder> {};

TEST_P(BadTokenizer, IsNamed) {
  const TempFolder folder;
  for (const auto& [name, contents] : GetParam().files) write_file(folder / name, contents);
  try {
    open_tokenizer(folder.path());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), GetParam().code) << error.what();
    EXPECT_NE(std::string(error.what()).find(GetParam().says), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Case, BadTokenizer, testing::ValuesIn(bad_folders()),
                         [](const auto& c) { return c.param.name; });

TEST(Tokenizer, RefusesWhatItCannotDo) {
  const TempFolder folder;
  write_file(
      folder / "tokenizer.json",
      tokenizer_json(R"("post_processor":{"type":"BertProcessing","cls":["a",0],"sep":["b",1]})"));
  const auto tokenizer = open_tokenizer(folder.path());
  const std::vector<std::string> texts = {"ab"};
  BatchOptions one;
  one.context_length = 1;
  EXPECT_THROW(tokenizer->encode_batch(texts, one), Error);  // no room for the special tokens
  EXPECT_THROW(tokenizer->encode_batch(texts), Error);       // no length is known
  EXPECT_THROW(tokenizer->decode(std::vector<int32_t>{9}), Error);
  EXPECT_EQ(tokenizer->encode("ab\xFF"
                              "ab"),
            (std::vector<int32_t>{0, 2, 2, 1}));
}

TEST(Tokenizer, GivesUpOnExpressionsWithoutEnd) {
  const TempFolder folder;
  write_file(folder / "tokenizer.json",
             tokenizer_json(R"("pre_tokenizer":{"type":"Split","behavior":"Isolated",)"
                            R"("pattern":{"Regex":"(a|aa)+$"}})"));
  EXPECT_THROW(open_tokenizer(folder.path())->encode(std::string(60, 'a') + "b"), Error);
}

TEST(Tokenizer, GivesUpOnTextsThatGrowWithoutEnd) {
  const TempFolder folder;
  const std::string part =
      R"({"type":"Replace","pattern":{"String":"a"},"content":")" + std::string(1000, 'a') + "\"}";
  const std::string parts = part + "," + part + "," + part;
  write_file(folder / "tokenizer.json",
             tokenizer_json(R"("normalizer":{"type":"Sequence","normalizers":[)" + parts + "]}"));
  EXPECT_THROW(open_tokenizer(folder.path())->encode("a"), Error);
}

}  // namespace
}  // namespace ocelli
