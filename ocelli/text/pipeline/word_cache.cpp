#include "ocelli/text/pipeline/word_cache.h"

#include <algorithm>
#include <memory>

namespace ocelli {

WordCache::~WordCache() {
  for (const auto& slot : slots_) delete slot.load();
}

void WordCache::keep(std::string_view word, size_t slot, const int32_t* ids, size_t count) {
  auto entry = std::make_unique<Entry>();
  if (word.size() > entry->text.size() || count > entry->ids.size()) return;
  if (words_.load(std::memory_order_relaxed) >= kMostWords) return;
  entry->length = static_cast<uint8_t>(word.size());
  entry->count = static_cast<uint8_t>(count);
  std::ranges::copy(word, entry->text.begin());
  std::copy_n(ids, count, entry->ids.begin());
  // Another thread may have taken the slot, perhaps with the same word.
  for (const Entry* other = nullptr;
       !slots_[slot].compare_exchange_strong(other, entry.get(), std::memory_order_acq_rel);
       other = nullptr) {
    if (other->is(word)) return;
    slot = (slot + 1) % kSlots;
  }
  entry.release();
  words_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace ocelli
