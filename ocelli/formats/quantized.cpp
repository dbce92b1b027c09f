#include "ocelli/formats/quantized.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "ocelli/tensor/convert.h"
#include "ocelli/tensor/int4.h"

namespace ocelli {
namespace {

struct Matrix {
  int64_t n, k;
};

Matrix matrix_of(const Shape& shape) {
  const int64_t n = shape[0];
  return {n, shape.numel() / std::max<int64_t>(n, 1)};
}

std::string step_name(const std::string& name) {
  return name + ".step";
}

void to_8_bits(const float* w, int64_t k, int8_t* q, float& step) {
  float most = 0;
  for (int64_t i = 0; i < k; ++i) most = std::max(most, std::abs(w[i]));
  step = most / 127;
  // Of a step whose inverse is no float all numbers become 0.
  const float inverse = step >= std::numeric_limits<float>::min() ? 1 / step : 0;
  for (int64_t i = 0; i < k; ++i) q[i] = static_cast<int8_t>(std::nearbyint(w[i] * inverse));
}

void to_4_bits(const float* w, int64_t k, int64_t group, uint8_t* q, BFloat16* steps) {
  for (int64_t begin = 0; begin < k; begin += group) {
    const int64_t end = std::min(begin + group, k);
    const Int4Group as({w + begin, w + end});
    steps[begin / group] = as.step;
    for (int64_t i = begin; i < end; ++i)
      q[i / 2] |= static_cast<uint8_t>(as.number(w[i]) << (i % 2 * 4));
  }
}

class Dequantized final : public TensorSource {
 public:
  Dequantized(std::shared_ptr<const TensorSource> source, QuantizedWeights weights);

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override;
  void release(std::string_view name) const override { source_->release(name); }
  std::string path() const override { return source_->path(); }

 private:
  void check_tensor(const std::string& name, DType dtype, const Shape& shape) const;

  std::shared_ptr<const TensorSource> source_;
  QuantizedWeights weights_;
  std::vector<TensorInfo> infos_;
};

Dequantized::Dequantized(std::shared_ptr<const TensorSource> source, QuantizedWeights weights)
    : source_(std::move(source)), weights_(std::move(weights)) {
  std::set<std::string, std::less<>> steps;
  for (const auto& [name, as] : weights_) {
    const auto [n, k] = matrix_of(as.shape);
    if (as.bits == 8) {
      check_tensor(name, DType::i8, as.shape);
      check_tensor(step_name(name), DType::f32, {n});
    } else {
      check_tensor(name, DType::u8, {n, (k + 1) / 2});
      check_tensor(step_name(name), DType::bf16, {n, (k + as.group - 1) / as.group});
    }
    steps.insert(step_name(name));
  }
  for (const TensorInfo& info : source_->tensors()) {
    if (steps.contains(info.name)) continue;
    infos_.push_back(info);
    const auto entry = weights_.find(info.name);
    if (entry == weights_.end()) continue;
    infos_.back().dtype = DType::f32;
    infos_.back().shape = entry->second.shape;
  }
}

void Dequantized::check_tensor(const std::string& name, DType dtype, const Shape& shape) const {
  const auto& all = source_->tensors();
  const auto found = std::ranges::lower_bound(all, name, {}, &TensorInfo::name);
  if (found == all.end() || found->name != name) {
    fail(ErrorCode::corrupt_data, "{}: the quantised weights need a tensor {}", path(), name);
  }
  if (found->dtype != dtype || found->shape != shape) {
    fail(ErrorCode::corrupt_data, "{}: tensor {} is {} {} where quantised weights need {} {}",
         path(), name, found->dtype, found->shape, dtype, shape);
  }
}

Tensor Dequantized::load(std::string_view name) const {
  const auto entry = weights_.find(name);
  if (entry == weights_.end()) return source_->load(name);
  const Quantized& as = entry->second;
  const auto [n, k] = matrix_of(as.shape);
  const Tensor numbers = contiguous(source_->load(name)), weight = Tensor::empty(as.shape);
  const Tensor steps = to(source_->load(step_name(std::string(name))), DType::f32);
  float* w = weight.data<float>();
  for (int64_t r = 0; r < n; ++r, w += k) {
    if (as.bits == 8) {
      const int8_t* q = numbers.data<int8_t>() + r * k;
      for (int64_t i = 0; i < k; ++i) w[i] = steps.data<float>()[r] * q[i];
      continue;
    }
    const uint8_t* q = numbers.data<uint8_t>() + r * numbers.size(1);
    const float* step = steps.data<float>() + r * steps.size(1);
    for (int64_t i = 0; i < k; ++i) {
      w[i] = step[i / as.group] * static_cast<float>((q[i / 2] >> (i % 2 * 4) & 15) - 8);
    }
  }
  return weight;
}

}  // namespace

std::vector<NamedTensor> quantized(const std::string& name, const Tensor& weight,
                                   const Quantized& as) {
  const auto [n, k] = matrix_of(weight.shape());
  const Tensor rows = contiguous(weight);
  const bool bytes = as.bits == 8;
  const Tensor numbers =
      bytes ? Tensor::empty(weight.shape(), DType::i8) : Tensor::zeros({n, (k + 1) / 2}, DType::u8);
  const Tensor steps =
      bytes ? Tensor::empty({n}) : Tensor::empty({n, (k + as.group - 1) / as.group}, DType::bf16);
  for (int64_t r = 0; r < n; ++r) {
    const float* w = rows.data<float>() + r * k;
    if (bytes) {
      to_8_bits(w, k, numbers.data<int8_t>() + r * k, steps.data<float>()[r]);
    } else {
      to_4_bits(w, k, as.group, numbers.data<uint8_t>() + r * numbers.size(1),
                steps.data<BFloat16>() + r * steps.size(1));
    }
  }
  return {{name, numbers}, {step_name(name), steps}};
}

std::shared_ptr<const TensorSource> dequantized(std::shared_ptr<const TensorSource> source,
                                                QuantizedWeights weights) {
  return std::make_shared<Dequantized>(std::move(source), std::move(weights));
}

}  // namespace ocelli
