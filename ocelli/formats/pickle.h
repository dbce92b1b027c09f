// A pickle reader that can only build data: None, booleans, numbers, strings, tuples, lists, dicts,
// and the tensors of PyTorch checkpoints. It never imports or calls anything; a global it does not
// know is refused by name. Protocol: CPython's Lib/pickletools.py.
#pragma once

#include <cstddef>
#include <deque>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli::pickle {

struct Object;
using Value = Object*;  // owned by the Document

struct None {};
struct Tuple {
  std::vector<Value> items;
};
struct List {
  std::vector<Value> items;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;
};
struct Bytes {
  std::string data;
};
struct Global {
  std::string name;
};  // module.attribute, known and harmless
struct Instance {
  std::string type;
  Value state;
};  // of a class whose code is not run
struct Storage {
  std::string key;
  DType dtype;
  int64_t count;
  std::string type;
};
// A tensor as its parts: what _rebuild_tensor_v2 was given.
struct TensorRecord {
  Storage storage;
  int64_t offset;
  Shape shape;
  std::vector<int64_t> strides;
};

struct Object {
  std::variant<None, bool, int64_t, double, std::string, Bytes, Tuple, List, Dict, Global, Instance,
               Storage, TensorRecord>
      value;
};

// All objects of one pickle; they may refer to each other in circles.
struct Document {
  std::deque<Object> objects;
  Value root = nullptr;
};

template <typename T>
const T* as(Value value) {
  return value ? std::get_if<T>(&value->value) : nullptr;
}

// Reads one pickle from the front of `bytes`; `consumed` gets its length. `file` is for messages.
// Throws corrupt_data, or unsupported naming the global that was met.
Document load(std::span<const std::byte> bytes, const std::string& file,
              size_t* consumed = nullptr);

}  // namespace ocelli::pickle
