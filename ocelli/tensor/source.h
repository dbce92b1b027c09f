// A named collection of tensors, read one at a time: a checkpoint file, a folder of shards, or a
// set held in memory. What formats/ opens and what nn/Weights draws from.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::string file;  // where it lies, for messages
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // Every tensor, sorted by name, each name once.
  virtual const std::vector<TensorInfo>& tensors() const = 0;

  // Where possible a view of the mapped file that keeps it alive, in the dtype it has there.
  // Throws not_found.
  virtual Tensor load(std::string_view name) const = 0;

  // The caller made its own copy of a tensor: memory behind it may be given back to the system. A
  // later load still works.
  virtual void release(std::string_view name) const { (void)name; }

  // A description for messages: the file or folder.
  virtual std::string path() const = 0;
};

// Of all names, types, shapes and numbers: 16 hexadecimal digits. It finds a change, not a forgery.
std::string checksum(const TensorSource& source);

}  // namespace ocelli
