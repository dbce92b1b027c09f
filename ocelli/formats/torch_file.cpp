#include "ocelli/formats/torch_file.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include "ocelli/base/mapped_file.h"
#include "ocelli/formats/pickle.h"
#include "ocelli/formats/zip.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

using pickle::as;
using pickle::Value;

// 0x1950a86a20f9469cfc6c, of which the pickle reader keeps the low 64 bits.
constexpr auto kLegacyMagic = static_cast<int64_t>(0xa86a20f9469cfc6cu);

size_t file_size_of(const std::string& storage_type, DType dtype) {
  if (storage_type == "DoubleStorage") return 8;
  if (storage_type == "ShortStorage") return 2;
  return dtype_size(dtype);
}

// Where a storage's bytes are, however the archive keeps them.
struct Bytes {
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
  bool mapped = false;
};

constexpr int64_t kMaxExpansion = 4096;

using Storages = std::function<Bytes(const pickle::Storage&)>;

struct Named {
  std::string name;
  const pickle::TensorRecord* record;
};

// Objects may hold each other many times over, even in circles: the walk has an end all the same.
constexpr int kMaxDepth = 64, kMaxVisits = 1'000'000;
constexpr size_t kMaxName = 4096;

bool may_hold_tensors(Value value) {
  return as<pickle::TensorRecord>(value) || as<pickle::Dict>(value) || as<pickle::List>(value) ||
         as<pickle::Instance>(value);
}

// Collects tensors below `value`; names join by dots.
void flatten(Value value, const std::string& prefix, int depth, int& visits,
             std::vector<Named>& out) {
  if (prefix.size() > kMaxName) visits = kMaxVisits;
  if (depth > kMaxDepth || !value || ++visits > kMaxVisits) return;
  const auto below = [&](const std::string& key) {
    return prefix.empty() ? key : prefix + "." + key;
  };
  if (const auto* record = as<pickle::TensorRecord>(value)) {
    out.push_back({prefix, record});
  } else if (const auto* dict = as<pickle::Dict>(value)) {
    for (const auto& [key, item] : dict->items) {
      if (!may_hold_tensors(item)) continue;
      const auto* name = as<std::string>(key);
      const auto* index = as<int64_t>(key);
      if (name)
        flatten(item, below(*name), depth + 1, visits, out);
      else if (index)
        flatten(item, below(std::to_string(*index)), depth + 1, visits, out);
    }
  } else if (const auto* list = as<pickle::List>(value)) {
    for (size_t i = 0; i < list->items.size(); ++i) {
      if (may_hold_tensors(list->items[i]))
        flatten(list->items[i], below(std::to_string(i)), depth + 1, visits, out);
    }
  } else if (const auto* instance = as<pickle::Instance>(value)) {
    flatten(instance->state, prefix, depth + 1, visits, out);
  }
}

std::vector<Named> state_dict(Value root, int& visits) {
  if (const auto* dict = as<pickle::Dict>(root)) {
    for (std::string_view key :
         {"state_dict", "model_state_dict", "model", "module", "model_ema", "teacher"}) {
      for (const auto& [name, item] : dict->items) {
        const auto* text = as<std::string>(name);
        std::vector<Named> found;
        if (text && *text == key && !as<pickle::TensorRecord>(item))
          flatten(item, "", 0, visits, found);
        if (!found.empty()) return found;
      }
    }
  }
  std::vector<Named> found;
  flatten(root, "", 0, visits, found);
  return found;
}

class TorchFile final : public TensorSource {
 public:
  TorchFile(pickle::Document document, Storages storages, std::string path)
      : document_(std::move(document)), storages_(std::move(storages)), path_(std::move(path)) {
    int visits = 0;
    const std::vector<Named> all = state_dict(document_.root, visits);
    if (visits > kMaxVisits) {
      fail(ErrorCode::corrupt_data, "{}: holds too many objects, or names that are too long",
           path_);
    }
    for (const Named& named : all) {
      if (!records_.emplace(named.name, named.record).second) {
        fail(ErrorCode::corrupt_data, "{}: the tensor {} occurs twice", path_, named.name);
      }
    }
    for (const auto& [name, record] : records_) {
      check_bounds(name, *record);
      infos_.push_back({name, record->storage.dtype, record->shape, path_});
    }
    if (records_.empty()) fail(ErrorCode::corrupt_data, "{}: holds no tensors", path_);
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  std::string path() const override { return path_; }

  Tensor load(std::string_view name) const override {
    const pickle::TensorRecord& record = find(name);
    const std::string& type = record.storage.type;
    const size_t size = file_size_of(type, record.storage.dtype);
    const Bytes bytes = bytes_of(name, record);
    if (record.shape.numel() == 0) return Tensor::empty(record.shape, record.storage.dtype);
    const std::byte* base = bytes.data.data() + static_cast<size_t>(record.offset) * size;
    if (type == "DoubleStorage") return gather<double>(record, base, DType::f32);
    if (type == "ShortStorage") return gather<int16_t>(record, base, DType::i32);
    const bool aligned = reinterpret_cast<uintptr_t>(base) % size == 0;
    const Shape compact = contiguous_strides(record.shape);
    if (aligned && std::equal(compact.begin(), compact.end(), record.strides.begin())) {
      return Tensor::wrap(base, record.shape, record.storage.dtype, bytes.owner);
    }
    switch (size) {
      case 1: return gather<uint8_t>(record, base, record.storage.dtype);
      case 2: return gather<uint16_t>(record, base, record.storage.dtype);
      case 4: return gather<uint32_t>(record, base, record.storage.dtype);
      default: return gather<uint64_t>(record, base, record.storage.dtype);
    }
  }

  void release(std::string_view name) const override {
    const pickle::TensorRecord& record = find(name);
    const Bytes bytes = bytes_of(name, record);
    if (!bytes.mapped) return;
    // Never beyond the storage: an expanded tensor has more elements than that.
    const size_t size = file_size_of(record.storage.type, record.storage.dtype);
    const size_t begin = std::min(static_cast<size_t>(record.offset) * size, bytes.data.size());
    release_mapped_pages(
        bytes.data.data() + begin,
        std::min(static_cast<size_t>(record.shape.numel()) * size, bytes.data.size() - begin));
  }

 private:
  const pickle::TensorRecord& find(std::string_view name) const {
    const auto entry = records_.find(name);
    if (entry == records_.end())
      fail(ErrorCode::not_found, "{}: tensor {} is missing", path_, name);
    return *entry->second;
  }

  // Every element the strides can reach lies inside the storage.
  void check_bounds(const std::string& name, const pickle::TensorRecord& r) const {
    int64_t last = r.offset, total = 1;
    bool fits = r.offset >= 0;
    for (int d = 0; fits && d < r.shape.rank(); ++d) {
      const int64_t stride = r.strides[static_cast<size_t>(d)];
      int64_t reach = 0;
      fits = stride >= 0 &&
             !__builtin_mul_overflow(total, std::max<int64_t>(r.shape[d], 1), &total) &&
             !__builtin_mul_overflow(std::max<int64_t>(r.shape[d] - 1, 0), stride, &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    // Expanded tensors repeat elements; a claim far beyond the storage is a lie.
    fits = fits && (r.shape.numel() == 0 ||
                    (last < r.storage.count && total / kMaxExpansion <= r.storage.count));
    if (!fits) {
      fail(ErrorCode::corrupt_data, "{}: tensor {} of shape {} reaches outside its storage of {}",
           path_, name, r.shape, r.storage.count);
    }
  }

  Bytes bytes_of(std::string_view name, const pickle::TensorRecord& record) const {
    Bytes bytes = storages_(record.storage);
    const size_t size = file_size_of(record.storage.type, record.storage.dtype);
    if (bytes.data.size() / size < static_cast<uint64_t>(record.storage.count)) {
      fail(ErrorCode::corrupt_data, "{}: tensor {}: its storage {} holds {} bytes, too few for {}",
           path_, name, record.storage.key, bytes.data.size(), record.storage.count);
    }
    return bytes;
  }

  template <typename T>
  static Tensor gather(const pickle::TensorRecord& r, const std::byte* base, DType dtype) {
    const Tensor out = Tensor::empty(r.shape, dtype);
    for (int64_t i = 0; i < out.numel(); ++i) {
      int64_t at = 0, rest = i;
      for (int d = r.shape.rank() - 1; d >= 0; --d) {
        at += rest % r.shape[d] * r.strides[static_cast<size_t>(d)];
        rest /= r.shape[d];
      }
      T value;
      std::memcpy(&value, base + at * static_cast<int64_t>(sizeof(T)), sizeof value);
      if constexpr (std::is_same_v<T, double>)
        out.data<float>()[i] = static_cast<float>(value);
      else if constexpr (std::is_same_v<T, int16_t>)
        out.data<int32_t>()[i] = value;
      else
        static_cast<T*>(out.raw())[i] = value;
    }
    return out;
  }

  pickle::Document document_;
  Storages storages_;
  std::string path_;
  std::map<std::string, const pickle::TensorRecord*, std::less<>> records_;
  std::vector<TensorInfo> infos_;
};

std::shared_ptr<TensorSource> open_zip(std::span<const std::byte> bytes,
                                       std::shared_ptr<const void> owner, const std::string& name,
                                       bool mapped) {
  const auto zip = std::make_shared<const Zip>(bytes, name);
  std::string root;
  for (const std::string& entry : zip->names()) {
    const bool outer = root.empty() || entry.size() - 8 < root.size();
    if (outer && entry.ends_with("/data.pkl")) root = entry.substr(0, entry.size() - 8);
  }
  if (root.empty()) {
    fail(ErrorCode::corrupt_data, "{}: a zip archive without data.pkl is no PyTorch checkpoint",
         name);
  }
  if (zip->has(root + "byteorder")) {
    const auto order = zip->read(root + "byteorder");
    if (std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) == "big") {
      fail(ErrorCode::unsupported, "{}: written on a big-endian machine", name);
    }
  }
  const auto text = zip->read(root + "data.pkl");
  return std::make_shared<TorchFile>(
      pickle::load(text, name),
      [zip, root, owner, mapped](const pickle::Storage& storage) -> Bytes {
        const std::string entry = root + "data/" + storage.key;
        if (zip->is_stored(entry)) return {zip->view(entry), owner, mapped};
        const auto inflated = std::make_shared<std::vector<std::byte>>(zip->read(entry));
        return {*inflated, inflated, false};
      },
      name);
}

// Five pickles (magic, protocol, system, the object, the storage keys), then each storage as its
// count of elements (8 bytes) and its bytes.
std::shared_ptr<TensorSource> open_legacy(std::span<const std::byte> bytes,
                                          std::shared_ptr<const void> owner,
                                          const std::string& file, bool mapped) {
  size_t at = 0;
  const auto next = [&] {
    size_t used = 0;
    pickle::Document document = pickle::load(bytes.subspan(at), file, &used);
    at += used;
    return document;
  };
  next();
  next();
  const pickle::Document system = next();
  if (const auto* facts = as<pickle::Dict>(system.root)) {
    for (const auto& [key, value] : facts->items) {
      const auto* name = as<std::string>(key);
      const auto* little = as<bool>(value);
      if (name && *name == "little_endian" && little && !*little) {
        fail(ErrorCode::unsupported, "{}: written on a big-endian machine", file);
      }
    }
  }
  pickle::Document object = next();
  const pickle::Document keys = next();
  const auto* list = as<pickle::List>(keys.root);
  if (!list) fail(ErrorCode::corrupt_data, "{}: the list of storages is missing", file);
  std::map<std::string, size_t> sizes;  // bytes an element, by storage key
  for (const pickle::Object& o : object.objects) {
    const auto* storage = std::get_if<pickle::Storage>(&o.value);
    if (storage) sizes[storage->key] = file_size_of(storage->type, storage->dtype);
  }
  std::map<std::string, std::span<const std::byte>> data;
  for (const Value key : list->items) {
    const auto* text = as<std::string>(key);
    uint64_t count = 0, size = 0;
    if (!text || !sizes.contains(*text) || bytes.size() - at < sizeof count) {
      fail(ErrorCode::corrupt_data, "{}: the storages are cut off", file);
    }
    std::memcpy(&count, bytes.data() + at, sizeof count);
    at += sizeof count;
    if (__builtin_mul_overflow(count, sizes[*text], &size) || size > bytes.size() - at) {
      fail(ErrorCode::corrupt_data, "{}: storage {} of {} elements is cut off", file, *text, count);
    }
    data[*text] = bytes.subspan(at, size);
    at += size;
  }
  return std::make_shared<TorchFile>(
      std::move(object),
      [data, owner, file, mapped](const pickle::Storage& storage) -> Bytes {
        const auto entry = data.find(storage.key);
        if (entry == data.end()) {
          fail(ErrorCode::corrupt_data, "{}: storage {} is missing", file, storage.key);
        }
        return {entry->second, owner, mapped};
      },
      file);
}

bool is_legacy(std::span<const std::byte> bytes) {
  // PROTO 2, LONG1 of ten bytes: the magic number.
  constexpr uint8_t kStart[] = {0x80, 0x02, 0x8a, 0x0a};
  int64_t low = 0;
  if (bytes.size() < 15 || std::memcmp(bytes.data(), kStart, sizeof kStart) != 0) return false;
  std::memcpy(&low, bytes.data() + 4, sizeof low);
  return low == kLegacyMagic;
}

bool is_tar(std::span<const std::byte> bytes) {
  return bytes.size() > 262 && std::memcmp(bytes.data() + 257, "ustar", 5) == 0;
}

}  // namespace

bool is_torch_file(std::span<const std::byte> bytes) {
  return Zip::looks_like(bytes) || is_legacy(bytes) || is_tar(bytes) ||
         (!bytes.empty() && bytes[0] == std::byte{0x80});
}

namespace {

std::shared_ptr<TensorSource> open_bytes(std::span<const std::byte> bytes,
                                         std::shared_ptr<const void> owner, const std::string& name,
                                         bool mapped) {
  if (Zip::looks_like(bytes)) return open_zip(bytes, std::move(owner), name, mapped);
  if (is_legacy(bytes)) return open_legacy(bytes, std::move(owner), name, mapped);
  if (is_tar(bytes)) {
    fail(ErrorCode::unsupported, "{}: a tar archive, as PyTorch wrote before 0.1.10: save it anew",
         name);
  }
  // A plain pickle: read it for its error, which names the forbidden global if there is one.
  pickle::load(bytes, name);
  fail(ErrorCode::unsupported, "{}: a pickle, but not one that torch.save wrote", name);
}

}  // namespace

std::shared_ptr<TensorSource> open_torch_file(std::span<const std::byte> bytes,
                                              std::shared_ptr<const void> owner, std::string name) {
  return open_bytes(bytes, std::move(owner), name, false);
}

std::shared_ptr<TensorSource> open_torch_file(const std::filesystem::path& path) {
  const auto file = std::make_shared<MappedFile>(path);
  return open_bytes(file->bytes(), file, path.string(), true);
}

}  // namespace ocelli
