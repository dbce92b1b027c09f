#include "ocelli/index/ivfpq.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/base/mapped_file.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/kmeans.h"
#include "ocelli/index/padded.h"

namespace ocelli {
namespace {

constexpr int64_t kPart = 8;             // numbers that share a code
constexpr int64_t kWords = 256;          // of a part
constexpr int64_t kTrain = 16384;        // rows that the words are found on
constexpr int64_t kEncodedRows = 16384;  // rows encoded together
constexpr char kIvfpqMagic[] = "OCELLIQ1";

struct IvfpqHeader {
  char magic[8];
  uint64_t rows, width, cells, crc, reserved[3];
};
static_assert(sizeof(IvfpqHeader) == 64);

int64_t parts_of(int64_t width) {
  return (width + kPart - 1) / kPart;
}

// Where centres, words, begins, ids and codes begin after the header; the last is the end.
std::array<size_t, 6> ivfpq_layout(uint64_t rows, uint64_t width, uint64_t cells) {
  const size_t parts = (width + kPart - 1) / kPart;
  std::array<size_t, 6> at{};
  at[1] = padded(2 * cells * width);
  at[2] = at[1] + padded(sizeof(float) * parts * kPart * kWords);
  at[3] = at[2] + padded(8 * (cells + 1));
  at[4] = at[3] + padded(4 * rows);
  at[5] = at[4] + padded(rows * parts);
  return at;
}

// The sum of table[part][code[part]], in four sums that do not wait for each other.
float sum_words(const float* table, const uint8_t* code, int64_t parts) {
  float sums[4] = {};
  int64_t part = 0;
  for (; part + 4 <= parts; part += 4, table += 4 * kWords) {
    for (int64_t i = 0; i < 4; ++i) sums[i] += table[i * kWords + code[part + i]];
  }
  for (; part < parts; ++part, table += kWords) sums[0] += table[code[part]];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A file whose parts are written one after the other, each padded, with a checksum of all.
class BodyWriter {
 public:
  BodyWriter(const std::filesystem::path& path, const IvfpqHeader& header)
      : file_(path), header_(header) {
    file_.write(bytes_of(header_));
  }

  void write(const void* data, size_t size) {
    file_.write(std::span(static_cast<const std::byte*>(data), size));
    header_.crc = crc32_z(header_.crc, static_cast<const Bytef*>(data), size);
    size_ += size;
  }
  void end_part() {
    const std::string padding(padded(size_) - size_, '\0');
    write(padding.data(), padding.size());
  }
  void commit() {
    file_.write_at(0, bytes_of(header_));
    file_.commit();
  }

 private:
  static std::string_view bytes_of(const IvfpqHeader& header) {
    return {reinterpret_cast<const char*>(&header), sizeof header};
  }

  AtomicFile file_;
  IvfpqHeader header_;
  size_t size_ = 0;
};

class Encoder {
 public:
  Encoder(const HalfRows& rows, const IvfPqOptions& options)
      : rows_(rows), options_(options), parts_(parts_of(rows.width)) {
    const auto cells = static_cast<int64_t>(
        std::clamp(2 * std::sqrt(static_cast<double>(rows.count)), 1.0, 65536.0));
    const Tensor centres = kmeans_centroids(rows, {.clusters = std::min(cells, rows.count),
                                                   .iterations = 8,
                                                   .seed = options.seed,
                                                   .sample_per_cluster = 64});
    cell_of_ = nearest_cells(rows, centres, 1);
    centres_ = HalfMatrix(centres);
    sort_by_cell();
    find_words();
  }

  void save(const std::filesystem::path& path) const {
    const HalfRows centres = centres_;
    IvfpqHeader header{};
    std::memcpy(header.magic, kIvfpqMagic, 8);
    header.rows = static_cast<uint64_t>(rows_.count);
    header.width = static_cast<uint64_t>(rows_.width);
    header.cells = static_cast<uint64_t>(centres.count);
    BodyWriter file(path, header);
    file.write(centres.data, sizeof(Half) * centres.count * centres.width);
    file.end_part();
    file.write(words_.data(), sizeof(float) * words_.size());
    file.end_part();
    file.write(begins_.data(), sizeof(uint64_t) * begins_.size());
    file.end_part();
    file.write(order_.data(), sizeof(RowId) * order_.size());
    file.end_part();
    for (int64_t begin = 0; begin < rows_.count; begin += kEncodedRows) {
      throw_if_cancelled();
      const int64_t count = std::min(kEncodedRows, rows_.count - begin);
      const std::vector<uint8_t> codes = encode(std::span(order_).subspan(begin, count));
      file.write(codes.data(), codes.size());
      if (options_.progress) options_.progress(begin + count, rows_.count);
    }
    file.end_part();
    file.commit();
  }

 private:
  void sort_by_cell() {
    begins_.assign(HalfRows(centres_).count + 1, 0);
    for (const RowId cell : cell_of_) ++begins_[cell + 1];
    for (size_t c = 1; c < begins_.size(); ++c) begins_[c] += begins_[c - 1];
    std::vector<uint64_t> next = begins_;
    order_.resize(rows_.count);
    for (int64_t i = 0; i < rows_.count; ++i) order_[next[cell_of_[i]]++] = static_cast<RowId>(i);
  }

  // What is left of rows without their centres, [ids, parts kPart] with zeros at the end.
  std::vector<float> residuals(std::span<const RowId> ids) const {
    const int64_t width = rows_.width, wide = parts_ * kPart;
    std::vector<float> values(ids.size() * wide), centre(width);
    for (size_t i = 0; i < ids.size(); ++i) {
      float* row = &values[i * wide];
      widen(rows_.row(ids[i]), width, row);
      widen(HalfRows(centres_).row(cell_of_[ids[i]]), width, centre.data());
      for (int64_t d = 0; d < width; ++d) row[d] -= centre[d];
    }
    return values;
  }

  HalfMatrix part_of(const std::vector<float>& residuals, int64_t part) const {
    const int64_t wide = parts_ * kPart, count = static_cast<int64_t>(residuals.size()) / wide;
    const Tensor values = Tensor::empty({count, kPart});
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(&residuals[i * wide + part * kPart], kPart, values.data<float>() + i * kPart);
    }
    return HalfMatrix(values);
  }

  void find_words() {
    std::vector<RowId> some(std::min(rows_.count, kTrain));
    for (size_t i = 0; i < some.size(); ++i) some[i] = order_[rows_.count * i / some.size()];
    const std::vector<float> values = residuals(some);
    words_.resize(parts_ * kPart * kWords);
    for (int64_t part = 0; part < parts_; ++part) {
      throw_if_cancelled();
      books_.push_back(kmeans_centroids(part_of(values, part),
                                        {.clusters = std::min<int64_t>(kWords, some.size()),
                                         .spherical = false,
                                         .seed = options_.seed + static_cast<uint64_t>(part)}));
      const float* book = books_.back().data<float>();
      for (int64_t w = 0; w < books_.back().size(0); ++w) {
        for (int64_t d = 0; d < kPart; ++d) {
          words_[(part * kPart + d) * kWords + w] = book[w * kPart + d];
        }
      }
    }
  }

  std::vector<uint8_t> encode(std::span<const RowId> ids) const {
    const std::vector<float> values = residuals(ids);
    std::vector<RowId> places(ids.size());
    for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<RowId>(i);
    std::vector<uint8_t> codes(ids.size() * parts_);
    for (int64_t part = 0; part < parts_; ++part) {
      const std::vector<Hit> words =
          nearest_centroids(part_of(values, part), places, books_[part], false);
      for (size_t i = 0; i < words.size(); ++i) {
        codes[i * parts_ + part] = static_cast<uint8_t>(words[i].row);
      }
    }
    return codes;
  }

  const HalfRows rows_;
  const IvfPqOptions& options_;
  const int64_t parts_;
  HalfMatrix centres_;
  std::vector<RowId> cell_of_, order_;
  std::vector<uint64_t> begins_;
  std::vector<Tensor> books_;  // of each part [words, kPart]
  std::vector<float> words_;   // the same, [parts][kPart][kWords]
};

}  // namespace

void IvfPq::build(const HalfRows& rows, const std::filesystem::path& file,
                  const IvfPqOptions& options) {
  check(rows.count >= 1, "ivfpq: there are no rows");
  check(rows.count < UINT32_MAX, "ivfpq: {} rows are too many", rows.count);
  Encoder(rows, options).save(file);
}

bool IvfPq::is_in(const std::filesystem::path& file) {
  char magic[8] = {};
  std::ifstream(file, std::ios::binary).read(magic, sizeof magic);
  return std::memcmp(magic, kIvfpqMagic, 8) == 0;
}

IvfPq IvfPq::open(const std::filesystem::path& path) {
  const auto file = std::make_shared<MappedFile>(path);
  IvfpqHeader header{};
  if (file->size() >= sizeof header) std::memcpy(&header, file->data(), sizeof header);
  const bool plausible = std::memcmp(header.magic, kIvfpqMagic, 8) == 0 && header.rows > 0 &&
                         header.rows < UINT32_MAX && header.width > 0 && header.width <= 1 << 20 &&
                         header.cells > 0 && header.cells <= header.rows;
  const auto at = ivfpq_layout(header.rows, header.width, header.cells);
  const bool whole = plausible && file->size() == sizeof header + at[5];
  IvfPq result;
  if (whole) {
    const std::byte* data = file->data() + sizeof header;
    result.rows_ = static_cast<int64_t>(header.rows);
    result.parts_ = parts_of(static_cast<int64_t>(header.width));
    result.centres_ = {reinterpret_cast<const Half*>(data), static_cast<int64_t>(header.cells),
                       static_cast<int64_t>(header.width)};
    result.words_ = reinterpret_cast<const float*>(data + at[1]);
    result.begins_ = reinterpret_cast<const uint64_t*>(data + at[2]);
    result.ids_ = reinterpret_cast<const RowId*>(data + at[3]);
    result.codes_ = reinterpret_cast<const uint8_t*>(data + at[4]);
    result.body_ = file->bytes().subspan(sizeof header);
  }
  const std::span begins(result.begins_, whole ? header.cells + 1 : 0);
  if (!whole || begins[0] != 0 || begins.back() != header.rows || !std::ranges::is_sorted(begins)) {
    fail(ErrorCode::corrupt_data,
         "{}: no whole file of codes (version 1); 'ocelli index --compact' makes it anew",
         path.string());
  }
  result.crc_ = header.crc;
  result.owner_ = file;
  return result;
}

bool IvfPq::intact() const {
  return crc32_z(0, reinterpret_cast<const Bytef*>(body_.data()), body_.size()) == crc_;
}

// [parts][kWords]: what each word of each part adds to the score.
std::vector<float> IvfPq::table(const float* query) const {
  std::vector<float> table(parts_ * kWords);
  for (int64_t d = 0; d < centres_.width; ++d) {
    const float* words = words_ + d * kWords;
    float* into = &table[d / kPart * kWords];
    for (int64_t w = 0; w < kWords; ++w) into[w] += query[d] * words[w];
  }
  return table;
}

std::vector<Hit> IvfPq::candidates(const float* query, int64_t probes, int64_t count) const {
  std::vector<float> scores(centres_.count);
  dot_all(query, centres_, scores.data());
  std::vector<RowId> cells(scores.size());
  for (size_t c = 0; c < cells.size(); ++c) cells[c] = static_cast<RowId>(c);
  TopK nearest(probes), best(count);
  nearest.add(scores, cells.data());
  const std::vector<float> values = table(query);
  for (const Hit& cell : nearest.take()) {
    const uint64_t begin = begins_[cell.row], end = begins_[cell.row + 1];
    scores.resize(end - begin);
    for (uint64_t i = begin; i < end; ++i) {
      scores[i - begin] = cell.score + sum_words(values.data(), codes_ + i * parts_, parts_);
    }
    best.add(scores, ids_ + begin);
  }
  return best.take();
}

std::vector<Hit> IvfPq::search(const float* query, const HalfRows& rows, int64_t k,
                               int64_t effort) const {
  check(rows.width == centres_.width && rows.count >= rows_,
        "ivfpq: codes of {} rows of {} searched with {} of {}", rows_, centres_.width, rows.count,
        rows.width);
  std::vector<Hit> hits = candidates(query, std::max<int64_t>(8, effort / 16), std::max(k, effort));
  std::erase_if(hits, [&](const Hit& hit) { return hit.row >= rows.count; });
  std::vector<RowId> ids;
  for (const Hit& hit : hits) ids.push_back(hit.row);
  std::vector<float> scores(ids.size());
  dot_rows(query, rows, ids, scores.data());
  for (size_t i = 0; i < hits.size(); ++i) hits[i].score = scores[i];
  std::ranges::sort(hits, better);
  if (static_cast<int64_t>(hits.size()) > k) hits.resize(k);
  return hits;
}

}  // namespace ocelli
