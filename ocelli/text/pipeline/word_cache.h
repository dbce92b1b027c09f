// A memory of words and their ids. In a text each word comes with the spaces before it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ocelli {

// The first words that a tokenizer met, up to 32768, with their ids. Safe to use from many threads
// at once: words are added and never changed, and no one waits.
class WordCache {
 public:
  WordCache() = default;
  ~WordCache();
  WordCache(const WordCache&) = delete;
  WordCache& operator=(const WordCache&) = delete;

  // Appends the ids of a text word by word. Those of a new word are what encode(word, ids) appends.
  template <typename Encode>
  void append_words(std::string_view text, std::vector<int32_t>& ids, const Encode& encode) {
    for (size_t begin = 0, end = 0; begin < text.size(); begin = end) {
      end = end_of_word(text, begin);
      append(text.substr(begin, end - begin), ids, encode);
    }
  }

 private:
  static constexpr size_t kSlots = 65536, kMostWords = kSlots / 2;

  struct alignas(64) Entry {  // one line of the processor's cache; longer words are not kept
    uint8_t length = 0, count = 0;
    std::array<char, 22> text;
    std::array<int32_t, 10> ids;

    bool is(std::string_view word) const { return word == std::string_view(text.data(), length); }
  };

  static size_t end_of_word(std::string_view text, size_t at) {
    while (at < text.size() && text[at] == ' ') ++at;
    while (at < text.size() && text[at] != ' ') ++at;
    return at;
  }

  template <typename Encode>
  void append(std::string_view word, std::vector<int32_t>& ids, const Encode& encode) {
    size_t slot = std::hash<std::string_view>()(word) % kSlots;
    if (const Entry* entry = find(word, slot)) {
      ids.insert(ids.end(), entry->ids.begin(), entry->ids.begin() + entry->count);
      return;
    }
    const size_t before = ids.size();
    encode(word, ids);
    keep(word, slot, ids.data() + before, ids.size() - before);
  }

  // The entry of `word`, or null with `slot` moved to where it would stand.
  const Entry* find(std::string_view word, size_t& slot) const {
    for (;; slot = (slot + 1) % kSlots) {
      const Entry* entry = slots_[slot].load(std::memory_order_acquire);
      if (!entry || entry->is(word)) return entry;
    }
  }
  void keep(std::string_view word, size_t slot, const int32_t* ids, size_t count);

  std::atomic<size_t> words_ = 0;
  std::vector<std::atomic<const Entry*>> slots_ = std::vector<std::atomic<const Entry*>>(kSlots);
};

}  // namespace ocelli
