#include "ocelli/nn/weights.h"

#include <map>
#include <set>

#include "ocelli/nn/init.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

struct Weights::State {
  std::shared_ptr<const TensorSource> source;  // null: initialise
  std::map<std::string, TensorInfo> tensors;   // by the family's name; info holds the file's
  Options options;
  uint64_t seed = 0;
  std::set<std::string> used, missing, ignored;
  int64_t parameters = 0;
};

Weights::Weights(std::shared_ptr<State> state, std::string prefix)
    : state_(std::move(state)), prefix_(std::move(prefix)) {}

Weights::Weights(std::shared_ptr<const TensorSource> source)
    : Weights(std::move(source), Options{}) {}

Weights::Weights(std::shared_ptr<const TensorSource> source, Options options)
    : state_(std::make_shared<State>()) {
  state_->source = std::move(source);
  state_->options = std::move(options);
  for (const TensorInfo& info : state_->source->tensors()) {
    const std::string name = state_->options.rename ? state_->options.rename(info.name) : info.name;
    if (name.empty()) continue;
    const auto [entry, inserted] = state_->tensors.emplace(name, info);
    if (!inserted) {
      fail(ErrorCode::corrupt_data, "{}: tensors {} and {} are both {}", state_->source->path(),
           entry->second.name, info.name, name);
    }
  }
}

Weights Weights::random(uint64_t seed) {
  auto state = std::make_shared<State>();
  state->seed = seed;
  return {std::move(state), ""};
}

std::string Weights::full(std::string_view name) const {
  return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
}

Weights Weights::operator/(std::string_view name) const {
  return {state_, full(name)};
}
Weights Weights::operator/(int64_t index) const {
  return *this / std::to_string(index);
}

namespace {

// FNV-1a: each tensor has a stream of its own, whatever the order of the calls.
uint64_t hash(const std::string& name) {
  uint64_t h = 14695981039346656037u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return h;
}

Tensor initialise(const std::string& name, const Shape& shape, uint64_t seed) {
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  if (ends("bias") || ends("running_mean")) return Tensor::zeros(shape);
  if (shape.rank() <= 1) return Tensor::full(shape, 1);
  Rng rng(seed, hash(name));
  return random_normal(shape, 0.02f, rng);
}

}  // namespace

Tensor Weights::get(std::string_view name, const Shape& shape) const {
  const std::string key = full(name);
  const auto entry = state_->tensors.find(key);
  if (entry != state_->tensors.end() && entry->second.shape != shape) {
    fail(ErrorCode::corrupt_data, "{}: tensor {} is {} but the model needs {}", entry->second.file,
         entry->second.name, entry->second.shape, shape);
  }
  if (entry != state_->tensors.end()) return get(name);
  state_->parameters += shape.numel();
  if (!state_->source) return initialise(key, shape, state_->seed);
  if (!state_->options.tolerate_missing) {
    fail(ErrorCode::not_found, "{}: tensor {} of shape {} is missing", path(), key, shape);
  }
  state_->missing.insert(key);
  return Tensor::zeros(shape);
}

Tensor Weights::get(std::string_view name) const {
  const std::string key = full(name);
  const auto entry = state_->tensors.find(key);
  if (entry == state_->tensors.end()) {
    fail(ErrorCode::not_found, "{}: tensor {} is missing", path(), key);
  }
  if (state_->used.insert(key).second) state_->parameters += entry->second.shape.numel();
  return to(state_->source->load(entry->second.name), DType::f32);
}

bool Weights::has(std::string_view name) const {
  return state_->tensors.contains(full(name));
}

bool Weights::exists() const {
  const std::string start = prefix_ + ".";
  const auto entry = state_->tensors.lower_bound(start);
  return entry != state_->tensors.end() && entry->first.starts_with(start);
}

std::optional<Shape> Weights::shape_of(std::string_view name) const {
  const auto entry = state_->tensors.find(full(name));
  if (entry == state_->tensors.end()) return std::nullopt;
  return entry->second.shape;
}

int64_t Weights::count(std::string_view name) const {
  int64_t n = 0;
  while ((*this / name / n).exists()) ++n;
  return n;
}

const backend::Backend& Weights::packer(std::string_view name) const {
  const auto entry = state_->tensors.find(full(name));
  if (!state_->options.packer || entry == state_->tensors.end()) return backend::current();
  return state_->options.packer(entry->second.name);
}

Weights::Names Weights::in_checkpoint(std::span<const std::string_view> names) const {
  Names result;
  for (const std::string_view name : names) {
    const auto entry = state_->tensors.find(full(name));
    if (entry != state_->tensors.end()) result.push_back(entry->second.name);
  }
  return result;
}

backend::PackedPtr Weights::packed(std::span<const std::string_view> names,
                                   const Shape& shape) const {
  if (!state_->options.packed) return nullptr;
  for (const std::string_view name : names) {
    if (shape_of(name) != shape) return nullptr;
  }
  backend::PackedPtr found = state_->options.packed(in_checkpoint(names));
  if (!found) return nullptr;
  for (const std::string_view name : names) {
    const std::string weight = full(name);
    for (const std::string& key :
         {weight, weight.substr(0, weight.size() - std::string_view("weight").size()) + "bias"}) {
      const auto entry = state_->tensors.find(key);
      if (entry != state_->tensors.end() && state_->used.insert(key).second)
        state_->parameters += entry->second.shape.numel();
    }
  }
  return found;
}

void Weights::keep(std::span<const std::string_view> names, const backend::Packed& packed) const {
  if (state_->options.keep) state_->options.keep(in_checkpoint(names), packed);
}

void Weights::ignore(std::string_view name) const {
  const std::string key = full(name), start = key + ".";
  for (const auto& [tensor, info] : state_->tensors) {
    if (tensor == key || tensor.starts_with(start)) state_->ignored.insert(tensor);
  }
}

void Weights::release(std::string_view name) const {
  const auto entry = state_->tensors.find(full(name));
  if (entry != state_->tensors.end()) state_->source->release(entry->second.name);
}

std::string Weights::path() const {
  return state_->source ? state_->source->path() : std::string("random weights");
}

WeightsReport Weights::report() const {
  WeightsReport report;
  report.missing.assign(state_->missing.begin(), state_->missing.end());
  for (const auto& [name, info] : state_->tensors) {
    if (!state_->used.contains(name) && !state_->ignored.contains(name)) {
      report.unused.push_back(info.name);
    }
  }
  return report;
}

int64_t Weights::parameter_count() const {
  return state_->parameters;
}

}  // namespace ocelli
