// What the fuzz targets share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

// The input in memory of its own, so that any read beyond it is seen.
inline std::shared_ptr<const std::vector<std::byte>> copy_of(const uint8_t* data, size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  return std::make_shared<const std::vector<std::byte>>(begin, begin + size);
}

// Loads every tensor and reads each of its bytes.
inline void load_all(const TensorSource& source) {
  for (const TensorInfo& info : source.tensors()) {
    try {
      const Tensor t = source.load(info.name);
      volatile uint8_t sum = 0;
      for (size_t i = 0; i < t.nbytes(); ++i) sum = sum + static_cast<uint8_t*>(t.raw())[i];
      source.release(info.name);
    } catch (const Error&) {
      // One bad tensor says nothing about the next.
    }
  }
}

}  // namespace ocelli
