// Weights: a cursor into a tree of named tensors, `w / "blocks" / i / "attn"`, backed by a
// checkpoint or by an initialiser. Names in the source are the names in the reference checkpoint.
// What is handed out is recorded, so that missing, unused and mis-shaped tensors can be named.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ocelli/backend/backend.h"
#include "ocelli/tensor/source.h"

namespace ocelli {

struct WeightsReport {
  std::vector<std::string> missing;  // asked for and not there (only when tolerated)
  std::vector<std::string> unused;   // there and never asked for, without the ignored
};

class Weights {
 public:
  // Gives the family's name for a checkpoint's; an empty string drops the tensor.
  using Rename = std::function<std::string(const std::string&)>;
  // Gives the backend that packs a weight, by its name in the checkpoint.
  using Packer = std::function<const backend::Backend&(const std::string& name)>;

  // The names of weights in the checkpoint that are multiplied as one, side by side.
  using Names = std::vector<std::string>;

  struct Options {
    Rename rename = {};
    bool tolerate_missing = false;  // hand out zeros and report, for `ocelli info`
    Packer packer = {};             // else the current backend packs all weights
    std::function<backend::PackedPtr(const Names&)> packed = {};  // those that are packed already
    std::function<void(const Names&, const backend::Packed&)> keep = {};  // sees all that are
  };

  // Draws from a checkpoint.
  Weights(std::shared_ptr<const TensorSource> source, Options options);
  explicit Weights(std::shared_ptr<const TensorSource> source);
  // Draws from a seeded initialiser: normal(0, 0.02) matrices, ones for norm weights, zeros for
  // biases (by name and rank). For benchmarks of a configuration without its checkpoint.
  static Weights random(uint64_t seed);

  Weights operator/(std::string_view name) const;
  Weights operator/(int64_t index) const;

  // The tensor `name` below the cursor, as f32. Throws not_found, or corrupt_data naming the
  // tensor, both shapes and the file.
  Tensor get(std::string_view name, const Shape& shape) const;
  // The same where the shape is only known from the file.
  Tensor get(std::string_view name) const;
  bool has(std::string_view name) const;
  // True when any tensor lies below the cursor.
  bool exists() const;
  // Shape in the checkpoint; nothing when it is not there.
  std::optional<Shape> shape_of(std::string_view name) const;
  // Number of consecutive indices 0, 1, ... that exist below `name`, e.g. the depth of "blocks".
  int64_t count(std::string_view name) const;

  // The backend for the weight `name` of a linear or convolution.
  const backend::Backend& packer(std::string_view name) const;

  // The weights `names`, each of `shape`, as they are packed already, and their biases within; null
  // where they have yet to be.
  backend::PackedPtr packed(std::span<const std::string_view> names, const Shape& shape) const;
  void keep(std::span<const std::string_view> names, const backend::Packed& packed) const;

  // Marks tensors below `name` (or that one) as known and not needed.
  void ignore(std::string_view name) const;
  // The tensor was packed or copied: the checkpoint's memory behind it may go.
  void release(std::string_view name) const;

  std::string path() const;  // of the checkpoint, for messages
  const std::string& prefix() const { return prefix_; }
  WeightsReport report() const;
  // Parameters handed out so far.
  int64_t parameter_count() const;

 private:
  struct State;
  Weights(std::shared_ptr<State> state, std::string prefix);
  std::string full(std::string_view name) const;
  Names in_checkpoint(std::span<const std::string_view> names) const;

  std::shared_ptr<State> state_;
  std::string prefix_;
};

}  // namespace ocelli
