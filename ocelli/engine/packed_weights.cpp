#include "ocelli/engine/packed_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "ocelli/backend/cpu/cpu.h"
#include "ocelli/models/folder.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using backend::PackedLinear;
using backend::Precision;

constexpr char kName[] = "packed.safetensors", kVersion[] = "1";
constexpr uintptr_t kAlignment = 64;  // of a vector

// The tensors of a packed weight, by their last name in the file.
template <class Weight, class F>
void for_each_tensor(Weight& w, const F& visit) {
  visit("panels", w.panels);
  visit("bias", w.bias);
  visit("steps", w.steps);
  visit("sums", w.sums);
  visit("group_steps", w.group_steps);
}

std::string name_in_file(size_t index, const std::string& tensor) {
  return fmt::format("{}.{}", index, tensor);
}

Tensor aligned(const Tensor& tensor) {
  if (reinterpret_cast<uintptr_t>(tensor.raw()) % kAlignment == 0) return tensor;
  const Tensor copy = Tensor::empty(tensor.shape(), tensor.dtype());
  std::memcpy(copy.raw(), tensor.raw(), tensor.nbytes());
  return copy;
}

// What pack_linear would make for the fields that are known; its tensors are undefined where the
// weight has none.
struct Layout {
  Shape panels;
  DType type = DType::f32;
  int64_t columns = 0;  // of all panels
  Shape group_steps = {0};
};

Layout layout_of(const PackedLinear& w) {
  const int64_t count = (w.n + w.panel - 1) / w.panel;
  Layout layout{.panels = {count, w.words, w.panel}, .columns = count * w.panel};
  if (w.group) {
    layout.panels = {count, (w.k + 1) / 2, w.panel};
    layout.type = DType::u8;
    layout.group_steps = {count, (w.k + w.group - 1) / w.group, w.panel};
  }
  return layout;
}

std::shared_ptr<PackedLinear> read_weight(const Safetensors& file, size_t index,
                                          const Config& entry) {
  const auto bad = [&](const std::string& what) {
    fail(ErrorCode::corrupt_data, "{}: weight {} {}", file.path(), index, what);
  };
  const auto name = entry.require<std::string>("precision");
  const auto precision = backend::parse_precision(name);
  if (!precision || *precision == Precision::int4) bad("has no precision of products");
  constexpr int64_t kMost = int64_t{1} << 30;
  const auto n = entry.require<int64_t>("n"), k = entry.require<int64_t>("k");
  if (n < 1 || k < 1 || n > kMost || k > kMost) bad("has no shape");
  auto w = std::make_shared<PackedLinear>(backend::unpacked(*precision, 0, k));
  w->n = n;
  w->group = entry.get<int64_t>("group", 0);
  if (w->group != 0 && w->group != 32 && w->group != 128) bad("has no group of int4");
  w->input = {entry.get<float>("low", 0), entry.get<float>("step", 0)};
  if (!std::isfinite(w->input.low) || !std::isfinite(w->input.step)) bad("has no range of inputs");
  if (entry.get<bool>("inner_bf16", false)) w->inner = DType::bf16;
  const auto has = [&](const std::string& tensor) {
    return std::ranges::any_of(file.tensors(), [&](const TensorInfo& info) {
      return info.name == name_in_file(index, tensor);
    });
  };
  for_each_tensor(*w, [&](const char* tensor, Tensor& into) {
    into = has(tensor) ? aligned(file.load(name_in_file(index, tensor))) : Tensor();
  });
  const Layout layout = layout_of(*w);
  const auto fits = [](const Tensor& t, const Shape& shape, DType type) {
    return t.defined() && t.shape() == shape && t.dtype() == type;
  };
  const auto vector = [&](const Tensor& t, bool needed) {
    return t.defined() ? fits(t, {layout.columns}, DType::f32) : !needed;
  };
  const bool bytes = *precision == Precision::int8;
  if (!fits(w->panels, layout.panels, layout.type)) bad("has panels of another size");
  if (!vector(w->bias, false) || !vector(w->steps, bytes) || !vector(w->sums, bytes))
    bad("has vectors of another size");
  if (w->group && !fits(w->group_steps, layout.group_steps, DType::bf16))
    bad("has steps of another size");
  w->count_bytes();
  return w;
}

}  // namespace

std::shared_ptr<const PackedWeights> open_packed(const fs::path& folder,
                                                 const std::function<PackedFor()>& wanted) {
  const fs::path weights = folder / "model.safetensors";
  if (!fs::exists(folder / kName) || !fs::exists(weights)) return nullptr;
  if (fs::last_write_time(weights) > fs::last_write_time(folder / kName)) return nullptr;
  const Safetensors file(folder / kName);
  const auto& metadata = file.metadata();
  const auto text = [&](const char* key) {
    const auto entry = metadata.find(key);
    return entry == metadata.end() ? std::string() : entry->second;
  };
  const PackedFor made_for{text("isa"), text("precision"), text("fingerprint")};
  if (text("packed") != kVersion || made_for != wanted()) return nullptr;
  return std::make_shared<PackedWeights>(file, text("weights"));
}

PackedWeights::PackedWeights(const Safetensors& file, const std::string& weights) {
  const auto json = nlohmann::json::parse(weights, nullptr, false);
  if (!json.is_array())
    fail(ErrorCode::corrupt_data, "{}: its metadata lists no weights", file.path());
  for (size_t i = 0; i < json.size(); ++i) {
    const Config entry(json[i], file.path());
    const auto names = entry.require<std::vector<std::string>>("names");
    packed_[names] = read_weight(file, i, entry);
  }
}

backend::PackedPtr PackedWeights::find(const std::vector<std::string>& names) const {
  const auto entry = packed_.find(names);
  return entry == packed_.end() ? nullptr : entry->second;
}

void PackedWriter::keep(const std::vector<std::string>& names, const backend::Packed& packed) {
  const auto* w = dynamic_cast<const PackedLinear*>(&packed);
  if (!w) return;
  const size_t index = weights_.size();
  nlohmann::json entry = {{"names", names},
                          {"n", w->n},
                          {"k", w->k},
                          {"precision", backend::precision_name(w->precision)},
                          {"inner_bf16", w->inner == DType::bf16}};
  if (w->group) entry["group"] = w->group;
  if (w->input.step > 0) {
    entry["low"] = w->input.low;
    entry["step"] = w->input.step;
  }
  weights_.push_back(std::move(entry));
  for_each_tensor(*w, [&](const char* tensor, const Tensor& t) {
    if (t.defined()) tensors_.push_back({name_in_file(index, tensor), t});
  });
}

int64_t PackedWriter::write(const fs::path& folder, const PackedFor& made_for) const {
  if (tensors_.empty())
    fail(ErrorCode::unsupported, "{}: the model has no linear layers to pack", folder.string());
  write_safetensors(folder / kName, tensors_,
                    {{"packed", kVersion},
                     {"isa", made_for.isa},
                     {"precision", made_for.precision},
                     {"fingerprint", made_for.fingerprint},
                     {"weights", weights_.dump()}});
  int64_t bytes = 0;
  for (const NamedTensor& one : tensors_) bytes += static_cast<int64_t>(one.tensor.nbytes());
  return bytes;
}

}  // namespace ocelli
