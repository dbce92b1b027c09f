#include "ocelli/tensor/allocator.h"

#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

// Size classes: eighths of a power of two, so that at most 1/8 of a block is waste.
size_t size_class(size_t bytes) {
  if (bytes <= 512) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  return (bytes + step - 1) / step * step;
}

class Pool {
 public:
  void* take(size_t size) {
    {
      std::lock_guard lock(mutex_);
      auto& list = free_[size];
      if (!list.empty()) {
        void* block = list.back();
        list.pop_back();
        stats_.bytes_cached -= static_cast<int64_t>(size);
        stats_.bytes_in_use += static_cast<int64_t>(size);
        return block;
      }
    }
    void* block = from_system(size);
    std::lock_guard lock(mutex_);
    ++stats_.system_allocations;
    stats_.bytes_in_use += static_cast<int64_t>(size);
    return block;
  }

  void give(void* block, size_t size) {
    std::lock_guard lock(mutex_);
    free_[size].push_back(block);
    stats_.bytes_in_use -= static_cast<int64_t>(size);
    stats_.bytes_cached += static_cast<int64_t>(size);
  }

  void release() {
    std::lock_guard lock(mutex_);
    for (auto& [size, list] : free_) {
      for (void* block : list) std::free(block);
    }
    free_.clear();
    stats_.bytes_cached = 0;
  }

  AllocatorStats stats() {
    std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  void* from_system(size_t size) {
    const size_t alignment = size >= kHugePage ? kHugePage : kAlignment;
    void* block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (!block) {
      release();
      fail(ErrorCode::out_of_memory, "out of memory: {} bytes were asked for", size);
    }
#if defined(__linux__)
    // Huge pages cut the page faults of a first touch by 512.
    if (size >= kHugePage) ::madvise(block, size, MADV_HUGEPAGE);
#endif
    return block;
  }

  std::mutex mutex_;
  std::map<size_t, std::vector<void*>> free_;
  AllocatorStats stats_;
};

// Never destroyed: tensors of static lifetime may be freed after it would be.
Pool& pool() {
  static Pool* instance = new Pool;
  return *instance;
}

struct GiveBack {
  size_t size, asked;
  void operator()(void* block) const { pool().give(block, size); }
};

}  // namespace

std::shared_ptr<void> allocate(size_t bytes) {
  check(bytes <= (size_t{1} << 46), "allocate: {} bytes", bytes);
  const size_t size = size_class(bytes);
  return {pool().take(size), GiveBack{size, bytes}};
}

size_t allocated_bytes(const std::shared_ptr<void>& block) {
  const auto* give_back = std::get_deleter<GiveBack>(block);
  return give_back ? give_back->asked : 0;
}

AllocatorStats allocator_stats() {
  return pool().stats();
}

void release_cached_memory() {
  pool().release();
}

}  // namespace ocelli
