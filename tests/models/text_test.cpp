// From text to embedding: the goldens with a tokenizer in their folder and texts.json beside it
// must give the ids that their library gives, and the embeddings (tools/goldens/tokens.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/registry.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/text/tokenizer.h"
#include "tests/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> text_cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kGoldens)) {
    if (fs::exists(entry.path() / "texts.json")) names.push_back(entry.path().filename());
  }
  return names;
}

std::unique_ptr<Model> open_golden(const fs::path& path) {
  const bool open_clip = fs::exists(path / "open_clip_model.safetensors");
  const ModelFolder folder =
      ModelFolder::open(path / (open_clip ? "open_clip_model.safetensors" : "model.safetensors"));
  const Family& family = find_family(folder);
  return family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
}

TokenBatch tokens_of(const fs::path& path, BatchOptions options) {
  const auto texts =
      nlohmann::json::parse(read_file(path / "texts.json")).get<std::vector<std::string>>();
  return open_tokenizer(path)->encode_batch(texts, options);
}

class TextToEmbedding : public testing::TestWithParam<std::string> {};

TEST_P(TextToEmbedding, EqualsTheReferenceLibrary) {
  const fs::path path = kGoldens / GetParam();
  const Safetensors expected(path / "expected.safetensors");
  const auto model = open_golden(path);
  const TextFormat format = model->text_format();
  TokenBatch tokens = tokens_of(path, {.context_length = format.context_length});
  const Tensor ids = contiguous(to(expected.load("text.ids"), DType::i32));
  ASSERT_EQ(tokens.ids.shape(), ids.shape());
  for (int64_t i = 0; i < ids.numel(); ++i) {
    EXPECT_EQ(tokens.ids.data<int32_t>()[i], ids.data<int32_t>()[i]) << "token " << i;
  }
  // As the engine asks for them: no longer than the answer needs.
  tokens = tokens_of(
      path, {.context_length = format.context_length, .pad_to_longest = !format.pad_to_length});
  const Tensor embedding = contiguous(model->embed_text(tokens.ids, to(tokens.mask, DType::u8)));
  const Tensor wanted = contiguous(expected.load("text.text_embedding"));
  ASSERT_EQ(embedding.shape(), wanted.shape());
  for (int64_t i = 0; i < wanted.numel(); ++i) {
    EXPECT_NEAR(embedding.data<float>()[i], wanted.data<float>()[i], 1e-5) << "number " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Case, TextToEmbedding, testing::ValuesIn(text_cases()),
                         [](const auto& c) { return c.param; });

}  // namespace
}  // namespace ocelli
