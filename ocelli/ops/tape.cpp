#include "ocelli/ops/tape.h"

#include <algorithm>

#include "ocelli/backend/backend.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {
namespace {

thread_local Tape* current = nullptr;

// A compact copy in memory of its own.
Tensor clone_of(const Tensor& x) {
  const Tensor y = Tensor::empty(x.shape());
  backend::current().copy(y, x);
  return y;
}

Shape without(const Shape& sizes, int dim) {
  Shape rest;
  for (int d = 0; d < sizes.rank(); ++d) {
    if (d != dim) rest.push_back(sizes[d]);
  }
  return rest;
}

}  // namespace

Tensor Gradients::operator()(const Place& x) const {
  const auto found = entries_.find(x.memory);
  if (found == entries_.end() || !found->second.memory.defined()) return {};
  return found->second.memory.at(x);
}

bool Gradients::wants(const Place& x) const {
  return entries_.contains(x.memory);
}

void Gradients::add(const Place& x, const Tensor& dx) {
  if (!wants(x)) return;
  check(dx.shape() == x.shape, "gradient: {} for a tensor of {}", dx.shape(), x.shape);
  // What repeats an element adds up over its repetitions.
  for (int d = 0; d < x.shape.rank(); ++d) {
    if (x.strides[d] != 0 || x.shape[d] < 2) continue;
    Place once = x;
    once.shape = without(x.shape, d);
    once.strides = without(x.strides, d);
    return add(once, sum(dx, d));
  }
  Tensor& memory = entries_.at(x.memory).memory;
  if (!memory.defined() && x.is_all) {
    memory = (Place(dx).is_all ? dx : clone_of(dx)).view({x.memory_numel});
    return;
  }
  if (!memory.defined() && dx.numel() == x.memory_numel) {  // all of it, in another order
    memory = Tensor::empty({x.memory_numel});
    return backend::current().copy(memory.at(x), dx);
  }
  if (!memory.defined()) memory = Tensor::zeros({x.memory_numel});
  // It may be another tensor's gradient as well, as after y = a + b.
  const bool shared = !memory.is_unique();
  if (shared && x.is_all) {
    const Tensor both = Tensor::empty(x.shape);
    backend::current().binary(backend::Binary::add, both, memory.at(x), dx);
    memory = both.view({x.memory_numel});
    return;
  }
  if (shared) memory = clone_of(memory);
  const Tensor into = memory.at(x);
  backend::current().binary(backend::Binary::add, into, into, dx);
}

Tensor Gradients::take(const Place& y) {
  const auto found = entries_.find(y.memory);
  if (found == entries_.end() || !found->second.memory.defined()) return {};
  Tensor dy = found->second.memory.at(y);
  if (y.is_all && !found->second.leaf) entries_.erase(found);
  return dy;
}

void Gradients::ask_for(const Gradients& other) {
  for (const auto& [memory, entry] : other.entries_) entries_[memory].leaf = true;
}

void Gradients::add_all(const Gradients& other) {
  for (const auto& [memory, entry] : other.entries_) {
    if (!entry.memory.defined()) continue;
    Tensor& sum = entries_.at(memory).memory;
    if (!sum.defined()) {
      sum = entry.memory;
      continue;
    }
    if (!sum.is_unique()) sum = clone_of(sum);
    backend::current().binary(backend::Binary::add, sum, sum, entry.memory);
  }
}

Tape::Tape() : outer_(current) {
  current = this;
}
Tape::~Tape() {
  current = outer_;
}

NoTape::NoTape() : hidden_(current) {
  current = nullptr;
}
NoTape::~NoTape() {
  current = hidden_;
}

bool Tape::active() {
  return current != nullptr;
}

void Tape::watch(const Tensor& leaf) {
  const Place place = leaf;
  check(leaf.dtype() == DType::f32 && place.memory_numel > 0,
        "watch: a tensor of {} whose memory is {}; f32 in memory of its own is needed",
        leaf.dtype(), place.memory_numel ? "its own" : "somebody else's");
  gradients_.entries_[place.memory].leaf = true;
}

Tape* Tape::recording(std::initializer_list<const Tensor*> inputs) {
  if (!current) return nullptr;
  const bool watched = std::ranges::any_of(
      inputs, [](const Tensor* x) { return x->defined() && current->gradients_.wants(*x); });
  return watched ? current : nullptr;
}

void Tape::record(const char* op, const Tensor& y, Backward backward) {
  const Place place = y;
  gradients_.entries_[place.memory];
  nodes_.push_back({op, place, std::move(backward)});
}

Tensor Tape::recompute(const char* op, const Tensor& x, std::function<Tensor(Tensor)> f) {
  Tape* outer = current;
  Tensor y;
  {
    Tape inner;  // whether there is anything to differentiate
    inner.gradients_.ask_for(outer->gradients_);
    y = f(x);
    if (inner.nodes_.empty()) return y;
  }
  outer->record(op, y, [x, f = std::move(f)](const Tensor& dy, Gradients& gradients) {
    Tape inner;
    inner.gradients_.ask_for(gradients);
    const Tensor again = f(x);
    gradients.add_all(inner.backward(again, dy));
  });
  return y;
}

void Tape::refuse(const char* op, std::initializer_list<const Tensor*> inputs) {
  if (!recording(inputs)) return;
  fail(ErrorCode::unsupported, "{}: has no gradient, and its input is being differentiated", op);
}

Gradients Tape::backward(const Tensor& loss) {
  check(loss.numel() == 1, "backward: the loss is {}, not one number", loss.shape());
  return backward(loss, Tensor::full(loss.shape(), 1));
}

Gradients Tape::backward(const Tensor& y, const Tensor& dy) {
  const NoTape pause;
  gradients_.add(y, dy);
  while (!nodes_.empty()) {
    const Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const Tensor given = gradients_.take(node.y);
    if (given.defined()) node.backward(given, gradients_);
  }
  std::erase_if(gradients_.entries_, [](const auto& entry) { return !entry.second.leaf; });
  return std::move(gradients_);
}

}  // namespace ocelli
