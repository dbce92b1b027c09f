#include "ocelli/data/dataset.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/data/loader.h"
#include "ocelli/data/shards.h"
#include "ocelli/formats/tar.h"
#include "ocelli/image/encode.h"
#include "tests/support/expect_error.h"
#include "tests/support/noise_image.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {
namespace fs = std::filesystem;

class DatasetTest : public testing::Test {
 protected:
  void image(const std::string& name, uint32_t seed = 1) {
    fs::create_directories((folder_ / name).parent_path());
    write_png(folder_ / name, noise_image(6, 5, seed));
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  std::unique_ptr<Dataset> table(const std::string& text, const DatasetOptions& options = {}) {
    write_file(folder_ / "table.csv", text);
    return open_dataset(at("table.csv"), options);
  }
  // shard-0.tar ..., `samples` each, named and labelled by their number over all.
  void shards(int count, int samples) {
    for (int s = 0; s < count; ++s) {
      TarWriter tar(folder_ / fmt::format("shard-{}.tar", s));
      for (int i = s * samples; i < (s + 1) * samples; ++i) {
        const auto number = static_cast<uint32_t>(i);
        tar.add(fmt::format("{:03}.png", i), encode_png(noise_image(4, 4, number)));
        tar.add(fmt::format("{:03}.txt", i), fmt::format("caption {}\n", i));
        tar.add(fmt::format("{:03}.cls", i), std::to_string(i % 3));
      }
      tar.commit();
    }
  }

  TempFolder folder_;
};

std::vector<int64_t> all_of(const Order& order) {
  std::vector<int64_t> indices;
  while (const auto index = order()) indices.push_back(*index);
  return indices;
}

TEST_F(DatasetTest, ClassFolders) {
  image("dog/b.png", 2);
  image("cat/a.png", 1);
  const auto data = open_dataset(folder_.path().string(), {.target = Target::label});
  EXPECT_EQ(data->size(), 2);
  EXPECT_EQ(data->classes(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(data->labels(), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(data->id(1), at("dog/b.png"));
  const Sample sample = data->get(1);
  EXPECT_EQ(sample.label, 1);
  EXPECT_TRUE(std::ranges::equal(sample.image.pixels.values<uint8_t>(),
                                 noise_image(6, 5, 2).pixels.values<uint8_t>()));
  expect_error(ErrorCode::invalid_argument, {"has labels but no captions"},
               [&] { open_dataset(folder_.path().string(), {.target = Target::caption}); });
}

TEST_F(DatasetTest, AnEmptyClassIsNamed) {
  image("cat/a.png");
  fs::create_directories(folder_ / "dog");
  expect_error(ErrorCode::not_found, {"/dog", "holds no images"},
               [&] { open_dataset(folder_.path().string()); });
}

TEST_F(DatasetTest, TablesByNameAndByPosition) {
  image("a.png");
  const std::string text = "n,file,what,image\n3,a.png,A dog,x.png\n4,a.png,A cat,x.png\n";
  const auto named = table(text, {.columns = {.image = "file", .caption = "what"}});
  EXPECT_EQ(named->size(), 2);
  EXPECT_EQ(named->get(1).caption, "A cat");
  EXPECT_EQ(named->get(1).label, -1);
  EXPECT_EQ(named->id(1), at("a.png"));
  const auto placed = table("3\ta.png\tA dog\n4\ta.png\tA cat\n", {.columns = {"1", "", "2"}});
  EXPECT_EQ(placed->get(0).caption, "A dog");
  const auto labels = table(text, {.columns = {.image = "file", .label = "n"}});
  EXPECT_EQ(labels->classes(), (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(labels->get(1).label, 1);
}

TEST_F(DatasetTest, TablesThatLackSomething) {
  constexpr auto kCode = ErrorCode::invalid_argument;
  const std::string text = "image,caption\na.png,A dog\n";
  expect_error(kCode, {"table.csv", "no column 'text'", "image, caption"},
               [&] { table(text, {.columns = {.caption = "text"}}); });
  expect_error(kCode, {"no column '2'"}, [&] { table(text, {.columns = {.image = "2"}}); });
  expect_error(kCode, {"has captions but no labels"},
               [&] { table(text, {.target = Target::label}); });
  expect_error(kCode, {"has labels but no captions"},
               [&] { table("image,label\na.png,dog\n", {.target = Target::caption}); });
  expect_error(ErrorCode::corrupt_data, {"table.csv", "the caption of", "b.png is missing"},
               [&] { table("image,caption\na.png,A dog\nb.png,\n"); });
}

TEST_F(DatasetTest, ShardsHoldTheirSamples) {
  shards(2, 3);
  const auto data = open_dataset(at("shard-{0..1}.tar"));
  EXPECT_FALSE(data->size());
  std::multiset<std::string> captions;
  for (const int64_t index : all_of(data->order({}, 0))) {
    const Sample sample = data->get(index);
    captions.insert(sample.caption);
    const auto number = static_cast<uint32_t>(std::stoi(sample.caption.substr(8)));
    EXPECT_EQ(sample.label, number % 3);
    EXPECT_TRUE(std::ranges::equal(sample.image.pixels.values<uint8_t>(),
                                   noise_image(4, 4, number).pixels.values<uint8_t>()));
    EXPECT_TRUE(data->id(index).ends_with(fmt::format("{:03}.png", number)));
  }
  EXPECT_EQ(captions, (std::multiset<std::string>{"caption 0", "caption 1", "caption 2",
                                                  "caption 3", "caption 4", "caption 5"}));
}

TEST_F(DatasetTest, ShardsAreShuffledByEpochAndWithinTheBuffer) {
  shards(4, 25);
  const auto data = open_dataset(at("shard-*.tar"));
  const auto first = all_of(data->order({}, 0));
  EXPECT_EQ(first.size(), 100u);
  EXPECT_EQ(std::set<int64_t>(first.begin(), first.end()).size(), 100u);
  EXPECT_EQ(first, all_of(data->order({}, 0)));
  EXPECT_NE(first, all_of(data->order({}, 1)));
  EXPECT_NE(first, all_of(data->order({.seed = 1}, 0)));
  const auto plain = all_of(data->order({.shuffle = false}, 0));
  EXPECT_TRUE(std::ranges::is_sorted(plain));
  // A buffer of 10 lets a sample come at most 9 places early.
  const auto near = all_of(data->order({.shuffle_buffer = 10}, 0));
  std::vector<int64_t> shard_order;
  for (const int64_t index : near) {
    if (std::ranges::find(shard_order, index >> 32) == shard_order.end()) {
      shard_order.push_back(index >> 32);
    }
  }
  for (int64_t i = 0; i < 100; ++i) {
    const int64_t shard = std::ranges::find(shard_order, near[i] >> 32) - shard_order.begin();
    EXPECT_LE(shard * 25 + (near[i] & 0xFFFFFFFF), i + 9);
  }
}

TEST_F(DatasetTest, ShardsAreSplitOverRanks) {
  shards(4, 5);
  const auto data = open_dataset(at("shard-*.tar"));
  std::map<int64_t, std::set<int64_t>> by_shard;
  for (int64_t rank = 0; rank < 2; ++rank) {
    const Sampling sampling{.rank = rank, .world = 2, .epoch_size = 46};
    const auto indices = all_of(data->order(sampling, 3));
    EXPECT_EQ(indices.size(), 23u);  // more than twice its 10 samples: they come again
    for (const int64_t index : std::span(indices).first(10)) by_shard[index >> 32].insert(rank);
  }
  EXPECT_EQ(by_shard.size(), 4u);
  for (const auto& [shard, ranks] : by_shard) EXPECT_EQ(ranks.size(), 1u) << shard;
  constexpr auto kCode = ErrorCode::invalid_argument;
  expect_error(kCode, {"epoch_size"}, [&] { data->order({.world = 2}, 0); });
  expect_error(kCode, {"4 shards cannot be split over 5 ranks"},
               [&] { data->order({.world = 5, .epoch_size = 9}, 0); });
  expect_error(kCode, {"neither weights"}, [&] { data->order({.repeats = 3}, 0); });
}

TEST_F(DatasetTest, ShardsThroughTheLoaderAndBack) {
  shards(3, 7);
  const std::shared_ptr<const Dataset> data = open_dataset(at("shard-*.tar"));
  LoaderOptions options;
  options.batch_size = 4;
  options.processor.resize_height = options.processor.resize_width = 4;
  Loader loader(data, options);
  EXPECT_FALSE(loader.num_batches());
  std::vector<std::vector<int64_t>> batches;
  while (const auto batch = loader.next()) {
    batches.push_back(batch->indices);
    for (const std::string& caption : batch->captions) EXPECT_TRUE(caption.starts_with("caption"));
  }
  EXPECT_EQ(batches.size(), 6u);
  Loader resumed(data, options, {0, 4});
  EXPECT_EQ(resumed.next()->indices, batches[4]);
  EXPECT_EQ(resumed.next()->indices, batches[5]);
  EXPECT_FALSE(resumed.next());
  EXPECT_NE(resumed.next()->indices, batches[0]);
  options.batch_size = 30;
  options.sampling.drop_last = true;
  Loader large(data, options);
  expect_error(ErrorCode::invalid_argument, {"the batch of 30 is larger than the 21 samples"},
               [&] { large.next(); });
}

TEST_F(DatasetTest, ShardsWithBadMembersAndACutOffEnd) {
  TarWriter tar(folder_ / "bad.tar");
  tar.add("a.png", encode_png(noise_image(4, 4, 1)));
  tar.add("a.json", R"({"text": "from json", "label": 5})");
  tar.add("b.png", encode_png(noise_image(4, 4, 2)));  // without a caption
  tar.add("c.png", "no image");
  tar.add("c.txt", "c");
  tar.add("d.png", encode_png(noise_image(4, 4, 3)));
  tar.add("d.cls", "dog");
  tar.add("e.txt", "no image at all");
  tar.add("f.png", encode_png(noise_image(32, 32, 4)));
  tar.commit();
  fs::copy_file(folder_ / "bad.tar", folder_ / "cut.tar");
  fs::resize_file(
      folder_ / "cut.tar",
      static_cast<uintmax_t>(TarArchive(folder_ / "bad.tar").find("f.png")->header + 1000));
  const auto data = open_dataset(at("bad.tar"), {.target = Target::caption});
  EXPECT_EQ(data->get(0).caption, "from json");
  EXPECT_EQ(data->get(0).label, 5);
  constexpr auto kCode = ErrorCode::corrupt_data;
  expect_error(kCode, {"bad.tar/b.png", "no caption"}, [&] { data->get(1); });
  expect_error(kCode, {"bad.tar/c.png"}, [&] { data->get(2); });
  expect_error(kCode, {"'dog' is no label"}, [&] { data->get(3); });
  EXPECT_EQ(all_of(data->order({}, 0)).size(), 5u);

  const std::shared_ptr<const Dataset> cut = open_dataset(at("cut.tar"));
  const auto indices = all_of(cut->order({.shuffle = false}, 0));
  EXPECT_EQ(cut->id(indices.back()), at("cut.tar"));
  expect_error(kCode, {"cut.tar", "cut off"}, [&] { cut->get(indices.back()); });
  expect_error(ErrorCode::not_found, {"none.tar"}, [&] { open_dataset(at("none.tar")); });
}

std::string cifar(int records, size_t labels, int classes) {
  std::string bytes;
  for (int i = 0; i < records; ++i) {
    if (labels == 2) bytes += '\x13';
    bytes += static_cast<char>(i % classes);
    for (int k = 0; k < 3072; ++k) bytes += static_cast<char>(k / 1024 * 50 + (i + k) % 40);
  }
  return bytes;
}

TEST_F(DatasetTest, CifarFiles) {
  for (const auto& [labels, classes] : {std::pair<size_t, int>{1, 10}, {2, 100}}) {
    write_file(folder_ / "test_batch.bin", cifar(120, labels, classes));
    const auto data = open_dataset(at("test_batch.bin"));
    EXPECT_EQ(data->size(), 120);
    EXPECT_EQ(std::ssize(data->classes()), classes);
    const Sample sample = data->get(57);
    EXPECT_EQ(sample.label, 57 % classes);
    const uint8_t* pixel = sample.image.data() + (3 * 32 + 7) * 3;  // k = 103 of each plane
    EXPECT_EQ(pixel[0], (57 + 103) % 40);
    EXPECT_EQ(pixel[1], 50 + (57 + 1024 + 103) % 40);
    EXPECT_EQ(pixel[2], 100 + (57 + 2048 + 103) % 40);
  }
  write_file(folder_ / "data_batch_1.bin", cifar(4, 1, 10));
  write_file(folder_ / "data_batch_2.bin", cifar(3, 1, 10));
  write_file(folder_ / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  const auto folder = open_dataset(folder_.path().string());
  EXPECT_EQ(folder->size(), 7);
  EXPECT_EQ(folder->classes().back(), "j");
  EXPECT_EQ(folder->labels()[5], 1);
  for (const std::string& bytes :
       {std::string(), std::string(3072, '\0'), std::string(3073, '\x0a')}) {
    write_file(folder_ / "other.bin", bytes);
    expect_error(ErrorCode::corrupt_data, {"other.bin: is no CIFAR file"},
                 [&] { open_dataset(at("other.bin")); });
  }
}

std::string idx(std::initializer_list<uint8_t> sizes, size_t bytes) {
  std::string file = {0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint8_t size : sizes) file += {0, 0, 0, static_cast<char>(size)};
  for (size_t i = 0; i < bytes; ++i) file += static_cast<char>(i % 7);
  return file;
}

TEST_F(DatasetTest, IdxFiles) {
  const std::string images = "t-images-idx3-ubyte", labels = "t-labels-idx1-ubyte";
  write_file(folder_ / images, idx({9, 2, 3}, 54));
  write_file(folder_ / labels, idx({9}, 9));
  const auto data = open_dataset(at(images));
  EXPECT_EQ(data->size(), 9);
  EXPECT_EQ(data->classes().size(), 7u);
  const Sample sample = data->get(8);
  EXPECT_EQ(sample.label, 1);
  EXPECT_EQ(sample.image.pixels.shape(), (Shape{2, 3, 3}));
  for (int c = 0; c < 3; ++c) EXPECT_EQ(sample.image.data()[3 * 4 + c], (48 + 4) % 7);
  const auto refused = [&](const std::string& what) {
    expect_error(ErrorCode::corrupt_data, {images, what}, [&] { open_dataset(at(images)); });
  };
  write_file(folder_ / labels, idx({8}, 8));
  refused("9 images, but 8 labels");
  write_file(folder_ / images, idx({9, 2, 3}, 53));
  refused("does not fit");
  write_file(folder_ / images, idx({9, 2}, 18));
  refused("no IDX file of bytes with 3 dimensions");
  write_file(folder_ / images, idx({0, 2, 3}, 0));
  refused("does not fit");
}

TEST(Sampling, RanksGetTheSameNumberAndAllSamples) {
  std::multiset<int64_t> seen;
  for (int64_t rank = 0; rank < 3; ++rank) {
    const auto order = all_of(epoch_order({.rank = rank, .world = 3}, 10, 0));
    EXPECT_EQ(order.size(), 4u);
    seen.insert(order.begin(), order.end());
  }
  EXPECT_EQ(std::set<int64_t>(seen.begin(), seen.end()).size(), 10u);
}

TEST(Sampling, RepeatedAugmentation) {
  std::vector<int64_t> all(512);
  for (int64_t rank = 0; rank < 2; ++rank) {
    const auto order = all_of(epoch_order({.rank = rank, .world = 2, .repeats = 3}, 600, 5));
    EXPECT_EQ(order.size(), 256u);  // 600 // 256 * 256 / 2
    for (size_t i = 0; i < order.size(); ++i) {
      all[place_of({.rank = rank, .world = 2}, static_cast<int64_t>(i))] = order[i];
    }
  }
  std::map<int64_t, int> counts;
  for (size_t i = 0; i < all.size(); ++i) {
    ++counts[all[i]];
    EXPECT_EQ(all[i], all[i / 3 * 3]);
  }
  EXPECT_EQ(counts.size(), 171u);
}

TEST(Sampling, WeightsDrawInProportion) {
  std::vector<int64_t> labels(1000, 0);
  std::fill(labels.begin() + 900, labels.end(), 1);
  Sampling sampling{.weights = balanced_weights(labels), .epoch_size = 20000};
  int64_t rare = 0;
  for (const int64_t index : all_of(epoch_order(sampling, 1000, 0))) rare += labels[index];
  EXPECT_NEAR(static_cast<double>(rare), 10000, 400);
  sampling.weights.pop_back();
  constexpr auto kCode = ErrorCode::invalid_argument;
  expect_error(kCode, {"999 weights", "1000 samples"}, [&] { epoch_order(sampling, 1000, 0); });
  expect_error(kCode, {"do not go together"}, [&] {
    epoch_order({.repeats = 2, .weights = {1, 1}}, 2, 0);
  });
  expect_error(kCode, {"all samples are 0"}, [&] { epoch_order({.weights = {0, 0}}, 2, 0); });
  expect_error(kCode, {"the dataset is empty"}, [&] { epoch_order({}, 0, 0); });
  expect_error(kCode, {"rank 2 is not one of 2"},
               [&] { epoch_order({.rank = 2, .world = 2}, 5, 0); });
}

}  // namespace
}  // namespace ocelli
