#include "ocelli/data/loader.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/base/progress.h"
#include "ocelli/image/encode.h"
#include "tests/support/expect_error.h"
#include "tests/support/noise_image.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {
namespace fs = std::filesystem;

// Class folders a and b with pictures of 12 x 10 pixels.
class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 20; ++i) {
      const std::string name = fmt::format("{}/{:02}.png", i < 12 ? "a" : "b", i);
      fs::create_directories((folder_ / name).parent_path());
      write_png(folder_ / name, noise_image(10, 12, static_cast<uint32_t>(i)));
    }
  }

  std::shared_ptr<const Dataset> data() const { return open_dataset(folder_.path().string()); }

  static LoaderOptions options() {
    LoaderOptions o;
    o.batch_size = 3;
    o.sampling.seed = 7;
    o.processor.resize_height = o.processor.resize_width = 8;
    o.transform = compose({RandomResizedCrop{.height = 8, .width = 8}, RandomHorizontalFlip{},
                           ColorJitter{.brightness = 0.4, .hue = 0.1}});
    o.threads = 2;
    return o;
  }

  TempFolder folder_;
};

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.captions, b.captions);
  const auto same = [](const Tensor& x, const Tensor& y) {
    ASSERT_EQ(x.defined(), y.defined());
    if (!x.defined()) return;
    ASSERT_EQ(x.shape(), y.shape());
    EXPECT_EQ(std::memcmp(x.raw(), y.raw(), x.nbytes()), 0);
  };
  same(a.images, b.images);
  same(a.local_crops, b.local_crops);
  same(a.masks, b.masks);
  same(a.labels, b.labels);
}

std::vector<Batch> take(Loader& loader, int count) {
  std::vector<Batch> batches;
  while (std::ssize(batches) < count) {
    if (auto batch = loader.next()) batches.push_back(std::move(*batch));
  }
  return batches;
}

TEST_F(LoaderTest, AnEpochHasEachSampleOnce) {
  LoaderOptions o = options();
  Loader loader(data(), o);
  EXPECT_EQ(loader.num_batches(), 7);
  std::multiset<int64_t> seen;
  std::vector<int64_t> first;
  int batches = 0;
  while (const auto batch = loader.next()) {
    ++batches;
    EXPECT_EQ(batch->images.shape(), (Shape{batch->size(), 8, 8, 3}));
    for (size_t i = 0; i < batch->indices.size(); ++i) {
      seen.insert(batch->indices[i]);
      first.push_back(batch->indices[i]);
      EXPECT_EQ(batch->labels.data<int32_t>()[i], batch->indices[i] < 12 ? 0 : 1);
    }
  }
  EXPECT_EQ(batches, 7);
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 20u);
  EXPECT_FALSE(std::ranges::is_sorted(first));
  EXPECT_NE(take(loader, 1)[0].indices, std::vector<int64_t>(first.begin(), first.begin() + 3));
}

TEST_F(LoaderTest, ThreadsChangeNothing) {
  LoaderOptions o = options();
  o.erasing = RandomErasing{.value = {}};
  o.mixup = Mixup{.cutmix_alpha = 1};
  o.threads = 1;
  Loader one(data(), o);
  o.threads = 4;
  o.prefetch = 5;
  Loader four(data(), o);
  const auto a = take(one, 15), b = take(four, 15);
  for (size_t i = 0; i < a.size(); ++i) expect_equal(a[i], b[i]);
}

// Bit for bit, from any batch on.
TEST_F(LoaderTest, GoesOnWhereItStood) {
  const LoaderOptions o = options();
  Loader whole(data(), o);
  std::vector<LoaderState> states;
  std::vector<std::optional<Batch>> batches;
  for (int i = 0; i < 18; ++i) {
    states.push_back(whole.state());
    batches.push_back(whole.next());
  }
  EXPECT_EQ(std::ranges::count_if(batches, [](const auto& b) { return !b; }), 2);
  for (size_t from = 0; from < states.size(); from += 2) {
    Loader resumed(data(), o, states[from]);
    for (size_t i = from; i < std::min(from + 4, batches.size()); ++i) {
      const auto batch = resumed.next();
      ASSERT_EQ(batch.has_value(), batches[i].has_value());
      if (batch) expect_equal(*batch, *batches[i]);
    }
  }
}

TEST_F(LoaderTest, WithoutATransformImagesAreAsTheModelSeesThem) {
  LoaderOptions o = options();
  o.transform = {};
  o.sampling.shuffle = false;
  Loader loader(data(), o);
  const Batch batch = *loader.next();
  const Tensor expected = preprocess(o.processor, data()->get(1).image);
  EXPECT_EQ(std::memcmp(batch.images.select(0, 1).raw(), expected.raw(), expected.nbytes()), 0);
}

// Two ranks together see what one process sees, batch for batch.
class Shared : public LoaderTest {
 protected:
  void expect_shared(LoaderOptions o) {
    Loader one(data(), o);
    o.batch_size /= 2;
    o.sampling.world = 2;
    Loader first(data(), o);
    o.sampling.rank = 1;
    Loader second(data(), o);
    for (int step = 0; step < 5; ++step) {
      const Batch all = *one.next(), parts[] = {*first.next(), *second.next()};
      const std::vector<std::array<Tensor, 3>> mine = {tensors(parts[0]), tensors(parts[1])};
      for (int64_t i = 0; i < all.size(); ++i) {
        const int64_t rank = i % 4 == 0 || i % 4 == 3 ? 0 : 1;
        EXPECT_EQ(all.indices[i], parts[rank].indices[i / 2]);
        for (size_t k = 0; k < 3; ++k) {
          if (!tensors(all)[k].defined()) continue;
          const int64_t views = tensors(all)[k].size(0) / all.size();
          for (int64_t v = 0; v < views; ++v) {
            const Tensor x = tensors(all)[k].select(0, v * all.size() + i),
                         y = mine[rank][k].select(0, v * all.size() / 2 + i / 2);
            ASSERT_EQ(std::memcmp(x.raw(), y.raw(), x.nbytes()), 0) << step << " " << i << " " << k;
          }
        }
      }
    }
  }

 private:
  static std::array<Tensor, 3> tensors(const Batch& batch) {
    return {batch.images, batch.labels, batch.masks};
  }
};

TEST_F(Shared, Samples) {
  LoaderOptions o = options();
  o.batch_size = 4;
  expect_shared(o);
}

TEST_F(Shared, MixupAndCutMix) {
  LoaderOptions o = options();
  o.batch_size = 4;
  for (const auto mode : {Mixup::Mode::batch, Mixup::Mode::elem}) {
    o.mixup = Mixup{.cutmix_alpha = 1, .mode = mode};
    expect_shared(o);
  }
}

TEST_F(Shared, ViewsAndMasks) {
  LoaderOptions o = options();
  o.batch_size = 4;
  o.transform = {};
  o.multi_crop = MultiCrop{.global_crops_size = 8, .local_crops_size = 4, .local_crops_number = 1};
  o.masks = BlockMasks{.height = 8, .width = 8};
  expect_shared(o);
}

TEST_F(LoaderTest, BadImagesAreReplacedCountedAndListed) {
  write_file(folder_ / "a/03.png", "no image");
  fs::remove(folder_ / "b/15.png");
  LoaderOptions o = options();
  const auto dataset = data();  // 19 samples: the removed one is not listed
  fs::remove(folder_ / "b/16.png");
  Loader loader(dataset, o), again(dataset, o);
  for (int epoch = 0; epoch < 2; ++epoch) {
    while (const auto batch = loader.next()) {
      expect_equal(*batch, *again.next());
      for (const int64_t index : batch->indices) {
        EXPECT_NE(index, 3);
        EXPECT_NE(index, 15);
      }
    }
    EXPECT_FALSE(again.next());
  }
  const auto bad = loader.bad_samples();
  ASSERT_EQ(bad.size(), 2u);
  EXPECT_TRUE(bad[0].id.ends_with("a/03.png")) << bad[0].id;
  EXPECT_NE(bad[0].error.find("not an image"), std::string::npos) << bad[0].error;
  EXPECT_TRUE(bad[1].id.ends_with("b/16.png")) << bad[1].id;
  EXPECT_GE(loader.replaced(), 4);
}

TEST_F(LoaderTest, NothingReadableIsAnError) {
  const auto dataset = data();
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    if (entry.is_regular_file()) write_file(entry.path(), "x");
  }
  Loader loader(dataset, options());
  expect_error(ErrorCode::corrupt_data, {"21 samples in a row cannot be read"},
               [&] { loader.next(); });
}

TEST_F(LoaderTest, DropLastAndTheLastBatch) {
  LoaderOptions o = options();
  o.batch_size = 8;
  Loader kept(data(), o);
  std::vector<int64_t> sizes;
  while (const auto batch = kept.next()) sizes.push_back(batch->size());
  EXPECT_EQ(sizes, (std::vector<int64_t>{8, 8, 4}));
  o.sampling.drop_last = true;
  Loader dropped(data(), o);
  EXPECT_EQ(dropped.num_batches(), 2);
  sizes.clear();
  while (const auto batch = dropped.next()) sizes.push_back(batch->size());
  EXPECT_EQ(sizes, (std::vector<int64_t>{8, 8}));
  o.batch_size = 2;
  o.sampling.world = 6;  // 12 of 20 samples are in a batch of all ranks
  Loader shared(data(), o);
  EXPECT_EQ(shared.num_batches(), 1);
  EXPECT_TRUE(shared.next());
  EXPECT_FALSE(shared.next());
}

TEST_F(LoaderTest, OptionsThatDoNotGo) {
  LoaderOptions o = options();
  o.batch_size = 21;
  o.sampling.drop_last = true;
  expect_error(ErrorCode::invalid_argument,
               {"the batch of 21 is larger than the 20 samples of the data"},
               [&] { Loader(data(), o); });
  o = options();
  o.num_classes = 1;
  Loader loader(data(), o);
  expect_error(ErrorCode::invalid_argument, {"b/", "the label 1 is outside the 1 classes"}, [&] {
    while (loader.next()) {
    }
  });
  o = options();
  o.transform = RandomResizedCrop{.height = 9, .width = 8};
  Loader wrong(data(), o);
  expect_error(ErrorCode::invalid_argument, {"a view is 8 x 9", "are 8 x 8"},
               [&] { wrong.next(); });
}

TEST_F(LoaderTest, MultiCropAndMasks) {
  LoaderOptions o = options();
  o.transform = {};
  o.multi_crop = MultiCrop{.global_crops_size = 16, .local_crops_size = 8, .local_crops_number = 3};
  o.masks = BlockMasks{.height = 4, .width = 4};
  Loader loader(data(), o);
  const Batch batch = *loader.next();
  EXPECT_EQ(batch.images.shape(), (Shape{6, 16, 16, 3}));
  EXPECT_EQ(batch.local_crops.shape(), (Shape{9, 8, 8, 3}));
  EXPECT_EQ(batch.masks.shape(), (Shape{6, 16}));
}

TEST_F(LoaderTest, ACancelledProcessStops) {
  Loader loader(data(), options());
  request_cancel();
  expect_error(ErrorCode::cancelled, {}, [&] {
    for (int i = 0; i < 1000; ++i) loader.next();
  });
  clear_cancel();
}

}  // namespace
}  // namespace ocelli
