#include "ocelli/index/faiss_rows.h"

#include <algorithm>
#include <cstring>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

// Trusts no length: what is beyond the end is an error.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& name) : rest_(bytes), name_(name) {}

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(1, sizeof value).data(), sizeof value);
    return value;
  }
  std::span<const std::byte> take(uint64_t count, uint64_t size) {
    if (count > rest_.size() / size) {
      fail(ErrorCode::corrupt_data, "{}: the FAISS index is cut off", name_);
    }
    const auto taken = rest_.first(count * size);
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  void skip_vector(uint64_t size) { take(number<uint64_t>(), size); }
  // The code, then the number of vectors and their width.
  std::string header(FaissRows& rows);

 private:
  std::span<const std::byte> rest_;
  const std::string& name_;
};

std::string Reader::header(FaissRows& rows) {
  const auto bytes = take(4, 1);
  const std::string code(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (code != "IxFI" && code != "IxF2" && code != "IxFl" && code != "IHNf") {
    const bool printable = std::ranges::all_of(code, [](char c) { return c >= ' ' && c <= '~'; });
    fail(ErrorCode::unsupported,
         "{}: holds no vectors as they were ({}); write a flat or HNSW index of FAISS", name_,
         printable ? "its code is " + code : "it is no index of FAISS");
  }
  rows.width = number<int32_t>();
  rows.count = number<int64_t>();
  take(2, sizeof(int64_t));
  take(1, 1);  // trained
  const auto metric = number<int32_t>();
  if (rows.width < 1 || rows.count < 0 || metric < 0) {
    fail(ErrorCode::corrupt_data, "{}: the FAISS index has {} vectors of {} numbers", name_,
         rows.count, rows.width);
  }
  if (metric > 1) take(1, sizeof(float));  // the argument of a metric
  return code;
}

}  // namespace

void FaissRows::copy(int64_t row, float* to) const {
  const size_t size = width * sizeof(float);
  std::memcpy(to, values.data() + row * size, size);
}

FaissRows parse_faiss(std::span<const std::byte> bytes, const std::string& name) {
  Reader reader(bytes, name);
  FaissRows rows;
  if (reader.header(rows) == "IHNf") {
    // Chances, places, levels, offsets and links; entry, top and three parameters.
    for (const uint64_t size : {8, 4, 4, 8, 4}) reader.skip_vector(size);
    reader.take(5, sizeof(int32_t));
    if (reader.header(rows) == "IHNf") {
      fail(ErrorCode::corrupt_data, "{}: a FAISS graph over a graph", name);
    }
  }
  const auto count = reader.number<uint64_t>();
  rows.values = reader.take(count, sizeof(float));
  const auto width = static_cast<uint64_t>(rows.width);
  if (count % width != 0 || count / width != static_cast<uint64_t>(rows.count)) {
    fail(ErrorCode::corrupt_data, "{}: the FAISS index has {} numbers for {} vectors of {}", name,
         count, rows.count, rows.width);
  }
  return rows;
}

}  // namespace ocelli
