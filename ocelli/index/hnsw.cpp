#include "ocelli/index/hnsw.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/mapped_file.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/padded.h"

namespace ocelli {
namespace {

// Row numbers seen so far: open addressing, at most half full.
class Seen {
 public:
  Seen() : slots_(kSize, detail::HnswGraph::kNoRow) {}

  // False when it was there.
  bool insert(RowId row) {
    size_t at = place(row);
    while (slots_[at] != detail::HnswGraph::kNoRow) {
      if (slots_[at] == row) return false;
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = row;
    if (++count_ * 2 > slots_.size()) grow();
    return true;
  }

 private:
  static constexpr size_t kSize = 2048;

  size_t place(RowId row) const { return row * 0x9e3779b1u >> 7 & (slots_.size() - 1); }

  void grow() {
    std::vector<RowId> old(2 * slots_.size(), detail::HnswGraph::kNoRow);
    old.swap(slots_);
    count_ = 0;
    for (const RowId row : old) {
      if (row != detail::HnswGraph::kNoRow) insert(row);
    }
  }

  std::vector<RowId> slots_;
  size_t count_ = 0;
};

// The best rows met so far, sorted; those whose links have not been followed yet are open.
class Front {
 public:
  explicit Front(int64_t ef) : ef_(static_cast<size_t>(ef)) { list_.reserve(ef_ + 1); }

  void add(const Hit& hit) {
    if (list_.size() >= ef_ && !better(hit, list_.back().hit)) return;
    const auto at = std::ranges::upper_bound(list_, hit, better, &Item::hit);
    next_ = std::min(next_, static_cast<size_t>(at - list_.begin()));
    list_.insert(at, {hit, true});
    if (list_.size() > ef_) list_.pop_back();
  }

  bool next(RowId& row) {
    while (next_ < list_.size() && !list_[next_].open) ++next_;
    if (next_ == list_.size()) return false;
    list_[next_].open = false;
    row = list_[next_].hit.row;
    return true;
  }

  std::vector<Hit> hits() const {
    std::vector<Hit> hits;
    hits.reserve(list_.size());
    for (const Item& item : list_) hits.push_back(item.hit);
    return hits;
  }

 private:
  struct Item {
    Hit hit;
    bool open;
  };

  size_t ef_, next_ = 0;
  std::vector<Item> list_;
};

// Rows kept on a walk through the upper levels, where the paper keeps one. Where clusters lie far
// apart a greedy walk ends in the wrong one, and the lowest level has no way out of it.
constexpr int64_t kUpperEf = 24;

constexpr char kHnswMagic[] = "OCELLIG1";

struct HnswHeader {
  char magic[8];
  uint64_t rows, m, slots, top, entry, crc, reserved;
};
static_assert(sizeof(HnswHeader) == 64);

// Where the parts of a graph begin after the header; the last is the end.
std::array<size_t, 5> hnsw_layout(uint64_t rows, uint64_t m, uint64_t slots) {
  std::array<size_t, 5> at{};
  at[1] = padded(rows);
  at[2] = at[1] + padded(4 * rows);
  at[3] = at[2] + padded(8 * rows * m);
  at[4] = at[3] + padded(4 * slots * m);
  return at;
}

}  // namespace

std::span<const RowId> detail::HnswGraph::links(RowId row, int64_t level) const {
  if (level == 0) return {base + 2 * m * row, static_cast<size_t>(2 * m)};
  const int64_t slot = static_cast<int64_t>(upper_first[row]) + level - 1;
  if (level > levels[row] || slot >= slots) return {};
  return {upper + m * slot, static_cast<size_t>(m)};
}

std::vector<Hit> detail::HnswGraph::walk(const float* query, const HalfRows& values,
                                         std::span<const Hit> from, int64_t ef,
                                         int64_t level) const {
  Front front(ef);
  Seen seen;
  for (const Hit& hit : from) {
    seen.insert(hit.row);
    front.add(hit);
  }
  std::vector<RowId> fresh;
  std::vector<float> scores(2 * m);
  for (RowId row; front.next(row);) {
    fresh.clear();
    for (const RowId link : links(row, level)) {
      if (link >= rows) break;
      if (seen.insert(link)) fresh.push_back(link);
    }
    dot_rows(query, values, fresh, scores.data());
    for (size_t i = 0; i < fresh.size(); ++i) front.add({scores[i], fresh[i]});
  }
  return front.hits();
}

std::vector<Hit> detail::HnswGraph::descend(const float* query, const HalfRows& values,
                                            int64_t level) const {
  Hit hit{0, entry};
  dot_rows(query, values, {&hit.row, 1}, &hit.score);
  std::vector<Hit> from = {hit};
  for (int64_t l = top; l > level; --l) from = walk(query, values, from, kUpperEf, l);
  return from;
}

std::vector<Hit> Hnsw::search(const float* query, const HalfRows& rows, int64_t k,
                              int64_t ef) const {
  if (graph_.rows == 0 || k <= 0) return {};
  check(rows.count >= graph_.rows, "hnsw: a graph of {} rows searched with {}", graph_.rows,
        rows.count);
  std::vector<Hit> hits =
      graph_.walk(query, rows, graph_.descend(query, rows, 0), std::max(k, ef), 0);
  if (static_cast<int64_t>(hits.size()) > k) hits.resize(k);
  return hits;
}

void Hnsw::save(const std::filesystem::path& path) const {
  const detail::HnswGraph& g = graph_;
  HnswHeader header{{},
                    static_cast<uint64_t>(g.rows),
                    static_cast<uint64_t>(g.m),
                    static_cast<uint64_t>(g.slots),
                    static_cast<uint64_t>(g.top),
                    g.entry,
                    0,
                    0};
  std::memcpy(header.magic, kHnswMagic, 8);
  const auto rows = static_cast<size_t>(g.rows), m = static_cast<size_t>(g.m);
  const std::pair<const void*, size_t> parts[] = {{g.levels, rows},
                                                  {g.upper_first, 4 * rows},
                                                  {g.base, 8 * rows * m},
                                                  {g.upper, 4 * static_cast<size_t>(g.slots) * m}};
  AtomicFile file(path);
  file.write(std::string_view(reinterpret_cast<const char*>(&header), sizeof header));
  for (const auto& [data, size] : parts) {
    const std::string padding(padded(size) - size, '\0');
    file.write(std::span(static_cast<const std::byte*>(data), size));
    file.write(padding);
    header.crc = crc32_z(header.crc, static_cast<const Bytef*>(data), size);
    header.crc =
        crc32_z(header.crc, reinterpret_cast<const Bytef*>(padding.data()), padding.size());
  }
  file.write_at(0, std::string_view(reinterpret_cast<const char*>(&header), sizeof header));
  file.commit();
}

Hnsw Hnsw::open(const std::filesystem::path& path) {
  const auto file = std::make_shared<MappedFile>(path);
  HnswHeader header{};
  const bool whole = file->size() >= sizeof header;
  if (whole) std::memcpy(&header, file->data(), sizeof header);
  const bool plausible = whole && std::memcmp(header.magic, kHnswMagic, 8) == 0 &&
                         header.rows < detail::HnswGraph::kNoRow && header.m > 0 &&
                         header.m <= 1024 && header.slots < detail::HnswGraph::kNoRow &&
                         header.top < 64 && header.entry < std::max<uint64_t>(header.rows, 1);
  const auto at = hnsw_layout(header.rows, header.m, header.slots);
  if (!plausible || file->size() != sizeof header + at[4]) {
    fail(ErrorCode::corrupt_data,
         "{}: not a whole graph (version 1); 'ocelli index --compact' makes it anew",
         path.string());
  }
  Hnsw result;
  const std::byte* data = file->data() + sizeof header;
  result.graph_ = {static_cast<int64_t>(header.rows),
                   static_cast<int64_t>(header.m),
                   static_cast<int64_t>(header.slots),
                   static_cast<int64_t>(header.top),
                   static_cast<RowId>(header.entry),
                   reinterpret_cast<const uint8_t*>(data),
                   reinterpret_cast<const uint32_t*>(data + at[1]),
                   reinterpret_cast<const RowId*>(data + at[2]),
                   reinterpret_cast<const RowId*>(data + at[3])};
  result.crc_ = header.crc;
  result.owner_ = file;
  return result;
}

bool Hnsw::intact() const {
  const auto at = hnsw_layout(graph_.rows, graph_.m, graph_.slots);
  return crc32_z(0, graph_.levels, at[4]) == crc_;
}

}  // namespace ocelli
