// What a user sees when a model folder is not as it should be.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "ocelli/base/file.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/models/registry.h"
#include "ocelli/tensor/convert.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(OCELLI_SOURCE_DIR) / "tests" / "goldens" / "vit_hf_classifier";

class Loading : public testing::Test {
 protected:
  void SetUp() override {
    const Safetensors source(kGolden / "model.safetensors");
    for (const TensorInfo& info : source.tensors())
      tensors_.push_back({info.name, source.load(info.name)});
    config_ = nlohmann::json::parse(read_file(kGolden / "config.json"));
  }

  NamedTensor& find(const std::string& name) {
    for (NamedTensor& t : tensors_) {
      if (t.name == name) return t;
    }
    throw std::runtime_error("no " + name);
  }

  WeightsReport load(bool tolerate = false) {
    write_safetensors(folder_ / "model.safetensors", tensors_);
    write_file(folder_ / "config.json", config_.dump());
    const ModelFolder folder = ModelFolder::open(folder_);
    const Family& family = find_family(folder);
    const Weights weights(folder.checkpoint,
                          {.rename = family.rename(folder), .tolerate_missing = tolerate});
    family.load(folder, weights);
    return weights.report();
  }

  void expect_error(ErrorCode code, const std::vector<std::string>& parts) {
    try {
      load();
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << error.what() << "\nlacks " << part;
      }
    }
  }

  TempFolder temp_;
  const fs::path folder_ = temp_.path();
  std::vector<NamedTensor> tensors_;
  nlohmann::json config_;
};

TEST_F(Loading, WholeModelLoads) {
  EXPECT_TRUE(load().unused.empty());
}

TEST_F(Loading, MissingTensorIsNamed) {
  std::erase_if(tensors_, [](const NamedTensor& t) {
    return t.name == "vit.encoder.layer.1.layernorm_after.bias";
  });
  expect_error(ErrorCode::not_found, {"model.safetensors", "blocks.1.norm2.bias", "[32]"});
  EXPECT_EQ(load(true).missing, std::vector<std::string>{"blocks.1.norm2.bias"});
}

TEST_F(Loading, ExtraTensorIsReported) {
  tensors_.push_back({"vit.encoder.layer.0.extra", Tensor::zeros({3})});
  EXPECT_EQ(load().unused, std::vector<std::string>{"vit.encoder.layer.0.extra"});
}

TEST_F(Loading, WrongShapeNamesTensorAndBothShapesAndFile) {
  find("vit.encoder.layer.0.output.dense.weight").tensor = Tensor::zeros({32, 47});
  expect_error(
      ErrorCode::corrupt_data,
      {"model.safetensors", "vit.encoder.layer.0.output.dense.weight", "[32, 47]", "[32, 48]"});
}

TEST_F(Loading, MissingFieldIsNamed) {
  config_.erase("num_attention_heads");
  expect_error(ErrorCode::corrupt_data, {"config.json", "'num_attention_heads' is missing"});
}

TEST_F(Loading, FieldOfTheWrongTypeIsNamed) {
  config_["num_attention_heads"] = "two";
  expect_error(ErrorCode::corrupt_data, {"config.json", "num_attention_heads", "wrong type"});
}

TEST_F(Loading, NumbersThatAreNoWholeOnesOrTooLargeAreNamed) {
  for (const nlohmann::json& wrong :
       {nlohmann::json(9.3e19), nlohmann::json(2.5), nlohmann::json(UINT64_MAX)}) {
    config_["num_attention_heads"] = wrong;
    expect_error(ErrorCode::corrupt_data,
                 {"config.json", "num_attention_heads", wrong.dump(), "wrong type"});
  }
  config_["num_attention_heads"] = 2.0;
  EXPECT_TRUE(load().unused.empty());
}

TEST_F(Loading, ContradictorySizesAreNamed) {
  config_["hidden_size"] = 64;
  expect_error(ErrorCode::corrupt_data, {"config.json", "'hidden_size' is 64", "32"});
  config_["hidden_size"] = 32;
  config_["num_attention_heads"] = 5;
  expect_error(ErrorCode::corrupt_data, {"5 heads", "32"});
}

TEST_F(Loading, UnknownModelListsWhatIsSupported) {
  config_["model_type"] = "resnet9000";
  expect_error(ErrorCode::unsupported,
               {"resnet9000", "vit (", "clip (", "siglip (", "efficientnet ("});
}

TEST_F(Loading, DamagedConfigIsNamed) {
  load();
  write_file(folder_ / "config.json", "{\"model_type\": ");
  EXPECT_THROW(ModelFolder::open(folder_), Error);
}

class Sentences : public testing::Test {
 protected:
  Sentences() {
    const fs::path golden = kGolden.parent_path() / "bert_sentence_mean";
    copy_model_texts(golden, folder_);
    fs::copy(golden / "model.safetensors", folder_ / "model.safetensors");
  }

  std::string error() const {
    try {
      const ModelFolder folder = ModelFolder::open(folder_);
      find_family(folder).load(folder, Weights(folder.checkpoint));
      return {};
    } catch (const Error& error) {
      return error.what();
    }
  }

  TempFolder temp_;
  const fs::path folder_ = temp_.path();
};

TEST_F(Sentences, TextsAreCopiedWithTheirModules) {
  EXPECT_EQ(error(), "");
}

TEST_F(Sentences, MissingPoolingIsNamed) {
  fs::remove(folder_ / "1_Pooling/config.json");
  EXPECT_NE(error().find("1_Pooling/config.json"), std::string::npos) << error();
}

TEST_F(Sentences, TheirLengthIsLeftToAProjection) {
  const auto length = [&](bool is_tower) {
    ModelFolder folder = ModelFolder::open(folder_);
    folder.is_tower = is_tower;
    const auto model = find_family(folder).load(folder, Weights(folder.checkpoint));
    const Tensor ids = to(Tensor::full({1, 4}, 2), DType::i32);
    float sum = 0;
    for (const float x : contiguous(model->embed_text(ids, {})).values<float>()) sum += x * x;
    return std::sqrt(sum);
  };
  EXPECT_NEAR(length(false), 1, 1e-5);
  EXPECT_GT(length(true), 1.5);
}

TEST_F(Sentences, OtherPoolingIsRefused) {
  write_file(folder_ / "1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  EXPECT_NE(error().find("pooling_mode_max_tokens"), std::string::npos) << error();
}

TEST_F(Sentences, OtherModulesAreRefused) {
  write_file(folder_ / "modules.json",
             R"([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])");
  EXPECT_NE(error().find("Dense"), std::string::npos) << error();
}

TEST_F(Sentences, ModulesStayInTheFolder) {
  write_file(folder_ / "modules.json",
             R"([{"type": "sentence_transformers.models.Pooling", "path": "../1_Pooling"}])");
  EXPECT_NE(error().find("leads out"), std::string::npos) << error();
}

}  // namespace
}  // namespace ocelli
