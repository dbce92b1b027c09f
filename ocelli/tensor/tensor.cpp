#include "ocelli/tensor/tensor.h"

#include <algorithm>
#include <cstring>

#include "ocelli/tensor/allocator.h"

namespace ocelli {

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  int64_t bytes = 0;
  if (__builtin_mul_overflow(shape.numel(), static_cast<int64_t>(dtype_size(dtype)), &bytes)) {
    fail(ErrorCode::invalid_argument, "tensor: {} has too many elements", shape);
  }
  Tensor t;
  t.storage_ = allocate(static_cast<size_t>(bytes));
  t.data_ = t.storage_.get();
  t.dtype_ = dtype;
  t.shape_ = shape;
  t.strides_ = contiguous_strides(shape);
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t = empty(shape, dtype);
  if (t.nbytes() > 0) std::memset(t.data_, 0, t.nbytes());
  return t;
}

Tensor Tensor::full(const Shape& shape, float value) {
  Tensor t = empty(shape);
  std::ranges::fill(t.values<float>(), value);
  return t;
}

Tensor Tensor::wrap(const void* data, const Shape& shape, DType dtype,
                    std::shared_ptr<const void> owner) {
  Tensor t;
  t.storage_ = std::const_pointer_cast<void>(std::move(owner));
  t.data_ = const_cast<void*>(data);
  t.dtype_ = dtype;
  t.shape_ = shape;
  t.strides_ = contiguous_strides(shape);
  return t;
}

Tensor Tensor::borrow(const View& view) {
  Tensor t;
  t.storage_ = std::shared_ptr<void>(std::shared_ptr<void>(), view.data);
  t.data_ = view.data;
  t.dtype_ = view.dtype;
  t.shape_ = view.shape;
  t.strides_ = view.strides;
  return t;
}

Tensor Tensor::copy_of(const void* data, size_t count, const Shape& shape, DType dtype) {
  check(static_cast<int64_t>(count) == shape.numel(), "tensor: {} values for the shape {}", count,
        shape);
  Tensor t = empty(shape, dtype);
  if (count > 0) std::memcpy(t.data_, data, t.nbytes());
  return t;
}

Tensor::operator Place() const {
  const size_t bytes = allocated_bytes(storage_), each = dtype_size(dtype_);
  const auto numel = static_cast<int64_t>(bytes / each);
  const auto offset = bytes ? static_cast<char*>(data_) - static_cast<char*>(storage_.get()) : 0;
  return {storage_, numel,    offset / static_cast<int64_t>(each),
          shape_,   strides_, numel == shape_.numel() && is_contiguous()};
}

Tensor Tensor::at(const Place& place) const {
  auto* base = static_cast<char*>(data_);
  return with(base + place.offset * static_cast<int64_t>(dtype_size(dtype_)), place.shape,
              place.strides);
}

int Tensor::wrap_dim(int dim) const {
  check(dim >= -rank() && dim < rank(), "tensor: dimension {} of a tensor of shape {}", dim,
        shape_);
  return dim < 0 ? dim + rank() : dim;
}

int64_t Tensor::size(int dim) const {
  return shape_[wrap_dim(dim)];
}

bool Tensor::is_contiguous() const {
  if (numel() == 0) return true;
  int64_t expected = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

Tensor Tensor::with(void* data, const Shape& shape, const Shape& strides) const {
  Tensor t = *this;
  t.data_ = data;
  t.shape_ = shape;
  t.strides_ = strides;
  return t;
}

namespace {

// Strides of `shape` over the memory of (old_shape, old_strides); false when no view exists.
bool view_strides(const Shape& old_shape, const Shape& old_strides, const Shape& shape,
                  Shape* strides) {
  *strides = contiguous_strides(shape);
  if (old_shape.numel() == 0) return true;
  // Runs of old dimensions that are contiguous with each other take runs of new ones.
  int i = shape.rank() - 1;
  int64_t run = 1, base = old_shape.rank() > 0 ? old_strides[-1] : 1, taken = 1;
  for (int old = old_shape.rank() - 1; old >= 0; --old) {
    run *= old_shape[old];
    const bool ends = old == 0 || (old_shape[old - 1] != 1 && old_strides[old - 1] != run * base);
    if (!ends) continue;
    while (i >= 0 && (taken < run || shape[i] == 1)) {
      (*strides)[i] = taken * base;
      taken *= shape[i--];
    }
    if (taken != run) return false;
    if (old > 0) {
      base = old_strides[old - 1];
      run = taken = 1;
    }
  }
  while (i >= 0 && shape[i] == 1) (*strides)[i--] = 1;
  return i < 0;
}

}  // namespace

bool Tensor::can_view(const Shape& shape) const {
  Shape strides;
  return shape.numel() == numel() && view_strides(shape_, strides_, shape, &strides);
}

Tensor Tensor::view(const Shape& shape) const {
  check(shape.numel() == numel(), "view: {} has {} elements, {} asks for {}", shape_, numel(),
        shape, shape.numel());
  Shape strides;
  check(view_strides(shape_, strides_, shape, &strides),
        "view: {} with strides {} cannot be seen as {} without a copy", shape_, strides_, shape);
  return with(data_, shape, strides);
}

Tensor Tensor::permute(std::span<const int> dims) const {
  check(static_cast<int>(dims.size()) == rank(), "permute: {} dimensions for the shape {}",
        dims.size(), shape_);
  Shape shape, strides;
  unsigned seen = 0;
  for (int dim : dims) {
    dim = wrap_dim(dim);
    check(!(seen & (1u << dim)), "permute: dimension {} named twice", dim);
    seen |= 1u << dim;
    shape.push_back(shape_[dim]);
    strides.push_back(strides_[dim]);
  }
  return with(data_, shape, strides);
}

Tensor Tensor::transpose(int a, int b) const {
  Shape shape = shape_, strides = strides_;
  a = wrap_dim(a);
  b = wrap_dim(b);
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return with(data_, shape, strides);
}

Tensor Tensor::slice(int dim, int64_t start, int64_t end, int64_t step) const {
  dim = wrap_dim(dim);
  check(step >= 1, "slice: step {}", step);
  const int64_t n = shape_[dim];
  if (start < 0) start += n;
  if (end < 0) end += n;
  start = std::clamp<int64_t>(start, 0, n);
  end = std::clamp(end, start, n);
  Shape shape = shape_, strides = strides_;
  shape[dim] = (end - start + step - 1) / step;
  strides[dim] *= step;
  auto* base = static_cast<char*>(data_);
  return with(base + start * strides_[dim] * static_cast<int64_t>(dtype_size(dtype_)), shape,
              strides);
}

Tensor Tensor::select(int dim, int64_t index) const {
  dim = wrap_dim(dim);
  const int64_t n = shape_[dim];
  check(index >= -n && index < n, "select: index {} in dimension {} of {}", index, dim, shape_);
  if (index < 0) index += n;
  return slice(dim, index, index + 1).squeeze(dim);
}

Tensor Tensor::unsqueeze(int dim) const {
  check(dim >= -rank() - 1 && dim <= rank(), "unsqueeze: dimension {} of {}", dim, shape_);
  if (dim < 0) dim += rank() + 1;
  Shape shape, strides;
  for (int i = 0; i <= rank(); ++i) {
    if (i == dim) {
      shape.push_back(1);
      strides.push_back(i < rank() ? shape_[i] * strides_[i] : 1);
    }
    if (i < rank()) {
      shape.push_back(shape_[i]);
      strides.push_back(strides_[i]);
    }
  }
  return with(data_, shape, strides);
}

Tensor Tensor::squeeze(int dim) const {
  dim = wrap_dim(dim);
  check(shape_[dim] == 1, "squeeze: dimension {} of {} is not 1", dim, shape_);
  Shape shape, strides;
  for (int i = 0; i < rank(); ++i) {
    if (i == dim) continue;
    shape.push_back(shape_[i]);
    strides.push_back(strides_[i]);
  }
  return with(data_, shape, strides);
}

Tensor Tensor::expand(const Shape& shape) const {
  check(shape.rank() >= rank(), "expand: {} to {}", shape_, shape);
  Shape strides = shape;
  const int extra = shape.rank() - rank();
  for (int i = 0; i < shape.rank(); ++i) {
    const bool repeated = i < extra || (shape_[i - extra] == 1 && shape[i] != 1);
    check(repeated || shape_[i - extra] == shape[i], "expand: {} to {}", shape_, shape);
    strides[i] = repeated ? 0 : strides_[i - extra];
  }
  return with(data_, shape, strides);
}

}  // namespace ocelli
