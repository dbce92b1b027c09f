// Parts of index files begin at cache lines.
#pragma once

#include <cstddef>

namespace ocelli {

inline size_t padded(size_t size) {
  return (size + 63) / 64 * 64;
}

}  // namespace ocelli
