#include "ocelli/models/trainable.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ocelli/base/file.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/nn/init.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

constexpr float kHeadDeviation = 0.02f;
constexpr uint64_t kLoraStream = 1;  // of random numbers
constexpr char kLoraFile[] = "lora.safetensors";
// As transformers, DINOv3, timm and Meta, and open_clip call them.
constexpr const char* kQueriesAndValues[] = {"*query.weight",    "*value.weight",
                                             "*q_proj.weight",   "*v_proj.weight",
                                             "*attn.qkv.weight", "*attn.in_proj_weight"};

bool learns(std::string_view name, const Tensor& tensor) {
  return tensor.dtype() == DType::f32 && !is_running_statistic(name);
}

void copy_into(const Tensor& tensor, const Tensor& stored) {
  const Tensor value = contiguous(stored);
  if (value.nbytes() > 0) std::memcpy(tensor.raw(), value.raw(), value.nbytes());
}

}  // namespace

bool is_running_statistic(std::string_view name) {
  return name.ends_with("running_mean") || name.ends_with("running_var");
}

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
  if (const auto lora = lora_.find(name); lora != lora_.end()) return lora->second;
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

std::vector<std::string> TrainableModel::classifier() const {
  std::vector<std::string> names;
  for (const char* head : {"head", "head_dist", "classifier"}) {
    const std::string weight = name_of(fmt::format("{}.weight", head)),
                      bias = name_of(fmt::format("{}.bias", head));
    if (weight.empty()) continue;
    names.push_back(weight);
    if (!bias.empty()) names.push_back(bias);
  }
  return names;
}

bool TrainableModel::set_classes(const std::vector<std::string>& labels, uint64_t seed) {
  if (read_labels(folder_) == labels) return false;
  const auto count = static_cast<int64_t>(labels.size());
  const std::vector<std::string> names = classifier();
  for (const std::string& name : names) {
    if (tensor(name).rank() == 1) {
      tensors_[name] = Tensor::zeros({count});
      continue;
    }
    Rng rng(seed);
    tensors_[name] = random_normal({count, tensor(name).size(1)}, kHeadDeviation, rng);
  }
  if (names.empty()) {
    fail(ErrorCode::unsupported, "{}: the model has no classifier that could learn other classes",
         folder_.path.string());
  }
  set_labels(labels);
  take_tensors();
  return true;
}

void TrainableModel::set_classifier(const std::vector<std::string>& labels, const Tensor& weight,
                                    const Tensor& bias) {
  set_classes(labels, 0);
  const std::vector<std::string> names = classifier();
  if (names.size() != 2 || tensor(names[1]).rank() != 1 ||
      tensor(names[0]).size(1) != weight.size(1)) {
    fail(ErrorCode::unsupported, "{}: the model has no classifier of {} features",
         folder_.path.string(), weight.size(1));
  }
  tensors_[names[0]] = clone(weight);
  tensors_[names[1]] = clone(bias);
  take_tensors();
}

void TrainableModel::replace(const std::string& name, const Tensor& value) {
  tensor(name);  // throws where there is none
  tensors_[name] = clone(value);
  take_tensors();
}

// As transformers' configurations name classes, or timm's; weights alone get a configuration that
// says nothing else.
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

void TrainableModel::add_lora(const LoraOptions& options, uint64_t seed) {
  const std::vector<std::string> head = classifier();
  std::vector<std::string> patterns = options.targets;
  if (patterns.empty()) patterns.assign(std::begin(kQueriesAndValues), std::end(kQueriesAndValues));
  for (const std::string& pattern : patterns) {
    const size_t before = lora_targets_.size();
    for (const std::string& name : parameters_) {
      const bool matches = ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
      if (!matches || tensor(name).rank() != 2 || std::ranges::count(head, name) > 0) continue;
      lora_targets_.push_back(name);
    }
    check(options.targets.empty() || lora_targets_.size() > before,
          "lora.targets: no matrix matches '{}'; tensors are called {} and so on", pattern,
          parameters_.empty() ? "" : parameters_[0]);
  }
  if (lora_targets_.empty()) {
    fail(ErrorCode::unsupported,
         "{}: no query or value of an attention is known; name matrices in lora.targets",
         folder_.path.string());
  }
  std::ranges::sort(lora_targets_);
  lora_targets_.erase(std::unique(lora_targets_.begin(), lora_targets_.end()), lora_targets_.end());
  lora_scale_ = static_cast<float>(options.alpha / static_cast<double>(options.rank));
  parameters_ = head;
  Rng rng(seed, kLoraStream);
  for (const std::string& name : lora_targets_) {
    const int64_t out = tensor(name).size(0), in = tensor(name).size(1);
    const Tensor a = Tensor::empty({options.rank, in});
    // Kaiming's uniform numbers with a = sqrt(5), as peft draws them.
    const float bound = 1 / std::sqrt(static_cast<float>(in));
    for (float& x : a.values<float>()) x = bound * (2 * rng.uniform() - 1);
    lora_[name + ".lora_A"] = a;
    lora_[name + ".lora_B"] = Tensor::zeros({out, options.rank});
  }
  for (const auto& [name, tensor] : lora_) parameters_.push_back(name);
  std::ranges::sort(parameters_);
}

std::map<std::string, Tensor, std::less<>> TrainableModel::merged() const {
  auto tensors = tensors_;
  for (const std::string& name : lora_targets_) {
    Tensor& weight = tensors.at(name);
    weight = weight + matmul(tensor(name + ".lora_B"), tensor(name + ".lora_A"), lora_scale_);
  }
  return tensors;
}

void TrainableModel::watch(Tape& tape) const {
  for (const std::string& name : parameters_) tape.watch(tensor(name));
}

std::unique_ptr<Model> TrainableModel::build() const {
  std::shared_ptr<const TensorSource> source = folder_.checkpoint;
  if (!lora_.empty()) source = std::make_shared<MemorySource>(merged(), source->path());
  return family_->load(folder_, Weights(source, {.rename = family_->rename(folder_)}));
}

std::string TrainableModel::checkpoint_name() const {
  return folder_.open_clip ? "open_clip_model.safetensors" : "model.safetensors";
}

void TrainableModel::save(const std::filesystem::path& folder) const {
  copy_model_texts(folder_.path, folder);
  if (folder_.config) write_file(folder / "config.json", folder_.config.json().dump(2) + "\n");
  const std::filesystem::path processor = "preprocessor_config.json";
  if (folder_.processor && folder_.processor.place() != folder_.path / processor) {  // not copied
    write_file(folder / processor, folder_.processor.json().dump(2) + "\n");
  }
  if (!lora_.empty()) {
    std::filesystem::create_directories(folder / "training");
    std::vector<NamedTensor> factors;
    for (const auto& [name, tensor] : lora_) factors.push_back({name, tensor});
    write_safetensors(folder / "training" / kLoraFile, factors, {{"format", "pt"}});
  }
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : merged()) tensors.push_back({name, tensor});
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
    // W is the one that the model began with; the file has the sum.
    if (!std::ranges::binary_search(lora_targets_, name)) copy_into(tensor, stored.load(name));
  }
  if (lora_.empty()) return;
  const Safetensors factors(folder / "training" / kLoraFile);
  for (auto& [name, tensor] : lora_) {
    const Tensor value = factors.load(name);
    if (value.shape() != tensor.shape()) {
      fail(ErrorCode::corrupt_data, "{}: the tensor {} is {}, but this rank needs {}",
           factors.path(), name, value.shape(), tensor.shape());
    }
    copy_into(tensor, value);
  }
}

std::vector<FixedWeights> TrainableModel::fixed_weights() const {
  std::vector<FixedWeights> fixed;
  std::map<std::string, Tensor, std::less<>> targets;
  for (const std::string& name : lora_targets_) targets[name] = tensor(name);
  if (!targets.empty()) fixed.push_back({folder_.path, checksum(MemorySource(targets))});
  for (const auto& [prefix, tower] : folder_.towers) {
    fixed.push_back({tower->path, checksum(*tower->checkpoint)});
  }
  return fixed;
}

}  // namespace ocelli
