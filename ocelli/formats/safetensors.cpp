#include "ocelli/formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/base/progress.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

using nlohmann::json;

constexpr size_t kAlignment = 64;             // of a vector
constexpr size_t kHeaderLimit = 100'000'000;  // as the reference implementation

struct FileType {
  const char* name;
  size_t size;
  DType dtype;  // the one it is handed out as
  bool supported;
};

constexpr FileType kFileTypes[] = {
    {"F32", 4, DType::f32, true},     {"F16", 2, DType::f16, true},
    {"BF16", 2, DType::bf16, true},   {"I8", 1, DType::i8, true},
    {"U8", 1, DType::u8, true},       {"I32", 4, DType::i32, true},
    {"I64", 8, DType::i64, true},     {"BOOL", 1, DType::u8, true},
    {"F64", 8, DType::f32, true},     {"I16", 2, DType::i32, true},
    {"U16", 2, DType::i32, true},     {"U32", 4, DType::i64, true},
    {"U64", 8, DType::i64, false},    {"F8_E4M3", 1, DType::u8, false},
    {"F8_E5M2", 1, DType::u8, false},
};

const FileType* find_type(std::string_view name) {
  const auto* entry =
      std::ranges::find_if(kFileTypes, [&](const FileType& t) { return name == t.name; });
  return entry == std::end(kFileTypes) ? nullptr : entry;
}

const char* file_type_of(DType dtype) {
  return std::ranges::find_if(kFileTypes, [&](const FileType& t) { return t.dtype == dtype; })
      ->name;
}

// Parses and refuses what nlohmann would let pass: duplicate keys and deep nesting.
json parse_header(std::string_view text, const std::string& path) {
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  const auto callback = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > 4) return false;
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      duplicate = value.get<std::string>();
    }
    return true;
  };
  json header = json::parse(text, callback, /*allow_exceptions=*/false);
  if (!duplicate.empty()) {
    fail(ErrorCode::corrupt_data, "{}: the header names '{}' twice", path, duplicate);
  }
  if (!header.is_object()) {
    fail(ErrorCode::corrupt_data, "{}: the safetensors header is not a JSON object", path);
  }
  return header;
}

template <typename From, typename To>
Tensor converted(const std::byte* from, const Shape& shape) {
  const Tensor t = Tensor::empty(shape, dtype_of<To>());
  To* to = t.data<To>();
  for (int64_t i = 0; i < t.numel(); ++i) {
    From value;
    std::memcpy(&value, from + i * static_cast<int64_t>(sizeof value), sizeof value);
    to[i] = static_cast<To>(value);
  }
  return t;
}

}  // namespace

Safetensors::Safetensors(const std::filesystem::path& path) : path_(path.string()) {
  const auto file = std::make_shared<MappedFile>(path);
  owner_ = file;
  mapped_ = true;
  parse(file->bytes());
}

Safetensors::Safetensors(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                         std::string name)
    : path_(std::move(name)), owner_(std::move(owner)) {
  parse(bytes);
}

void Safetensors::parse(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof length) {
    fail(ErrorCode::corrupt_data, "{}: {} bytes are too few for a safetensors file", path_,
         bytes.size());
  }
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > bytes.size() - sizeof length || length > kHeaderLimit) {
    fail(ErrorCode::corrupt_data, "{}: the safetensors header claims {} bytes in a file of {}",
         path_, length, bytes.size());
  }
  const json header = parse_header(
      {reinterpret_cast<const char*>(bytes.data()) + sizeof length, static_cast<size_t>(length)},
      path_);
  data_ = bytes.data() + sizeof length + length;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      parse_metadata(value);
    } else {
      Entry entry = parse_entry(name, value);
      infos_.push_back({name, find_type(entry.dtype)->dtype, entry.shape, path_});
      entries_.emplace(name, std::move(entry));
    }
  }
  check_layout(bytes.size() - sizeof length - length);
}

void Safetensors::parse_metadata(const json& value) {
  bool texts = value.is_object();
  for (const json& text : value) texts = texts && text.is_string();
  if (!texts) fail(ErrorCode::corrupt_data, "{}: __metadata__ is not an object of strings", path_);
  metadata_ = value.get<std::map<std::string, std::string>>();
}

Safetensors::Entry Safetensors::parse_entry(const std::string& name, const json& value) const {
  const auto wrong = [&](std::string_view what) {
    fail(ErrorCode::corrupt_data, "{}: tensor {}: {}", path_, name, what);
  };
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
      !value.contains("data_offsets")) {
    wrong("dtype, shape or data_offsets is missing");
  }
  Entry entry;
  if (!value["dtype"].is_string()) wrong("dtype is not a string");
  entry.dtype = value["dtype"].get<std::string>();
  const FileType* type = find_type(entry.dtype);
  if (!type) wrong(fmt::format("unknown dtype '{}'", entry.dtype));
  const json &shape = value["shape"], &offsets = value["data_offsets"];
  if (!shape.is_array() || shape.size() > Shape::kMaxRank)
    wrong("shape is not a list of at most 8");
  uint64_t count = 1;
  for (const json& dim : shape) {
    if (!dim.is_number_unsigned() || dim.get<uint64_t>() > (uint64_t{1} << 48) ||
        __builtin_mul_overflow(count, dim.get<uint64_t>(), &count)) {
      wrong(fmt::format("shape {} is not possible", shape.dump()));
    }
    entry.shape.push_back(dim.get<int64_t>());
  }
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    wrong("data_offsets is not a pair of positions");
  }
  entry.begin = offsets[0].get<size_t>();
  entry.end = offsets[1].get<size_t>();
  uint64_t size = 0;
  if (entry.end < entry.begin || __builtin_mul_overflow(count, type->size, &size) ||
      size != entry.end - entry.begin) {
    wrong(fmt::format("{} of shape {} does not fill the bytes {} to {}", entry.dtype, entry.shape,
                      entry.begin, entry.end));
  }
  return entry;
}

// Offsets must tile the data: no overlap, no hole, nothing behind the end.
void Safetensors::check_layout(size_t size) const {
  std::vector<std::pair<const std::string*, const Entry*>> order;
  for (const auto& [name, entry] : entries_) order.emplace_back(&name, &entry);
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  size_t position = 0;
  for (const auto& [name, entry] : order) {
    if (entry->begin != position) {
      fail(ErrorCode::corrupt_data, "{}: tensor {} begins at {}, {} {}", path_, *name, entry->begin,
           entry->begin < position ? "inside another one that ends at" : "after a hole from",
           position);
    }
    position = entry->end;
  }
  if (position != size) {
    fail(ErrorCode::corrupt_data, "{}: the tensors take {} bytes but the file holds {}", path_,
         position, size);
  }
}

const Safetensors::Entry& Safetensors::find(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) fail(ErrorCode::not_found, "{}: tensor {} is missing", path_, name);
  return entry->second;
}

Tensor Safetensors::load(std::string_view name) const {
  const Entry& entry = find(name);
  const FileType* type = find_type(entry.dtype);
  if (!type->supported) {
    fail(ErrorCode::unsupported, "{}: tensor {} has the type {}", path_, name, entry.dtype);
  }
  const std::byte* from = data_ + entry.begin;
  if (entry.dtype == "F64") return converted<double, float>(from, entry.shape);
  if (entry.dtype == "I16") return converted<int16_t, int32_t>(from, entry.shape);
  if (entry.dtype == "U16") return converted<uint16_t, int32_t>(from, entry.shape);
  if (entry.dtype == "U32") return converted<uint32_t, int64_t>(from, entry.shape);
  if (reinterpret_cast<uintptr_t>(from) % type->size == 0) {
    return Tensor::wrap(from, entry.shape, type->dtype, owner_);
  }
  const Tensor t = Tensor::empty(entry.shape, type->dtype);
  if (t.nbytes() > 0) std::memcpy(t.raw(), from, t.nbytes());
  return t;
}

void Safetensors::release(std::string_view name) const {
  const Entry& entry = find(name);
  if (mapped_) release_mapped_pages(data_ + entry.begin, entry.end - entry.begin);
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::map<std::string, const Tensor*> sorted;
  for (const NamedTensor& entry : tensors) {
    check(sorted.emplace(entry.name, &entry.tensor).second, "{}: tensor {} is given twice",
          path.string(), entry.name);
    check(entry.name != "__metadata__", "{}: no tensor may be called __metadata__", path.string());
  }
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t position = 0;
  for (const auto& [name, tensor] : sorted) {
    header[name] = {{"dtype", file_type_of(tensor->dtype())},
                    {"shape", std::vector<int64_t>(tensor->shape().begin(), tensor->shape().end())},
                    {"data_offsets", {position, position + tensor->nbytes()}}};
    position += tensor->nbytes();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    fail(ErrorCode::unsupported, "{}: a tensor's name is not UTF-8", path.string());
  }
  // The data begins where a vector may: numbers that are mapped need no copy.
  text.append((kAlignment - (text.size() + 8) % kAlignment) % kAlignment, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& [name, tensor] : sorted) {
    throw_if_cancelled();
    const Tensor compact = contiguous(*tensor);
    file.write(std::span(static_cast<const std::byte*>(compact.raw()), compact.nbytes()));
  }
  file.commit();
}

}  // namespace ocelli
