#include "ocelli/tensor/source.h"

#include <fmt/format.h>

#include <cstring>

#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

// FNV-1a over words of 8 bytes; high bits come down again, where they count for the next word.
uint64_t mixed(uint64_t hash, const void* data, size_t size) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, std::min(sizeof word, size - i));
    hash = (hash ^ word) * 1099511628211u;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace

std::string checksum(const TensorSource& source) {
  uint64_t hash = 14695981039346656037u;
  for (const TensorInfo& info : source.tensors()) {
    const std::string text = fmt::format("{} {} {}\n", info.name, info.dtype, info.shape);
    const Tensor tensor = contiguous(source.load(info.name));
    hash = mixed(hash, text.data(), text.size());
    hash = mixed(hash, tensor.raw(), tensor.nbytes());
    source.release(info.name);
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace ocelli
