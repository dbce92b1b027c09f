#include "ocelli/data/augment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "ocelli/data/mixup.h"
#include "ocelli/data/multi_crop.h"
#include "ocelli/data/random.h"
#include "tests/data/goldens.h"
#include "tests/support/expect_error.h"

namespace ocelli {
namespace {

constexpr int kDraws = 20000;

// Sums of what is drawn, compared with torchvision's own draws within five standard errors.
class Moments {
 public:
  void add(const std::vector<double>& row) {
    sums_.resize(row.size());
    squares_.resize(row.size());
    for (size_t i = 0; i < row.size(); ++i) {
      sums_[i] += row[i];
      squares_[i] += row[i] * row[i];
    }
  }
  void expect_like(const nlohmann::json& expected) const {
    for (size_t i = 0; i < sums_.size(); ++i) {
      const double mean = sums_[i] / kDraws;
      const double deviation = std::sqrt(std::max(squares_[i] / kDraws - mean * mean, 0.0));
      const double theirs = expected["deviation"][i];
      const double error = 5 * std::sqrt(2.0) * expected["error"][i].get<double>();
      EXPECT_NEAR(mean, expected["mean"][i].get<double>(),
                  5 * theirs * std::sqrt(2.0 / kDraws) + 1e-9)
          << i;
      EXPECT_NEAR(deviation, theirs, error + 1e-9) << i;
    }
  }

 private:
  std::vector<double> sums_, squares_;
};

std::vector<double> row_of(const Window& w) {
  return {static_cast<double>(w.top), static_cast<double>(w.left), static_cast<double>(w.height),
          static_cast<double>(w.width)};
}

TEST(RandomResizedCrop, DrawsAsTorchvision) {
  const auto& statistics = golden_json()["statistics"];
  const std::map<std::string, RandomResizedCrop> crops = {
      {"resized_crop", {}},
      {"resized_crop_local", {.scale = {0.05, 0.32}}},
      {"resized_crop_narrow", {}}};
  for (const auto& [name, crop] : crops) {
    const auto& expected = statistics[name];
    const int64_t height = expected["size"][0], width = expected["size"][1];
    Rng rng(1);
    Moments moments;
    for (int i = 0; i < kDraws; ++i) {
      const Window w = crop.sample(height, width, rng);
      ASSERT_TRUE(w.top >= 0 && w.left >= 0 && w.top + w.height <= height &&
                  w.left + w.width <= width && w.height > 0 && w.width > 0);
      moments.add(row_of(w));
    }
    moments.expect_like(expected);
  }
}

TEST(RandomErasing, DrawsAsTorchvisionAndErases) {
  const auto& expected = golden_json()["statistics"]["erasing"];
  Rng rng(2);
  Moments moments;
  for (int i = 0; i < kDraws; ++i) {
    const auto window = RandomErasing{.p = 1}.sample(60, 80, rng);
    moments.add(window ? row_of(*window) : std::vector<double>{0, 0, 60, 80});
  }
  moments.expect_like(expected);
  int times = 0;
  for (int i = 0; i < kDraws; ++i) times += RandomErasing{}.sample(60, 80, rng).has_value();
  EXPECT_NEAR(times, kDraws / 2, 400);

  std::vector<float> pixels(4 * 5 * 3, 9.0f);
  RandomErasing{.value = std::array<float, 3>{1, 2, 3}}.apply(pixels.data(), 5, {1, 2, 2, 3}, rng);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const size_t y = i / 15, x = i / 3 % 5;
    const bool inside = y >= 1 && y < 3 && x >= 2;
    EXPECT_EQ(pixels[i], inside ? static_cast<float>(i % 3 + 1) : 9.0f) << i;
  }
  std::vector<float> noise(64 * 64 * 3);
  RandomErasing{.value = {}}.apply(noise.data(), 64, {0, 0, 64, 64}, rng);
  double sum = 0, squares = 0;
  for (const float v : noise) {
    sum += v;
    squares += v * v;
  }
  const auto count = static_cast<double>(noise.size());
  EXPECT_NEAR(sum / count, 0, 0.05);
  EXPECT_NEAR(squares / count, 1, 0.08);
}

TEST(ColorJitter, AllOrdersAndTheWholeRange) {
  const ColorJitter jitter{.brightness = 0.4, .contrast = 1.5, .saturation = 0.2, .hue = 0.1};
  Rng rng(3);
  std::map<std::vector<int>, int> orders;
  std::array<double, 4> least{9, 9, 9, 9}, most{-9, -9, -9, -9};
  for (int i = 0; i < kDraws; ++i) {
    std::vector<int> order;
    for (const auto& [adjustment, factor] : jitter.sample(rng)) {
      const auto k = static_cast<size_t>(adjustment);
      order.push_back(static_cast<int>(k));
      least[k] = std::min<double>(least[k], factor);
      most[k] = std::max<double>(most[k], factor);
    }
    ++orders[order];
  }
  EXPECT_EQ(orders.size(), 24u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, kDraws / 24.0, 150);
  const std::array<double, 4> low = {0.6, 0.0, 0.8, -0.1}, high = {1.4, 2.5, 1.2, 0.1};
  for (size_t k = 0; k < 4; ++k) {
    const double range = high[k] - low[k];
    EXPECT_GE(least[k], low[k] - 1e-6);
    EXPECT_LT(least[k], low[k] + 0.002 * range);
    EXPECT_LE(most[k], high[k] + 1e-6);
    EXPECT_GT(most[k], high[k] - 0.002 * range);
  }
  EXPECT_EQ(ColorJitter{.contrast = 0.1}.sample(rng).size(), 1u);
}

TEST(Probabilities, AreThoseGiven) {
  Rng rng(4);
  int flips = 0, greys = 0, blurs = 0, solarized = 0, jitters = 0;
  for (int i = 0; i < kDraws; ++i) {
    flips += RandomHorizontalFlip{}.sample(rng);
    greys += RandomGrayscale{}.sample(rng);
    const auto sigma = GaussianBlur{.p = 0.3}.sample(rng);
    blurs += sigma.has_value();
    EXPECT_TRUE(!sigma || (*sigma >= 0.1 && *sigma < 2.0));
    solarized += RandomSolarize{.p = 0.2}.sample(rng);
    jitters += !ColorJitter{.hue = 0.1, .p = 0.8}.sample(rng).empty();
  }
  EXPECT_NEAR(flips, 0.5 * kDraws, 360);
  EXPECT_NEAR(greys, 0.1 * kDraws, 220);
  EXPECT_NEAR(blurs, 0.3 * kDraws, 330);
  EXPECT_NEAR(solarized, 0.2 * kDraws, 290);
  EXPECT_NEAR(jitters, 0.8 * kDraws, 290);
}

// Applying what was sampled is calling.
TEST(Transforms, AreSampleAndApply) {
  const Image image = golden_image("photo");
  const auto same = [&](const auto& transform, const Image& expected) {
    Rng rng(5);
    const Image called = transform(image, rng);
    ASSERT_EQ(called.pixels.shape(), expected.pixels.shape());
    EXPECT_TRUE(
        std::ranges::equal(called.pixels.values<uint8_t>(), expected.pixels.values<uint8_t>()));
  };
  Rng rng(5);
  const RandomResizedCrop crop{.height = 9, .width = 7};
  same(crop, crop.apply(image, crop.sample(17, 23, rng)));
  rng = Rng(5);
  const ColorJitter jitter{.brightness = 0.5, .contrast = 0.5, .saturation = 0.5, .hue = 0.5};
  same(jitter, jitter.apply(image, jitter.sample(rng)));
  rng = Rng(5);
  const RandAugment rand_augment;
  same(rand_augment, rand_augment.apply(image, rand_augment.sample(17, 23, rng)));
  rng = Rng(5);
  const TrivialAugmentWide trivial;
  same(trivial, trivial.apply(image, trivial.sample(rng)));
}

// Every operation as often as the others, with torchvision's magnitudes and both signs.
void expect_space(const std::string& policy, const std::function<AugmentOp(Rng&)>& sample,
                  bool one_magnitude) {
  static constexpr const char* kNames[] = {
      "Identity", "ShearX",   "ShearY",    "TranslateX", "TranslateY", "Rotate",       "Brightness",
      "Color",    "Contrast", "Sharpness", "Posterize",  "Solarize",   "AutoContrast", "Equalize"};
  Rng rng(6);
  std::map<AugmentOp::Kind, std::map<double, int>> drawn;
  for (int i = 0; i < kDraws; ++i) {
    const AugmentOp op = sample(rng);
    ++drawn[op.kind][op.magnitude];
  }
  ASSERT_EQ(drawn.size(), std::size(kNames));
  for (const auto& [kind, magnitudes] : drawn) {
    const auto& space = golden_json()["spaces"][policy][kNames[static_cast<size_t>(kind)]];
    std::vector<double> expected = space["magnitudes"];
    if (one_magnitude && expected.size() > 1) expected = {expected[9]};
    const bool is_signed = space["signed"];
    int total = 0, negative = 0;
    for (const auto& [magnitude, count] : magnitudes) {
      total += count;
      negative += std::signbit(magnitude) ? count : 0;
      const bool known = std::ranges::any_of(expected, [&, m = magnitude](double e) {
        return std::abs(std::abs(m) - e) < 1e-5 * std::max(1.0, e);
      });
      EXPECT_TRUE(known) << policy << " " << kNames[static_cast<size_t>(kind)] << magnitude;
    }
    EXPECT_NEAR(total, kDraws / 14.0, 190);
    EXPECT_NEAR(negative, is_signed ? total / 2.0 : 0.0, is_signed ? 100 : 0);
    std::set<double> distinct(expected.begin(), expected.end());
    const bool zero = distinct.contains(0.0);
    EXPECT_GE(magnitudes.size(), is_signed ? 2 * distinct.size() - zero : distinct.size());
  }
}

TEST(RandAugment, TorchvisionsSpace) {
  expect_space(
      "RandAugment", [](Rng& rng) { return RandAugment{}.sample(17, 23, rng).back(); }, true);
  Rng rng(7);
  EXPECT_EQ(RandAugment{.num_ops = 3}.sample(5, 5, rng).size(), 3u);
  expect_error(ErrorCode::invalid_argument, {"magnitude 31", "31 bins"},
               [&] { RandAugment{.magnitude = 31}.sample(5, 5, rng); });
}

TEST(TrivialAugmentWide, TorchvisionsSpace) {
  expect_space(
      "TrivialAugmentWide", [](Rng& rng) { return TrivialAugmentWide{}.sample(rng); }, false);
}

TEST(Random, BetaHasItsMoments) {
  for (const double alpha : {0.2, 0.8, 1.0, 5.0}) {
    Rng rng(8);
    double sum = 0, squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double x = beta(rng, alpha, alpha);
      ASSERT_TRUE(x >= 0 && x <= 1);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    EXPECT_NEAR(sum / kDraws, 0.5, 0.015);
    EXPECT_NEAR(squares / kDraws, 0.25 / (2 * alpha + 1), 0.005) << alpha;
  }
}

TEST(Random, KeysMakeStreamsOfTheirOwn) {
  std::set<uint32_t> first;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    for (uint64_t epoch = 0; epoch < 4; ++epoch) {
      for (uint64_t sample = 0; sample < 64; ++sample) {
        first.insert(keyed_rng({seed, epoch, sample}).next_u32());
      }
    }
  }
  EXPECT_EQ(first.size(), 1024u);
  EXPECT_EQ(keyed_rng({1, 2, 3}).next_u32(), keyed_rng({1, 2, 3}).next_u32());
}

TEST(Mixup, EqualsTimms) {
  const std::vector<int32_t> classes = {0, 2, 2, 1};
  const Tensor labels = Tensor::from<int32_t>(classes, {4});
  const std::map<std::string, Mixup::Mix> mixes = {{"mixup", {0.3, {}}},
                                                   {"cutmix", {1 - 12.0 / 30, Window{1, 2, 3, 4}}}};
  for (const auto& [name, mix] : mixes) {
    const Tensor source = golden_tensor("batch.images");
    const Tensor images = Tensor::from<float>(source.values<float>(), source.shape());
    const std::vector<Mixup::Mix> all(4, mix);
    Mixup{}.apply(images, all);
    const Tensor targets = Mixup{}.targets(labels, all, 3);
    for (const auto& [ours, theirs] : {std::pair(images, golden_tensor(name + ".images")),
                                       std::pair(targets, golden_tensor(name + ".targets"))}) {
      ASSERT_EQ(ours.shape(), theirs.shape());
      for (int64_t i = 0; i < ours.numel(); ++i) {
        EXPECT_NEAR(ours.data<float>()[i], theirs.data<float>()[i], 1e-6) << name << i;
      }
    }
  }
}

TEST(Mixup, ModesAndProbabilities) {
  Rng rng(9);
  const Mixup both{.cutmix_alpha = 1, .prob = 0.8, .switch_prob = 0.25, .mode = Mixup::Mode::elem};
  const auto mixes = both.sample(kDraws, 20, 30, rng);
  int cut = 0, none = 0;
  for (const auto& [lam, box] : mixes) {
    cut += box.has_value();
    none += !box && lam == 1;
    if (!box) continue;
    EXPECT_NEAR(lam, 1 - static_cast<double>(box->height * box->width) / 600, 1e-12);
    EXPECT_TRUE(box->top >= 0 && box->left >= 0 && box->top + box->height <= 20 &&
                box->left + box->width <= 30);
  }
  EXPECT_NEAR(none, 0.2 * kDraws, 300);
  EXPECT_NEAR(cut, 0.2 * kDraws, 300);
  const auto alike = Mixup{}.sample(8, 20, 30, rng);
  for (const auto& mix : alike) EXPECT_EQ(mix.lam, alike[0].lam);
  expect_error(ErrorCode::invalid_argument, {"mixup_alpha 0"},
               [&] { Mixup{.mixup_alpha = 0}.sample(2, 2, 2, rng); });
  const std::vector<int32_t> outside = {0, 5};
  expect_error(ErrorCode::invalid_argument, {"the label 5 is outside the 3 classes"}, [&] {
    Mixup{}.targets(Tensor::from<int32_t>(outside, {2}), std::vector<Mixup::Mix>(2), 3);
  });
}

TEST(MultiCrop, SizesAndViewsOfTheirOwn) {
  const MultiCrop crops{.global_crops_size = 12, .local_crops_size = 6};
  const Image image = golden_image("photo");
  Rng rng(10);
  EXPECT_EQ(crops.global_view(0)(image, rng).pixels.shape(), (Shape{12, 12, 3}));
  EXPECT_EQ(crops.global_view(1)(image, rng).pixels.shape(), (Shape{12, 12, 3}));
  EXPECT_EQ(crops.local_view()(image, rng).pixels.shape(), (Shape{6, 6, 3}));
}

// Jitter leaves white above 153: what is darker was solarized.
TEST(MultiCrop, OnlyTheSecondViewIsSolarized) {
  const MultiCrop crops{.global_crops_size = 8, .local_crops_size = 6};
  const std::vector<uint8_t> white(10 * 10 * 3, 255);
  const Image image{Tensor::from<uint8_t>(white, {10, 10, 3}), "white"};
  Rng rng(13);
  const auto dark = [&](const Transform& view) {
    int count = 0;
    for (int i = 0; i < 2000; ++i) count += view(image, rng).data()[0] < 150;
    return count;
  };
  EXPECT_EQ(dark(crops.global_view(0)), 0);
  EXPECT_NEAR(dark(crops.global_view(1)), 400, 90);
  EXPECT_EQ(dark(crops.local_view()), 0);
}

TEST(BlockMasks, AsManyPatchesAsAskedForInBlocks) {
  const BlockMasks masks{.height = 14, .width = 14};
  Rng rng(11);
  for (const int64_t wanted : {0, 4, 20, 98}) {
    int64_t total = 0;
    for (int i = 0; i < 200; ++i) {
      const auto mask = masks.sample(wanted, rng);
      const int64_t count = std::ranges::count(mask, 1);
      EXPECT_EQ(count + std::ranges::count(mask, 0), 196);
      EXPECT_LE(count, wanted);
      total += count;
    }
    // The generator gives up when ten blocks in a row do not fit: on average few patches short.
    EXPECT_GE(total, 200 * (wanted - 4)) << wanted;
  }
}

TEST(BlockMasks, SharesGoUpOverTheBatch) {
  const BlockMasks masks{.height = 16, .width = 16};
  Rng rng(12);
  const Tensor batch = masks.sample_batch(64, rng);
  ASSERT_EQ(batch.shape(), (Shape{64, 256}));
  std::vector<int64_t> counts;
  for (int64_t i = 0; i < 64; ++i) {
    const Tensor row = batch.select(0, i);
    counts.push_back(std::ranges::count(row.values<uint8_t>(), 1));
  }
  EXPECT_FALSE(std::ranges::is_sorted(counts));  // in random order
  std::ranges::sort(counts);
  EXPECT_EQ(counts[31], 0);
  EXPECT_GT(counts[32], 0);
  for (int i = 0; i < 32; ++i) {
    const double share = static_cast<double>(counts[32 + i]) / 256;
    EXPECT_NEAR(share, 0.1 + 0.4 * (i + 0.5) / 32, 0.035) << i;
  }
}

}  // namespace
}  // namespace ocelli
