#include "ocelli/models/trainable.h"

#include <cstring>

#include "ocelli/base/file.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/nn/init.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

constexpr float kHeadDeviation = 0.02f;

bool learns(std::string_view name, const Tensor& tensor) {
  return tensor.dtype() == DType::f32 && !name.ends_with("running_mean") &&
         !name.ends_with("running_var");
}

}  // namespace

TrainableModel::TrainableModel(ModelFolder folder)
    : folder_(std::move(folder)), family_(&find_family(folder_)) {
  check(!folder_.quantization, "{} is quantised; train the original", folder_.path.string());
  const NoTape pause;
  name_towers();
  for (const TensorInfo& info : folder_.checkpoint->tensors()) {
    if (folder_.is_of_tower(info.name)) continue;
    const Tensor stored = folder_.checkpoint->load(info.name);
    const Tensor tensor = is_floating_point(stored.dtype()) ? to(stored, DType::f32) : stored;
    tensors_[info.name] = clone(tensor);  // memory of its own
    folder_.checkpoint->release(info.name);
  }
  take_tensors();
}

// A checkpoint lies elsewhere than the folder that its towers were relative to.
void TrainableModel::name_towers() {
  if (folder_.towers.empty()) return;
  nlohmann::json config = folder_.config.json();
  for (const auto& [field, prefix] : kTowerFolders) {
    const auto tower = folder_.towers.find(prefix);
    if (tower == folder_.towers.end()) continue;
    config[field] = std::filesystem::weakly_canonical(tower->second->path).string();
  }
  folder_.config = Config(std::move(config), folder_.config.place());
}

void TrainableModel::take_tensors() {
  parameters_.clear();
  for (const auto& [name, tensor] : tensors_) {
    if (learns(name, tensor)) parameters_.push_back(name);
  }
  folder_.checkpoint = std::make_shared<MemorySource>(tensors_, folder_.checkpoint->path());
}

const Tensor& TrainableModel::tensor(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    fail(ErrorCode::not_found, "{}: tensor {} is missing", folder_.checkpoint->path(), name);
  }
  return found->second;
}

std::string TrainableModel::name_of(std::string_view name) const {
  const Weights::Rename rename = family_->rename(folder_);
  for (const auto& [stored, tensor] : tensors_) {
    if ((rename ? rename(stored) : stored) == name) return stored;
  }
  return {};
}

bool TrainableModel::set_classes(const std::vector<std::string>& labels, uint64_t seed) {
  if (read_labels(folder_) == labels) return false;
  const auto count = static_cast<int64_t>(labels.size());
  bool found = false;
  for (const char* head : {"head", "head_dist", "classifier"}) {
    const std::string weight = name_of(fmt::format("{}.weight", head)),
                      bias = name_of(fmt::format("{}.bias", head));
    if (weight.empty()) continue;
    Rng rng(seed);
    tensors_[weight] = random_normal({count, tensor(weight).size(1)}, kHeadDeviation, rng);
    if (!bias.empty()) tensors_[bias] = Tensor::zeros({count});
    found = true;
  }
  if (!found) {
    fail(ErrorCode::unsupported, "{}: the model has no classifier that could learn other classes",
         folder_.path.string());
  }
  set_labels(labels);
  take_tensors();
  return true;
}

// As transformers' configurations name classes, or timm's; weights alone get a configuration that
// says nothing else.
void TrainableModel::set_classifier(const std::vector<std::string>& labels, const Tensor& weight,
                                    const Tensor& bias) {
  set_classes(labels, 0);
  for (const char* head : {"head", "classifier"}) {
    const std::string stored_weight = name_of(fmt::format("{}.weight", head)),
                      stored_bias = name_of(fmt::format("{}.bias", head));
    if (stored_weight.empty() || stored_bias.empty() || !name_of("head_dist.weight").empty() ||
        tensor(stored_weight).size(1) != weight.size(1))
      continue;
    tensors_[stored_weight] = clone(weight);
    tensors_[stored_bias] = clone(bias);
    return take_tensors();
  }
  fail(ErrorCode::unsupported, "{}: the model has no classifier of {} features",
       folder_.path.string(), weight.size(1));
}

void TrainableModel::set_labels(const std::vector<std::string>& labels) {
  nlohmann::json config = folder_.config ? folder_.config.json() : nlohmann::json::object();
  if (folder_.config.has("model_type")) {
    config["id2label"] = config["label2id"] = nlohmann::json::object();
    for (size_t i = 0; i < labels.size(); ++i) {
      config["id2label"][std::to_string(i)] = labels[i];
      config["label2id"][labels[i]] = i;
    }
  } else {
    config["num_classes"] = labels.size();
    config["label_names"] = labels;
    if (config.contains("model_args") && config["model_args"].contains("num_classes")) {
      config["model_args"]["num_classes"] = labels.size();
    }
  }
  folder_.config = Config(std::move(config), folder_.config.place());
}

void TrainableModel::watch(Tape& tape) const {
  for (const std::string& name : parameters_) tape.watch(tensor(name));
}

std::unique_ptr<Model> TrainableModel::build() const {
  return family_->load(folder_, Weights(folder_.checkpoint, {.rename = family_->rename(folder_)}));
}

std::string TrainableModel::checkpoint_name() const {
  return folder_.open_clip ? "open_clip_model.safetensors" : "model.safetensors";
}

void TrainableModel::save(const std::filesystem::path& folder) const {
  copy_model_texts(folder_.path, folder);
  if (folder_.config) write_file(folder / "config.json", folder_.config.json().dump(2) + "\n");
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : tensors_) tensors.push_back({name, tensor});
  write_safetensors(folder / checkpoint_name(), tensors, {{"format", "pt"}});
}

void TrainableModel::load(const std::filesystem::path& folder) {
  const Safetensors stored(folder / checkpoint_name());
  for (const TensorInfo& info : stored.tensors()) {
    const auto found = tensors_.find(info.name);
    if (found == tensors_.end() || found->second.shape() != info.shape) {
      fail(ErrorCode::corrupt_data, "{}: the tensor {} of {} is not one of the model in training",
           stored.path(), info.name, info.shape);
    }
  }
  for (auto& [name, tensor] : tensors_) {
    const Tensor value = contiguous(stored.load(name));
    if (value.nbytes() > 0) std::memcpy(tensor.raw(), value.raw(), value.nbytes());
  }
}

}  // namespace ocelli
