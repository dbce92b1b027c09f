// Reverse-mode differentiation. While a Tape lives, ops called from its thread record how gradients
// flow back through them, if one of their inputs is watched or made from what is; the function that
// does it stands below each op's forward. Without a Tape nothing is recorded and nothing is kept.
//
//   Tape tape;
//   tape.watch(weight);
//   const Tensor loss = cross_entropy(linear(x, {weight, bias}), labels);
//   const Gradients gradients = tape.backward(loss);
//   gradients(weight)
//
// A gradient belongs to a tensor's memory, not to the handle: it is laid out as the memory is, so
// the gradient of a view is the same view of the gradient, and views (Tensor::slice, permute,
// expand, ...) need no record. Baydin et al., "Automatic differentiation in machine learning: a
// survey", arXiv 1502.05767.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <vector>

#include "ocelli/tensor/tensor.h"

namespace ocelli {

class Gradients {
 public:
  // Of x's shape and strides; undefined where none has flowed.
  Tensor operator()(const Place& x) const;
  // Whether the gradient with respect to x is asked for: an op need not compute the others.
  bool wants(const Place& x) const;
  // Adds dx, of x's shape, to the gradient of x, if that is wanted. Nobody writes to dx afterwards.
  // A Place is all this needs of x, and keeps no memory alive.
  void add(const Place& x, const Tensor& dx);

 private:
  friend class Tape;
  struct Entry {
    bool leaf = false;
    Tensor memory = {};  // flat, as long as the memory; undefined: zeros
  };

  Tensor take(const Place& y);
  // Asks for what `other` asks for.
  void ask_for(const Gradients& other);
  void add_all(const Gradients& other);

  std::map<std::weak_ptr<void>, Entry, std::owner_less<>> entries_;
};

class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // The gradient with respect to `leaf` (f32, in the allocator's memory) is wanted.
  void watch(const Tensor& leaf);

  // d loss / d each leaf; `loss` has one element. Uses up the record.
  Gradients backward(const Tensor& loss);
  // The same from dy = d loss / dy.
  Gradients backward(const Tensor& y, const Tensor& dy);

  // A tape is at work on this thread.
  static bool active();

  // For ops. The tape that has to record a call with these inputs (undefined ones do not count), or
  // null.
  static Tape* recording(std::initializer_list<const Tensor*> inputs);
  using Backward = std::function<void(const Tensor& dy, Gradients& gradients)>;
  void record(const char* op, const Tensor& y, Backward backward);
  // Calls f(x) without its record; backward calls it again, with one.
  static Tensor recompute(const char* op, const Tensor& x, std::function<Tensor(Tensor)> f);
  // For ops without a gradient. Throws unsupported where the call would have to be recorded.
  static void refuse(const char* op, std::initializer_list<const Tensor*> inputs);

 private:
  friend class NoTape;
  struct Node {
    const char* op;
    Place y;  // not the tensor: who needs it afterwards keeps it
    Backward backward;
  };

  Gradients gradients_;
  std::vector<Node> nodes_;
  Tape* outer_;
};

// Nothing is recorded while one lives: for teachers, metrics, and ops that are made of other ops.
class NoTape {
 public:
  NoTape();
  ~NoTape();
  NoTape(const NoTape&) = delete;
  NoTape& operator=(const NoTape&) = delete;

 private:
  Tape* hidden_;
};

}  // namespace ocelli
