// Memory of tensors: blocks of 64-byte alignment that are kept when freed and handed out again, so
// that a model's second forward asks the system for nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace ocelli {

struct AllocatorStats {
  int64_t bytes_in_use = 0;
  int64_t bytes_cached = 0;        // freed, kept for reuse
  int64_t system_allocations = 0;  // times the system was asked, since the start
};

// At least `bytes` bytes, uninitialised, 64-byte aligned. Throws out_of_memory. Thread-safe.
std::shared_ptr<void> allocate(size_t bytes);

// The bytes that were asked of allocate() for this block; 0 for other memory.
size_t allocated_bytes(const std::shared_ptr<void>& block);

AllocatorStats allocator_stats();

// Gives all cached blocks back to the system.
void release_cached_memory();

}  // namespace ocelli
