// Tensor: a handle to typed, strided, shared memory. Copying it copies the handle. No maths here.
#pragma once

#include <memory>
#include <span>

#include "ocelli/base/error.h"
#include "ocelli/base/shape.h"
#include "ocelli/tensor/dtype.h"

namespace ocelli {

// What a backend sees of a tensor. Strides are in elements.
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  Shape strides;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// Where a tensor lies in which memory, without keeping the memory alive.
struct Place {
  std::weak_ptr<void> memory;
  int64_t memory_numel = 0;  // elements in the whole of it; 0: it is not the allocator's
  int64_t offset = 0;        // in elements, of the tensor
  Shape shape, strides;
  bool is_all = false;  // contiguous, and nothing lies beside it
};

class Tensor {
 public:
  Tensor() = default;  // undefined: no memory, defined() is false

  static Tensor empty(const Shape& shape, DType dtype = DType::f32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
  static Tensor full(const Shape& shape, float value);  // f32
  // Memory that belongs to somebody else and lives as long as `owner`, e.g. a mapped file.
  static Tensor wrap(const void* data, const Shape& shape, DType dtype,
                     std::shared_ptr<const void> owner);
  // The memory of a view whose owner outlives the tensor.
  static Tensor borrow(const View& view);
  template <typename T>
  static Tensor from(std::span<const T> values, const Shape& shape) {
    return copy_of(values.data(), values.size(), shape, dtype_of<T>());
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  const Shape& strides() const { return strides_; }
  int rank() const { return shape_.rank(); }
  // Negative indices count from the end.
  int64_t size(int dim) const;
  int64_t numel() const { return shape_.numel(); }
  size_t nbytes() const { return static_cast<size_t>(numel()) * dtype_size(dtype_); }
  DType dtype() const { return dtype_; }
  bool is_contiguous() const;
  // No other tensor shares the memory, so it may be written over.
  bool is_unique() const { return storage_.use_count() == 1; }
  operator Place() const;
  // This tensor, flat, seen where `place` lies in its own memory.
  Tensor at(const Place& place) const;

  // Throws unless T is the element type.
  template <typename T>
  T* data() const {
    check(dtype_ == dtype_of<T>(), "tensor: holds {}, not {}", dtype_, dtype_of<T>());
    return static_cast<T*>(data_);
  }
  void* raw() const { return data_; }
  template <typename T>
  std::span<T> values() const {
    check(is_contiguous(), "tensor: values() needs a contiguous tensor");
    return {data<T>(), static_cast<size_t>(numel())};
  }
  operator View() const { return {data_, dtype_, shape_, strides_}; }

  // Views of the same memory. One size may be -1 in reshape's list (inferred); reshape throws when
  // the strides do not allow a view: ops/shape.h has the reshape that copies.
  bool can_view(const Shape& shape) const;
  Tensor view(const Shape& shape) const;
  Tensor permute(std::span<const int> dims) const;
  Tensor permute(std::initializer_list<int> dims) const {
    return permute(std::span<const int>(dims.begin(), dims.size()));
  }
  Tensor transpose(int a, int b) const;
  Tensor slice(int dim, int64_t start, int64_t end, int64_t step = 1) const;
  Tensor select(int dim, int64_t index) const;
  Tensor unsqueeze(int dim) const;
  Tensor squeeze(int dim) const;
  Tensor expand(const Shape& shape) const;  // size-1 dimensions repeat with stride 0

 private:
  static Tensor copy_of(const void* data, size_t count, const Shape& shape, DType dtype);
  Tensor with(void* data, const Shape& shape, const Shape& strides) const;
  int wrap_dim(int dim) const;

  std::shared_ptr<void> storage_;
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  Shape shape_;
  Shape strides_;
};

}  // namespace ocelli
