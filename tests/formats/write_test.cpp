// What Ocelli writes, it reads back; a write that fails leaves the old file.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <functional>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/npy.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"
#include "tests/formats/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

Tensor ramp(const Shape& shape, DType dtype) {
  const Tensor t = Tensor::empty(shape);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<float>()[i] = static_cast<float>(i) * 0.75f - 3;
  return to(t, dtype);
}

void expect_equal(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  const Tensor x = contiguous(a), y = contiguous(b);
  EXPECT_TRUE(std::equal(static_cast<char*>(x.raw()), static_cast<char*>(x.raw()) + x.nbytes(),
                         static_cast<char*>(y.raw())));
}

constexpr DType kAll[] = {DType::f32, DType::f16, DType::bf16, DType::i8, DType::i32, DType::i64};

class Writing : public TempFolderTest {
 protected:
  // Nothing but `names` is left in the folder.
  void expect_files(std::vector<std::string> names) const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_))
      found.push_back(entry.path().filename());
    std::ranges::sort(found);
    EXPECT_EQ(found, names);
  }
};

TEST_F(Writing, Safetensors) {
  std::vector<NamedTensor> tensors;
  for (const DType dtype : kAll) tensors.push_back({dtype_name(dtype), ramp({3, 5}, dtype)});
  tensors.push_back({"transposed", ramp({4, 3}, DType::f32).transpose(0, 1)});
  tensors.push_back({"scalar", ramp({}, DType::f32)});
  tensors.push_back({"empty", ramp({0, 2}, DType::f16)});
  write_safetensors(folder_ / "x.safetensors", tensors, {{"format", "pt"}});
  const Safetensors source(folder_ / "x.safetensors");
  EXPECT_EQ(source.tensors().size(), tensors.size());
  EXPECT_EQ(source.metadata().at("format"), "pt");
  for (const NamedTensor& t : tensors) expect_equal(source.load(t.name), t.tensor);
  EXPECT_EQ(*reinterpret_cast<const uint64_t*>(read_file(folder_ / "x.safetensors").data()) % 8,
            0u);
  expect_files({"x.safetensors"});
}

TEST_F(Writing, SafetensorsNames) {
  const Tensor t = ramp({1}, DType::f32);
  const auto write = [&](std::vector<NamedTensor> tensors) {
    write_safetensors(folder_ / "x", tensors);
  };
  expect_error(ErrorCode::invalid_argument, {"a", "twice"}, [&] { write({{"a", t}, {"a", t}}); });
  expect_error(ErrorCode::invalid_argument, {"__metadata__"}, [&] {
    write({{"__metadata__", t}});
  });
  expect_error(ErrorCode::unsupported, {"UTF-8"}, [&] { write({{"\xff", t}}); });
  write({{"\"quoted\"\n", t}, {"grüß", t}});
  EXPECT_NO_THROW(Safetensors(folder_ / "x").load("\"quoted\"\n"));
}

TEST_F(Writing, Npy) {
  for (const Shape& shape :
       {Shape{}, Shape{7}, Shape{2, 3, 4}, Shape{0, 4}, Shape{1, 1, 1, 1, 1, 1, 1, 2}}) {
    for (const DType dtype : kAll) {
      const Tensor t = ramp(shape, dtype);
      if (dtype == DType::bf16) {
        expect_error(ErrorCode::unsupported, {"bf16"}, [&] { write_npy(folder_ / "x.npy", t); });
        continue;
      }
      write_npy(folder_ / "x.npy", t);
      expect_equal(read_npy(folder_ / "x.npy"), t);
    }
  }
  write_npy(folder_ / "x.npy", ramp({4, 3}, DType::f32).transpose(0, 1));
  expect_equal(read_npy(folder_ / "x.npy"), ramp({4, 3}, DType::f32).transpose(0, 1));
  expect_files({"x.npy"});
}

TEST_F(Writing, NpyByRows) {
  {
    NpyWriter writer(folder_ / "x.npy", {3}, DType::f16);
    for (int i = 0; i < 4; ++i) writer.append(ramp({3}, DType::f32));
    expect_error(ErrorCode::invalid_argument, {"[2]", "[3]"},
                 [&] { writer.append(ramp({2}, DType::f32)); });
    EXPECT_FALSE(fs::exists(folder_ / "x.npy"));
    writer.commit();
  }
  const Tensor rows = read_npy(folder_ / "x.npy");
  EXPECT_EQ(rows.shape(), (Shape{4, 3}));
  expect_equal(contiguous(rows.select(0, 3)), ramp({3}, DType::f16));
  {
    NpyWriter abandoned(folder_ / "y.npy", {}, DType::f32);
    abandoned.append(ramp({}, DType::f32));
  }
  expect_files({"x.npy"});
  NpyWriter long_header(folder_ / "z.npy",
                        {1, 1, 1000000007, 1000000007, 0, 1000000007, 1000000007}, DType::f32);
  long_header.append(Tensor::empty({1, 1, 1000000007, 1000000007, 0, 1000000007, 1000000007}));
  long_header.commit();
  EXPECT_EQ(read_npy(folder_ / "z.npy").size(0), 1);
  EXPECT_THROW(NpyWriter(folder_ / "w.npy", {1, 1, 1, 1, 1, 1, 1, 1}, DType::f32), Error);
}

TEST_F(Writing, Npz) {
  const std::map<std::string, Tensor> arrays = {{"a", ramp({2, 3}, DType::f32)},
                                                {"b.c", ramp({}, DType::i64)},
                                                {"empty", ramp({0}, DType::f16)}};
  write_npz(folder_ / "x.npz", arrays);
  const auto source = open_checkpoint(folder_ / "x.npz");
  EXPECT_EQ(source->tensors().size(), 3u);
  for (const auto& [name, t] : arrays) expect_equal(source->load(name), t);
}

TEST_F(Writing, DiskFullKeepsTheOldFile) {
  const Tensor big = ramp({40'000}, DType::f32);
  for (const char* name : {"x.safetensors", "x.npy", "x.npz", "rows.npy"}) write(name, "old");
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{65'536, old.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto full = [&](const std::string& name, const std::function<void(const fs::path&)>& call) {
    expect_error(ErrorCode::io, {name, "cannot be written"}, [&] { call(folder_ / name); });
  };
  full("x.safetensors", [&](const fs::path& path) {
    write_safetensors(path, std::vector<NamedTensor>{{"big", big}});
  });
  full("x.npy", [&](const fs::path& path) { write_npy(path, big); });
  full("x.npz", [&](const fs::path& path) { write_npz(path, {{"big", big}}); });
  full("rows.npy", [&](const fs::path& path) {
    NpyWriter writer(path, {10'000}, DType::f32);
    for (int i = 0; i < 4; ++i) writer.append(contiguous(big.slice(0, 0, 10'000)));
    writer.commit();
  });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  expect_files({"rows.npy", "x.npy", "x.npz", "x.safetensors"});
  for (const char* name : {"x.safetensors", "x.npy", "x.npz", "rows.npy"})
    EXPECT_EQ(read_file(folder_ / name), "old");
}

TEST_F(Writing, AFolderThatIsNotThere) {
  expect_error(ErrorCode::io, {"no/x.npy"},
               [&] { write_npy(folder_ / "no" / "x.npy", ramp({1}, DType::f32)); });
}

TEST(OpenCheckpoint, KnowsSafetensorsWhateverTheLengthOfTheHeader) {
  const TempFolder folder;
  const std::filesystem::path file = folder / "x.safetensors";
  for (int padding = 0; padding < 256; padding += 8) {
    write_safetensors(file, std::vector<NamedTensor>{{"x", Tensor::full({1}, 2)}},
                      {{"pad", std::string(padding, '-')}});
    ASSERT_EQ(open_checkpoint(file)->load("x").data<float>()[0], 2) << padding;
  }
}

}  // namespace
}  // namespace ocelli
