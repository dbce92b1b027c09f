#include "ocelli/engine/prompt_folder.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

constexpr const char *kContext = "context.safetensors", *kCache = "cache.safetensors",
                     *kCoop = "coop", *kTipAdapter = "tip_adapter", *kTipAdapterF = "tip_adapter_f";

class PromptFile {
 public:
  explicit PromptFile(const fs::path& path) : file_(path) {}

  std::string text(const std::string& key) const {
    const auto entry = file_.metadata().find(key);
    if (entry == file_.metadata().end()) {
      fail(ErrorCode::corrupt_data,
           "{}: the metadata has no '{}'; 'ocelli train prompts -o' writes it", file_.path(), key);
    }
    return entry->second;
  }

  float number(const std::string& key) const {
    const auto json = nlohmann::json::parse(text(key), nullptr, false);
    const float value = json.is_number() ? json.get<float>() : NAN;
    if (!std::isfinite(value)) {
      fail(ErrorCode::corrupt_data, "{}: '{}' in the metadata is '{}', no number", file_.path(),
           key, text(key));
    }
    return value;
  }

  std::vector<std::string> labels() const {
    const auto json = nlohmann::json::parse(text("classes"), nullptr, false);
    std::vector<std::string> labels;
    for (const auto& label : json) {
      if (label.is_string()) labels.push_back(label.get<std::string>());
    }
    if (!json.is_array() || labels.empty() || labels.size() != json.size()) {
      fail(ErrorCode::corrupt_data, "{}: 'classes' in the metadata is no list of names",
           file_.path());
    }
    return labels;
  }

  // [rows, columns] f32; without `rows` any number of them but none.
  Tensor matrix(const std::string& name, std::optional<int64_t> rows, int64_t columns) const {
    const Tensor tensor = file_.load(name);
    if (tensor.rank() != 2 || tensor.size(1) != columns ||
        (rows ? tensor.size(0) != *rows : tensor.size(0) == 0)) {
      fail(ErrorCode::corrupt_data, "{}: the tensor '{}' is {}, not [{}, {}]", file_.path(), name,
           tensor.shape(), rows ? std::to_string(*rows) : "N", columns);
    }
    const Tensor values = contiguous(to(tensor, DType::f32));
    if (!is_finite(values)) {
      fail(ErrorCode::corrupt_data, "{}: the tensor '{}' has NaN or infinity", file_.path(), name);
    }
    return values;
  }

  void check_model(const OpenModel& opened) const {
    const std::string own = fingerprint(opened);
    const std::string size = text("size");
    check(
        own == text("fingerprint"),
        "{}: learnt with the model {}{} (weights {}), not with {} at {}x{} (weights {}); use that "
        "one, or learn anew with 'ocelli train prompts'",
        file_.path(), text("model"), size.empty() ? "" : " at " + size, text("fingerprint"),
        opened.name, opened.input_size[0], opened.input_size[1], own);
  }

 private:
  Safetensors file_;
};

const char* file_name(std::string_view method) {
  return method == kCoop ? kContext : kCache;
}

std::string best_method(const fs::path& folder) {
  const Config report = read_config(folder / "report.json");
  std::string best;
  double most = -1;
  for (const char* method : {kTipAdapterF, kCoop, kTipAdapter}) {
    const double top1 = report.at(method).get<double>("top1", 0);
    if (top1 > most && fs::exists(folder / file_name(method))) most = top1, best = method;
  }
  if (best.empty()) {
    fail(ErrorCode::not_found, "{}: holds neither {} nor {}; 'ocelli train prompts -o' writes both",
         folder.string(), kCache, kContext);
  }
  return best;
}

}  // namespace

void write_prompts(const OpenModel& opened, const PromptResult& result, const std::string& size,
                   const std::string& report, const fs::path& output) {
  fs::create_directories(output);
  const std::map<std::string, std::string> about = {
      {"format", "pt"},
      {"model", lasting_name(opened)},
      {"size", size},
      {"family", opened.family->name},
      {"fingerprint", fingerprint(opened)},
      {"classes", nlohmann::json(result.labels)
                      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
  auto context = about, cache = about;
  context["tokens"] = std::to_string(result.context_vectors.size(0));
  context["class_position"] = "end";
  cache["alpha"] = fmt::format("{}", result.alpha);
  cache["beta"] = fmt::format("{}", result.beta);
  write_safetensors(output / kContext,
                    std::vector<NamedTensor>{{"context", result.context_vectors}}, context);
  write_safetensors(output / kCache,
                    std::vector<NamedTensor>{{"texts", result.texts},
                                             {"keys", result.keys},
                                             {"learnt_keys", result.learnt_keys},
                                             {"values", result.values}},
                    cache);
  write_file(output / "report.json", report);
}

PromptModel model_of_prompts(const fs::path& folder) {
  const PromptFile file(folder / file_name(best_method(folder)));
  return {file.text("model"), file.text("size")};
}

ClassPrompts open_prompts(const OpenModel& opened, const fs::path& folder,
                          const std::string& method) {
  const std::string how = method.empty() ? best_method(folder) : method;
  const PromptFile file(folder / file_name(how));
  file.check_model(opened);
  check_learns_prompts(opened);
  const Model& model = *opened.model;
  ClassPrompts prompts{file.labels(), {}};
  if (how == kCoop) {
    const Tensor context = file.matrix("context", {}, model.context_width());
    const PromptIds ids = prompt_ids(model, opened.tokenizer(), prompts.labels, context.size(0));
    prompts.texts = context_texts(model, ids, context);
    return prompts;
  }
  const int64_t width = model.embedding_size(), classes = std::ssize(prompts.labels);
  prompts.texts = file.matrix("texts", classes, width);
  const Tensor keys = file.matrix(how == kTipAdapter ? "keys" : "learnt_keys", {}, width);
  prompts.cache = ImageCache{keys, file.matrix("values", keys.size(0), classes),
                             file.number("alpha"), file.number("beta")};
  return prompts;
}

}  // namespace ocelli
