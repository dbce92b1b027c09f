#include "ocelli/models/trainable.h"

#include "ocelli/formats/memory_source.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

bool learns(std::string_view name, const Tensor& tensor) {
  return tensor.dtype() == DType::f32 && !name.ends_with("running_mean") &&
         !name.ends_with("running_var");
}

}  // namespace

TrainableModel::TrainableModel(ModelFolder folder)
    : folder_(std::move(folder)), family_(&find_family(folder_)) {
  const NoTape pause;
  for (const TensorInfo& info : folder_.checkpoint->tensors()) {
    const Tensor stored = folder_.checkpoint->load(info.name);
    const Tensor tensor = is_floating_point(stored.dtype()) ? to(stored, DType::f32) : stored;
    tensors_[info.name] = clone(tensor);  // memory of its own
    folder_.checkpoint->release(info.name);
  }
  take_tensors();
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

void TrainableModel::set(const std::string& name, const Tensor& tensor) {
  tensors_[name] = tensor;
  take_tensors();
}

void TrainableModel::watch(Tape& tape) const {
  for (const std::string& name : parameters_) tape.watch(tensor(name));
}

std::unique_ptr<Model> TrainableModel::build() const {
  return family_->load(folder_, Weights(folder_.checkpoint, {.rename = family_->rename(folder_)}));
}

}  // namespace ocelli
