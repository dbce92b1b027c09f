// Shape: the sizes of a tensor, outermost first, held in place (no allocation).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace ocelli {

class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  // Negative indices count from the end, as in PyTorch.
  int64_t operator[](int i) const { return dims_[i < 0 ? i + rank_ : i]; }
  int64_t& operator[](int i) { return dims_[i < 0 ? i + rank_ : i]; }
  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + rank_; }
  void push_back(int64_t dim);

  // Product of the sizes; throws when it does not fit in 63 bits.
  int64_t numel() const;
  bool operator==(const Shape& other) const;
  std::string str() const;  // "[2, 197, 768]"

 private:
  int64_t dims_[kMaxRank] = {};
  int rank_ = 0;
};

// Row-major strides, in elements.
Shape contiguous_strides(const Shape& shape);

}  // namespace ocelli

template <>
struct fmt::formatter<ocelli::Shape> : fmt::formatter<std::string> {
  auto format(const ocelli::Shape& shape, format_context& context) const {
    return formatter<std::string>::format(shape.str(), context);
  }
};
