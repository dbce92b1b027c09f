#include "ocelli/engine/open.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "ocelli/backend/cpu/isa.h"
#include "ocelli/base/file.h"
#include "ocelli/base/log.h"
#include "ocelli/hub/digest.h"
#include "ocelli/hub/resolve.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// The first few names of a list that may be long.
std::string first_names(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 3); ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 3 ? text + ", ..." : text;
}

// Position embeddings are interpolated for other sizes, convolutions take any.
void set_size(OpenModel& opened, const OpenOptions& options) {
  opened.processor = opened.model->image_processor();
  opened.input_size = opened.model->native_size();
  if (!options.size) return;
  if (opened.input_size[0] == 0) {
    fail(ErrorCode::unsupported, "--size: {} has no image tower", opened.name);
  }
  opened.input_size = *options.size;
  opened.processor = opened.processor.with_size(opened.input_size[0], opened.input_size[1]);
}

// Of a text, and of the names, shapes and first numbers of all tensors: checksum(), which reads
// every number, would take longer than opening the model.
std::string checksum_of_samples(std::string text, const TensorSource& tensors) {
  constexpr size_t kSample = 64;  // bytes of each tensor
  for (const TensorInfo& info : tensors.tensors()) {
    const Tensor tensor = contiguous(tensors.load(info.name));
    text += fmt::format("{} {}\n", info.name, info.shape);
    text.append(static_cast<const char*>(tensor.raw()), std::min(kSample, tensor.nbytes()));
  }
  return hub::sha256_of({std::as_bytes(std::span(text))}).substr(0, 16);
}

// The model in the precision that is asked for; a caller's own backend packs for itself.
Weights load_model(OpenModel& opened, const OpenOptions& options) {
  const bool foreign = &backend::current() != &backend::cpu();
  const ModelFolder& folder = opened.folder;
  const Quantization* quantization = folder.quantization ? &*folder.quantization : nullptr;
  opened.precision = choose_precision(options.precision, opened.family->name,
                                      backend::current_isa(), quantization);
  Weights::Options how{.rename = opened.family->rename(folder),
                       .tolerate_missing = options.tolerate_missing,
                       .packer = options.packer,
                       .packed = {},
                       .keep = options.keep};
  const backend::Backend* packing = &backend::cpu(opened.precision.precision);
  if (foreign) {
    opened.precision = {backend::Precision::f32, "the backend's own"};
    packing = &backend::current();
  } else if (opened.precision.as_quantised) {
    packing = &Quantization::higher();
    how.packer = [=](const std::string& name) -> const backend::Backend& {
      return quantization->packer(name);
    };
  }
  if (!foreign && !options.weights && !options.packer && !options.keep) {
    if (auto ready = open_packed(folder.path, [&] { return packed_for(opened); })) {
      how.packed = [ready](const Weights::Names& names) { return ready->find(names); };
      opened.precision.reason += "; weights packed before";
    }
  }
  const backend::UseBackend scope(*packing);
  const Weights weights(options.weights ? options.weights : folder.checkpoint, std::move(how));
  opened.model = opened.family->load(folder, weights);
  return weights;
}

}  // namespace

std::array<int64_t, 2> parse_size(const std::string& text) {
  constexpr int64_t kLargest = 65536;
  std::array<int64_t, 2> size = {};
  const char* end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, size[0]);
  size[1] = size[0];
  if (read.ec == std::errc{} && read.ptr != end && *read.ptr == 'x') {
    read = std::from_chars(read.ptr + 1, end, size[1]);
  }
  const auto [least, most] = std::ranges::minmax(size);
  check(read.ec == std::errc{} && read.ptr == end && least >= 1 && most <= kLargest,
        "--size {}: a number of pixels or HEIGHTxWIDTH is needed, each 1 to {}", text, kLargest);
  return size;
}

const Tokenizer& OpenModel::tokenizer() const {
  std::call_once(once_, [this] { tokenizer_ = open_tokenizer(folder.tokenizer_folder()); });
  return *tokenizer_;
}

std::string fingerprint(const OpenModel& opened) {
  return checksum_of_samples(
      fmt::format("{} {} {}\n", opened.family->name, opened.input_size[0], opened.input_size[1]),
      *opened.folder.checkpoint);
}

std::string lasting_name(const OpenModel& opened) {
  std::error_code ignored;
  return std::filesystem::exists(opened.name, ignored) ? whole_path(opened.name).string()
                                                       : opened.name;
}

PackedFor packed_for(const OpenModel& opened) {
  const ModelFolder& folder = opened.folder;
  const auto& quantization = folder.quantization;
  return {backend::current_isa(),
          opened.precision.as_quantised ? "as quantised"
                                        : backend::precision_name(opened.precision.precision),
          checksum_of_samples(quantization ? quantization->to_json().dump() : "", *folder.stored)};
}

std::shared_ptr<const OpenModel> open_model(const std::string& argument,
                                            const OpenOptions& options) {
  auto opened = std::make_shared<OpenModel>();
  opened->name = argument;
  opened->folder = ModelFolder::open(
      hub::resolve(argument, hub::Settings::from_environment(), options.progress));
  opened->family = &find_family(opened->folder);
  const Weights weights = load_model(*opened, options);
  set_size(*opened, options);
  opened->weights = weights.report();
  opened->parameters = weights.parameter_count();
  if (const auto& unused = opened->weights.unused; !unused.empty()) {
    const std::string message =
        fmt::format("{}: {} {} not used by {}: {}", weights.path(), unused.size(),
                    unused.size() == 1 ? "tensor is" : "tensors are", opened->family->name,
                    first_names(unused));
    if (options.strict) fail(ErrorCode::corrupt_data, "{}", message);
    log(LogLevel::warning, message);
  }
  return opened;
}

}  // namespace ocelli
