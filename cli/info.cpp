#include <fmt/format.h>

#include <cmath>

#include "cli/common.h"
#include "ocelli/hub/resolve.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"

namespace ocelli::cli {
namespace {

double forward_gflops(const Model& model) {
  const auto [height, width] = model.native_size();
  const FlopCounter counter;
  const Tensor pixels = Tensor::zeros({1, height, width, 3});
  model.has_classifier() ? model.classify(pixels) : model.embed_image(pixels);
  return counter.total() / 1e9;
}

// Names of the tensors that hold NaN or infinity.
std::vector<std::string> find_not_finite(const TensorSource& checkpoint) {
  std::vector<std::string> bad;
  for (const TensorInfo& info : checkpoint.tensors()) {
    throw_if_cancelled();
    if (info.dtype != DType::f32 && info.dtype != DType::f16 && info.dtype != DType::bf16) continue;
    const Tensor values = to(checkpoint.load(info.name), DType::f32);
    for (const float value : values.values<float>()) {
      if (!std::isfinite(value)) {
        bad.push_back(info.name);
        break;
      }
    }
    checkpoint.release(info.name);
  }
  return bad;
}

struct Info {
  bool tensors = false, check = false;
};

void run(const Info& options, Common& common) {
  if (options.check) {
    const auto folder =
        ModelFolder::open(hub::resolve(common.model, hub::Settings::from_environment()));
    if (const auto bad = find_not_finite(*folder.checkpoint); !bad.empty()) {
      fail(ErrorCode::corrupt_data, "{}: NaN or infinity in {} tensors, the first of them {}",
           folder.checkpoint->path(), bad.size(), bad[0]);
    }
  }
  const auto opened = open_model(
      common.model,
      {.precision = common.precision, .strict = common.strict, .tolerate_missing = true});
  const Model& model = *opened->model;
  const auto [height, width] = model.native_size();
  nlohmann::ordered_json json = {
      {"model", opened->name},
      {"family", opened->family->name},
      {"path", opened->folder.checkpoint->path()},
      {"type", opened->folder.type()},
      {"input", {height, width}},
      {"embedding", model.embedding_size()},
      {"depth", model.depth()},
      {"classes", model.labels().size()},
      {"text", model.has_text()},
      {"parameters", opened->parameters},
      {"gflops", forward_gflops(model)},
      {"missing", opened->weights.missing},
      {"unused", opened->weights.unused},
  };
  if (options.tensors) {
    for (const TensorInfo& info : opened->folder.checkpoint->tensors()) {
      json["tensors"].push_back(
          {{"name", info.name},
           {"dtype", fmt::format("{}", info.dtype)},
           {"shape", std::vector<int64_t>(info.shape.begin(), info.shape.end())}});
    }
  }
  if (common.json) return print_json(json);
  for (const auto& [key, value] : json.items()) {
    if (key == "tensors") continue;
    fmt::print("{:<11} {}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  if (options.tensors) {
    for (const auto& tensor : json["tensors"])
      fmt::print("  {:<5} {:<20} {}\n", tensor["dtype"].get<std::string>(), tensor["shape"].dump(),
                 tensor["name"].get<std::string>());
  }
}

}  // namespace

void add_info(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("info", "Say what a model is");
  auto options = std::make_shared<Info>();
  command->add_option("model", common.model, "Folder, checkpoint file, hub id or 'default'");
  command->add_flag("--tensors", options->tensors, "List the tensors");
  command->add_flag("--check", options->check, "Look for NaN and infinity in the weights");
  command->add_flag("--strict", common.strict, "Unused tensors are an error");
  common.add_output(*command);
  command->callback([options, &common] { run(*options, common); });
}

}  // namespace ocelli::cli
