#include "ocelli/engine/describe.h"

#include "ocelli/engine/pipeline.h"
#include "ocelli/hub/resolve.h"
#include "ocelli/ops/flops.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

std::vector<std::string> find_not_finite(const TensorSource& checkpoint, const Progress& progress) {
  std::vector<std::string> found;
  int64_t done = 0;
  for (const TensorInfo& info : checkpoint.tensors()) {
    throw_if_cancelled();
    if (is_floating_point(info.dtype) && !is_finite(to(checkpoint.load(info.name), DType::f32))) {
      found.push_back(info.name);
    }
    checkpoint.release(info.name);
    if (progress) progress(++done, static_cast<int64_t>(checkpoint.tensors().size()));
  }
  return found;
}

CheckpointInfo checkpoint_info(const ModelFolder& folder) {
  CheckpointInfo info;
  info.path = folder.stored->path();
  info.layout = folder.layout();
  info.type = folder.type();
  info.tensors = folder.stored->tensors();
  for (const TensorInfo& tensor : info.tensors) {
    info.bytes += tensor.shape.numel() * static_cast<int64_t>(dtype_size(tensor.dtype));
  }
  for (const Config* config : {&folder.config, &folder.open_clip, &folder.processor}) {
    if (!*config) continue;
    info.config[std::filesystem::path(config->place()).filename().string()] = config->json();
  }
  return info;
}

ModelInfo model_info(const OpenModel& opened) {
  const Model& model = *opened.model;
  ModelInfo info;
  info.family = opened.family->name;
  info.accepts = opened.family->accepts;
  info.parameters = opened.parameters;
  info.embedding = model.embedding_size();
  info.depth = model.depth();
  info.precision = opened.precision;
  info.input = opened.input_size;
  info.labels = model.labels();
  info.weights = opened.weights;
  if (info.input[0] > 0) {
    const FlopCounter counter;
    const Tensor pixels = Tensor::zeros({1, info.input[0], info.input[1], 3});
    info.processor = opened.processor;
    if (model.has_classifier()) {
      info.classes = model.classify(pixels).size(1);
    } else {
      model.embed_image(pixels);
    }
    info.image_gflops = static_cast<double>(counter.total()) / 1e9;
  }
  if (model.has_text()) {
    const FlopCounter counter;
    info.context_length = model.text_format().context_length;
    const Tensor ids = Tensor::zeros({1, info.context_length}, DType::i32);
    const Tensor mask = Tensor::zeros({1, info.context_length}, DType::u8);
    std::ranges::fill(mask.values<uint8_t>(), 1);
    model.embed_text(ids, mask);
    info.text_gflops = static_cast<double>(counter.total()) / 1e9;
  }
  return info;
}

}  // namespace

Description describe(const std::string& argument, const DescribeOptions& options) {
  Description description;
  description.name = argument;
  const auto settings = hub::Settings::from_environment();
  const auto path = hub::resolve(argument, settings, options.open.progress);
  const ModelFolder folder = ModelFolder::open(path);
  description.checkpoint = checkpoint_info(folder);
  if (options.check) {
    description.checkpoint.not_finite = find_not_finite(*folder.stored, options.progress);
  }
  try {
    OpenOptions open = options.open;
    open.tolerate_missing = true;
    description.model = model_info(*open_model(path.string(), open));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::cancelled) throw;
    description.problem = error;
  }
  return description;
}

}  // namespace ocelli
