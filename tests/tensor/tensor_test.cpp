#include "ocelli/tensor/tensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

#include "ocelli/tensor/allocator.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

Tensor iota(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  std::iota(t.values<float>().begin(), t.values<float>().end(), 0.0f);
  return t;
}

TEST(Tensor, ViewsShareMemory) {
  const Tensor t = iota({2, 3, 4});
  EXPECT_EQ(t.select(0, 1).select(0, 2).data<float>()[0], 20);
  EXPECT_EQ(t.transpose(0, 2).shape(), (Shape{4, 3, 2}));
  EXPECT_FALSE(t.transpose(0, 2).is_contiguous());
  EXPECT_EQ(t.slice(2, 1, 4, 2).shape(), (Shape{2, 3, 2}));
  EXPECT_EQ(t.slice(1, -2, 100).data<float>()[0], 4);
  EXPECT_EQ(t.view({6, 4}).shape(), (Shape{6, 4}));
  EXPECT_EQ(t.unsqueeze(-1).shape(), (Shape{2, 3, 4, 1}));
  EXPECT_EQ(t.expand({5, 2, 3, 4}).strides(), (Shape{0, 12, 4, 1}));
  EXPECT_THROW(t.squeeze(0), Error);
  EXPECT_THROW(t.data<int>(), Error);
}

TEST(Tensor, ViewFollowsStrides) {
  const Tensor t = iota({4, 6, 8}).slice(2, 0, 4);  // rows of 4 in steps of 8
  EXPECT_TRUE(t.can_view({24, 4}));
  EXPECT_EQ(t.view({24, 4}).strides(), (Shape{8, 1}));
  EXPECT_TRUE(t.can_view({2, 2, 6, 2, 2}));
  EXPECT_FALSE(t.can_view({96}));
  EXPECT_THROW(t.view({96}), Error);
  EXPECT_FALSE(t.transpose(0, 1).can_view({24, 4}));
  EXPECT_TRUE(Tensor::empty({0, 3}).can_view({3, 0}));
}

TEST(Tensor, ContiguousCopiesAnyStrides) {
  const Tensor t = contiguous(iota({2, 3, 4}).permute({2, 0, 1}));
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(t.values<float>()[0], 0);
  EXPECT_EQ(t.values<float>()[1], 4);
  EXPECT_EQ(t.values<float>()[6], 1);
  const Tensor scalar = Tensor::full({}, 3);
  EXPECT_EQ(contiguous(scalar).values<float>()[0], 3);
}

TEST(Convert, RoundsToNearestEven) {
  EXPECT_EQ(to_bfloat16(1.00390625f).bits, 0x3f80);  // tie, to even
  EXPECT_EQ(to_bfloat16(1.01171875f).bits, 0x3f82);  // tie, to even
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(to_float(to_half(65504.0f)), 65504.0f);
  EXPECT_TRUE(std::isinf(to_float(to_half(1e6f))));
  const Tensor t = to(to(iota({3, 5}), DType::bf16), DType::f32);
  for (int i = 0; i < 15; ++i) EXPECT_EQ(t.values<float>()[static_cast<size_t>(i)], i);
}

TEST(Convert, RefusesIntegersThatDoNotFit) {
  const std::vector<int64_t> values = {1, int64_t{1} << 40};
  EXPECT_THROW(to(Tensor::from<int64_t>(values, {2}), DType::i32), Error);
}

TEST(Allocator, ReusesFreedBlocks) {
  release_cached_memory();
  { Tensor::empty({1000, 1000}); }
  const int64_t before = allocator_stats().system_allocations;
  for (int i = 0; i < 10; ++i) Tensor::empty({1000, 1000});
  EXPECT_EQ(allocator_stats().system_allocations, before);
  EXPECT_GT(allocator_stats().bytes_cached, 4000000 - 1);
  release_cached_memory();
  EXPECT_EQ(allocator_stats().bytes_cached, 0);
}

TEST(Allocator, IsAlignedAndThreadSafe) {
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([k] {
      for (int i = 0; i < 500; ++i) {
        const Tensor t = Tensor::full({(i * 37 + k) % 1000 + 1}, static_cast<float>(k));
        ASSERT_EQ(reinterpret_cast<uintptr_t>(t.raw()) % 64, 0u);
        for (float x : t.values<float>()) ASSERT_EQ(x, static_cast<float>(k));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Tensor, RefusesTooManyElements) {
  EXPECT_THROW(Tensor::empty({int64_t{1} << 62, 2}), Error);
  EXPECT_THROW(Tensor::empty({int64_t{1} << 50}), Error);
}

}  // namespace
}  // namespace ocelli
