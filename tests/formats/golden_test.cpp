// Every file of the libraries that own the formats reads as they read it.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/npy.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"
#include "tests/formats/support.h"

namespace ocelli {
namespace {

const nlohmann::json& expected() {
  static const auto kExpected = nlohmann::json::parse(read_file(golden("expected.json")));
  return kExpected;
}

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& [name, tensors] : expected().items()) names.push_back(name);
  return names;
}

void expect_tensor(const Tensor& t, const nlohmann::json& want, const std::string& name) {
  EXPECT_STREQ(dtype_name(t.dtype()), want["dtype"].get<std::string>().c_str()) << name;
  ASSERT_EQ(t.shape(), Shape(want["shape"].get<std::vector<int64_t>>())) << name;
  const auto values = want["values"].get<std::vector<double>>();
  const bool whole = t.dtype() == DType::i64;
  const Tensor have = whole ? t : to(t, DType::f32);
  for (size_t i = 0; i < values.size(); ++i) {
    const double value =
        whole ? static_cast<double>(have.data<int64_t>()[i]) : have.data<float>()[i];
    ASSERT_EQ(value, values[i]) << name << "[" << i << "]";
    ASSERT_EQ(std::signbit(value), std::signbit(values[i])) << name << "[" << i << "]";
  }
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, HoldsWhatItsLibrarySays) {
  const auto& want = expected()[GetParam()];
  if (GetParam().ends_with(".npy")) {
    return expect_tensor(read_npy(golden(GetParam())), want[""], GetParam());
  }
  const auto source = open_checkpoint(golden(GetParam()));
  std::vector<std::string> names, wanted;
  for (const TensorInfo& info : source->tensors()) names.push_back(info.name);
  for (const auto& [name, tensor] : want.items()) wanted.push_back(name);
  EXPECT_EQ(names, wanted);
  for (const TensorInfo& info : source->tensors()) {
    const Tensor t = source->load(info.name);
    EXPECT_EQ(t.dtype(), info.dtype);
    EXPECT_EQ(t.shape(), info.shape);
    EXPECT_TRUE(t.is_contiguous());
    expect_tensor(t, want[info.name], info.name);
    // Memory given back is read again.
    source->release(info.name);
    expect_tensor(source->load(info.name), want[info.name], info.name);
  }
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Formats, Golden, testing::ValuesIn(files()), test_name);

TEST(Safetensors, MetadataAndTypesThatOcelliLacks) {
  const Safetensors source(golden("types.safetensors"));
  EXPECT_EQ(source.metadata(),
            (std::map<std::string, std::string>{{"format", "pt"}, {"note", "grüß"}}));
  const Safetensors eight(golden("float8.safetensors"));
  EXPECT_EQ(eight.tensors().size(), 2u);
  EXPECT_EQ(eight.load("v").numel(), 2);
  expect_error(ErrorCode::unsupported, {"float8.safetensors", "tensor w", "F8_E4M3"},
               [&] { eight.load("w"); });
  expect_error(ErrorCode::not_found, {"float8.safetensors", "nothing"},
               [&] { eight.load("nothing"); });
}

TEST(Checkpoints, TensorsAreViewsOfTheMappingAndKeepIt) {
  for (const char* name : {"types.safetensors", "zip.pt", "legacy.pt"}) {
    auto source = open_checkpoint(golden(name));
    const Tensor first = source->load("i8"), second = source->load("i8");
    EXPECT_EQ(first.raw(), second.raw()) << name;
    source.reset();
    expect_tensor(first, expected()[name]["i8"], name);
  }
}

TEST(Checkpoints, SharedStoragesAreShared) {
  const auto source = open_checkpoint(golden("zip.pt"));
  const Tensor base = source->load("base"), row = source->load("row");
  EXPECT_EQ(row.data<float>(), base.data<float>() + 12);
}

}  // namespace
}  // namespace ocelli
