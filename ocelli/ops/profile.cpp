#include "ocelli/ops/profile.h"

#include <fmt/ranges.h>

#include <chrono>

namespace ocelli {
namespace {

using Clock = std::chrono::steady_clock;
using backend::Packed;
using backend::PackedPtr;

std::string describe(std::initializer_list<const View*> inputs, const View& y) {
  std::string text;
  for (const View* x : inputs) {
    if (x) text += fmt::format("{}{}", text.empty() ? "" : ", ", fmt::join(x->shape, "x"));
  }
  return fmt::format("{} -> {}", text, fmt::join(y.shape, "x"));
}

int64_t bytes_of(const View& v) {
  return v.shape.numel() * static_cast<int64_t>(dtype_size(v.dtype));
}

}  // namespace

// The backend that was current, timed.
class Profile::Timed final : public backend::Backend {
 public:
  explicit Timed(const FlopCounter& flops) : inner_(backend::current()), flops_(flops) {}

  const char* name() const override { return inner_.name(); }
  void copy(const View& y, const View& x) const override {
    time("copy", y, {&x}, [&] { inner_.copy(y, x); });
  }
  void gemm(const View& y, const View& a, const View& b, float alpha) const override {
    time(
        "matmul", y, {&a, &b}, [&] { inner_.gemm(y, a, b, alpha); }, Kind::product);
  }
  void unary(backend::Unary kind, const View& y, const View& x) const override {
    time("unary", y, {&x}, [&] { inner_.unary(kind, y, x); });
  }
  void binary(backend::Binary kind, const View& y, const View& a, const View& b) const override {
    time("binary", y, {&a, &b}, [&] { inner_.binary(kind, y, a, b); });
  }
  void reduce(backend::Reduce kind, const View& y, const View& x) const override {
    time("reduce", y, {&x}, [&] { inner_.reduce(kind, y, x); });
  }
  void softmax(const View& y, const View& x) const override {
    time("softmax", y, {&x}, [&] { inner_.softmax(y, x); });
  }
  void gather(const View& y, const View& table, const View& indices) const override {
    time("gather", y, {&indices}, [&] { inner_.gather(y, table, indices); });
  }
  void conv2d(const View& y, const View& x, const View& weight, const View* bias,
              const backend::Conv2d& params) const override {
    time(
        "conv2d", y, {&x, &weight}, [&] { inner_.conv2d(y, x, weight, bias, params); },
        Kind::product);
  }
  void pool2d(const View& y, const View& x, const backend::Pool2d& params) const override {
    time("pool2d", y, {&x}, [&] { inner_.pool2d(y, x, params); });
  }
  void resize(const View& y, const View& x, const backend::Resize& params) const override {
    time("interpolate", y, {&x}, [&] { inner_.resize(y, x, params); });
  }
  void layer_norm(const View& y, const View& x, const View* weight, const View* bias,
                  float eps) const override {
    time("layer_norm", y, {&x}, [&] { inner_.layer_norm(y, x, weight, bias, eps); });
  }
  void rms_norm(const View& y, const View& x, const View* weight, float eps) const override {
    time("rms_norm", y, {&x}, [&] { inner_.rms_norm(y, x, weight, eps); });
  }
  void group_norm(const View& y, const View& x, const View* weight, const View* bias,
                  int64_t groups, float eps) const override {
    time("group_norm", y, {&x}, [&] { inner_.group_norm(y, x, weight, bias, groups, eps); });
  }
  void attention(const View& y, const View& q, const View& k, const View& v,
                 const backend::Attention& params) const override {
    time(
        "attention", y, {&q, &k, &v}, [&] { inner_.attention(y, q, k, v, params); }, Kind::product);
  }
  PackedPtr pack_linear(const View& weight, const View* bias) const override {
    return inner_.pack_linear(weight, bias);
  }
  void linear(const View& y, const View& x, const Packed& weight,
              const backend::Epilogue& epilogue) const override {
    time("linear", y, {&x, epilogue.residual}, [&] { inner_.linear(y, x, weight, epilogue); },
         Kind::product, {&weight});
  }
  PackedPtr pack_conv2d(const View& weight, const View* bias,
                        const backend::Conv2d& params) const override {
    return inner_.pack_conv2d(weight, bias, params);
  }
  void conv2d_packed(const View& y, const View& x, const Packed& weight,
                     const backend::Conv2d& params,
                     const backend::Epilogue& epilogue) const override {
    time("conv2d", y, {&x, epilogue.residual},
         [&] { inner_.conv2d_packed(y, x, weight, params, epilogue); }, Kind::product, {&weight});
  }
  void inverted_residual(const View& y, const View& x,
                         const backend::PackedInvertedResidual& block) const override {
    time("inverted_residual", y, {&x, block.residual},
         [&] { inner_.inverted_residual(y, x, block); }, Kind::product,
         {block.expand, block.depthwise, block.project});
  }

  void unary_backward(backend::Unary kind, const View& dx, const View& dy,
                      const View& x) const override {
    time("unary_backward", dx, {&dy, &x}, [&] { inner_.unary_backward(kind, dx, dy, x); });
  }
  void pool2d_backward(const View& dx, const View& dy, const View& x,
                       const backend::Pool2d& params) const override {
    time("pool2d_backward", dx, {&dy, &x}, [&] { inner_.pool2d_backward(dx, dy, x, params); });
  }
  void layer_norm_backward(const View& dx, const View* dweight, const View* dbias, const View& dy,
                           const View& x, const View* weight, float eps) const override {
    time("layer_norm_backward", dx, {&dy, &x},
         [&] { inner_.layer_norm_backward(dx, dweight, dbias, dy, x, weight, eps); });
  }
  void rms_norm_backward(const View& dx, const View* dweight, const View& dy, const View& x,
                         const View* weight, float eps) const override {
    time("rms_norm_backward", dx, {&dy, &x},
         [&] { inner_.rms_norm_backward(dx, dweight, dy, x, weight, eps); });
  }
  void attention_backward(const View& dq, const View& dk, const View& dv, const View* dbias,
                          const View& dy, const View& q, const View& k, const View& v,
                          const backend::Attention& params) const override {
    time("attention_backward", dq, {&dy, &q, &k, &v},
         [&] { inner_.attention_backward(dq, dk, dv, dbias, dy, q, k, v, params); });
  }
  void linear_backward(const View* dx, const View* dweight, const View* dbias, const View& dy,
                       const View& x, const View& weight,
                       const backend::Epilogue& epilogue) const override {
    time("linear_backward", x, {&dy, &weight},
         [&] { inner_.linear_backward(dx, dweight, dbias, dy, x, weight, epilogue); });
  }
  void conv2d_backward(const View* dx, const View* dweight, const View& dy, const View& x,
                       const View& weight, const backend::Conv2d& params) const override {
    time("conv2d_backward", x, {&dy, &weight},
         [&] { inner_.conv2d_backward(dx, dweight, dy, x, weight, params); });
  }

  std::vector<ProfiledCall>& calls() const { return calls_; }

 private:
  enum class Kind { other, product };

  template <typename Call>
  void time(const char* op, const View& y, std::initializer_list<const View*> inputs,
            const Call& call, Kind kind = Kind::other,
            std::initializer_list<const Packed*> weights = {}) const {
    ProfiledCall record{op, describe(inputs, y)};
    record.bytes = bytes_of(y);
    for (const View* x : inputs) record.bytes += x ? bytes_of(*x) : 0;
    for (const Packed* w : weights) record.bytes += w ? w->bytes : 0;
    // Ops count before they call; copies that they make on the way are none of it.
    if (kind != Kind::other) {
      record.flops = flops_.total() - counted_;
      counted_ = flops_.total();
    }
    const auto begin = Clock::now();
    call();
    const auto end = Clock::now();
    const auto us = [](auto d) { return std::chrono::duration<double, std::micro>(d).count(); };
    record.start_us = us(begin - start_);
    record.us = us(end - begin);
    calls_.push_back(std::move(record));
  }

  const backend::Backend& inner_;
  const FlopCounter& flops_;
  const Clock::time_point start_ = Clock::now();
  mutable int64_t counted_ = 0;
  mutable std::vector<ProfiledCall> calls_;
};

Profile::Profile() : timed_(std::make_unique<Timed>(flops_)), use_(*timed_) {}
Profile::~Profile() = default;

const std::vector<ProfiledCall>& Profile::calls() const {
  return timed_->calls();
}

}  // namespace ocelli
