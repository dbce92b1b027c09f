// NumPy's .npy (versions 1 to 3) and .npz. numpy/lib/format.py. Little-endian numbers; f8 is read
// as f32, booleans as u8; Fortran order is turned into C order.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "ocelli/base/file.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

Tensor read_npy(const std::filesystem::path& path);
Tensor parse_npy(std::span<const std::byte> bytes, const std::string& file);
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

// Appends rows as they come; the file appears under its name on commit() only. bf16 has no NumPy
// type and is refused.
class NpyWriter {
 public:
  NpyWriter(const std::filesystem::path& path, const Shape& row_shape, DType dtype);
  void append(const Tensor& row);  // of row_shape, any dtype that converts
  int64_t rows() const { return rows_; }
  void commit();

 private:
  Shape shape_of(int64_t rows) const;

  AtomicFile file_;
  Shape row_shape_;
  DType dtype_;
  size_t header_size_ = 0;
  int64_t rows_ = 0;
};

// Arrays by name, without ".npy".
std::shared_ptr<TensorSource> open_npz(const std::filesystem::path& path);
std::shared_ptr<TensorSource> parse_npz(std::span<const std::byte> bytes, const std::string& file);
void write_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& arrays);

}  // namespace ocelli
