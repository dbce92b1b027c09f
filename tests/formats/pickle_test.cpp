// Pickles that would run code, or exhaust the reader.
#include "ocelli/formats/pickle.h"

#include <filesystem>

#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "tests/formats/support.h"

namespace ocelli {
namespace {

using namespace std::string_literals;

pickle::Document read(const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());
  return pickle::load(std::as_bytes(std::span(exact)), "x.pkl");
}

void expect_corrupt(const std::string& text) {
  expect_error(ErrorCode::corrupt_data, {"x.pkl"}, [&] { read(text); });
}

TEST(Pickle, ForbiddenGlobalsAreNamedAndNotRun) {
  const std::string mark = "/tmp/ocelli_was_here";
  std::filesystem::remove(mark);
  for (const char* name : {"evil.pt", "evil4.pt", "evil_legacy.pt", "evil.pkl"}) {
    expect_error(ErrorCode::unsupported, {name, "posix.system", "nothing was run"},
                 [&] { open_checkpoint(golden(name)); });
  }
  expect_error(ErrorCode::unsupported, {"module.pt", "torch.nn.modules.linear.Linear"},
               [&] { open_checkpoint(golden("module.pt")); });
  for (const std::string& text :
       {"cos\nsystem\n(S'true'\ntR."s, "\x80\x04\x8c\x02os\x8c\x06system\x93."s,
        "(S'true'\nios\nsystem\n."s, read_file(golden("evil0.pkl"))}) {
    expect_error(ErrorCode::unsupported, {"os.system", "nothing was run"}, [&] { read(text); });
    expect_error(ErrorCode::unsupported, {"bytes.pt", "os.system"},
                 [&] { open_bytes(torch_zip(text)); });
  }
  for (const char* name :
       {"builtins\neval", "builtins\nexec", "__builtin__\napply", "subprocess\nPopen",
        "torch.storage\n_load_from_bytes", "torch.hub\nload", "numpy\nload", "builtins\ngetattr"}) {
    expect_error(ErrorCode::unsupported, {"nothing was run"}, [&] { read("c"s + name + "\n."); });
  }
  EXPECT_FALSE(std::filesystem::exists(mark));
}

TEST(Pickle, Values) {
  EXPECT_EQ(*pickle::as<int64_t>(read("\x80\x02K\x07."s).root), 7);
  EXPECT_EQ(*pickle::as<int64_t>(read("J\xfe\xff\xff\xff."s).root), -2);
  EXPECT_EQ(*pickle::as<int64_t>(read("\x8a\x01\xff."s).root), -1);
  EXPECT_EQ(*pickle::as<int64_t>(read("\x8a\x00."s).root), 0);
  EXPECT_EQ(*pickle::as<bool>(read("I01\n."s).root), true);
  EXPECT_EQ(*pickle::as<double>(read("G\x3f\xf8\x00\x00\x00\x00\x00\x00."s).root), 1.5);
  EXPECT_EQ(*pickle::as<std::string>(read("S'ab'\n."s).root), "ab");
  EXPECT_EQ(pickle::as<pickle::Tuple>(read("(K\x01K\x02t."s).root)->items.size(), 2u);
  EXPECT_EQ(pickle::as<pickle::Dict>(read("}(K\x01K\x02u."s).root)->items.size(), 1u);
}

TEST(Pickle, Damage) {
  for (const std::string& text : {""s,
                                  "."s,
                                  "N"s,
                                  "(."s,
                                  "0."s,
                                  "1."s,
                                  "2."s,
                                  "t."s,
                                  "R."s,
                                  "b."s,
                                  "Q."s,
                                  "NQ."s,
                                  "K"s,
                                  "X\xff\xff\xff\xffx."s,
                                  "\x8d\xff\xff\xff\xff\xff\xff\xff\xffx."s,
                                  "\x8b\xff\xff\xff\xff."s,
                                  "h\x05."s,
                                  "j\x00\x00\x00\x00."s,
                                  "g9\n."s,
                                  "(K\x01"s,
                                  "NNs."s,
                                  "}NNNs."s,
                                  "NNa."s,
                                  "}(Nu."s,
                                  "(\x85."s,
                                  "N(0."s,
                                  "\x93."s,
                                  "NN\x93."s,
                                  "NNR."s,
                                  "\xff."s,
                                  "Sabc\n."s,
                                  "S'\n."s,
                                  "cos"s,
                                  "ccollections\nOrderedDict\n(]N\x61tR."s}) {
    expect_corrupt(text);
  }
}

TEST(Pickle, TensorsStayInsideTheirStorage) {
  const auto make = [](const std::string& count, const std::string& offset,
                       const std::string& sizes, const std::string& strides) {
    const auto text = [](const std::string& s) {
      const auto n = static_cast<char>(s.size());
      return "X"s + n + "\0\0\0"s + s;
    };
    return torch_zip("}"s + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") +
                     "ctorch\nFloatStorage\n" + text("0") + text("cpu") + count + "tQ" + offset +
                     "(" + sizes + "t(" + strides + "t\x89}tRs.");
  };
  const std::string k4 = "K\x04"s, k0 = "K\0"s, k1 = "K\x01"s, k2 = "K\x02"s, k3 = "K\x03"s;
  EXPECT_EQ(open_bytes(make(k4, k0, k4, k1))->load("w").shape(), (Shape{4}));
  EXPECT_EQ(open_bytes(make(k4, k2, k2, k1))->load("w").shape(), (Shape{2}));
  EXPECT_EQ(open_bytes(make(k4, k0, k0, k1))->load("w").shape(), (Shape{0}));
  const std::string big = "I4611686018427387904\n", minus = "I-1\n";
  struct Case {
    std::string count, offset, sizes, strides;
  };
  for (const Case& c :
       {Case{k4, k1, k4, k1}, Case{k4, k0, k3, k2}, Case{k4, minus, k1, k1},
        Case{k4, k0, k2, minus}, Case{k4, k0, minus, k1}, Case{k4, big, k1, k1},
        Case{k4, k0, big, k1}, Case{k4, k0, big, k0}, Case{k4, k0, big + big + k0, k1 + k1 + k1},
        Case{k4, k0, k2, big}, Case{minus, k0, k1, k1}, Case{"K\x05", k0, "K\x05", k1},
        Case{big, k0, big, k1}, Case{k4, k4, k1, k1}, Case{k4, k0, k2, k1 + k1},
        Case{k4, k0, k1 + k1 + k1 + k1 + k1 + k1 + k1 + k1 + k1,
             k1 + k1 + k1 + k1 + k1 + k1 + k1 + k1 + k1}}) {
    expect_error(ErrorCode::corrupt_data, {"bytes.pt"},
                 [&] { load_all(*open_bytes(make(c.count, c.offset, c.sizes, c.strides))); });
  }
}

TEST(Pickle, ListsWithinListsEndSoon) {
  // Sixty levels of lists that hold the one below twice, and one that holds itself.
  std::string laughs = "]q\x01"s;
  for (char i = 1; i < 60; ++i)
    laughs += "]("s + "h" + i + "h" + i + "e" + "q" + static_cast<char>(i + 1);
  expect_error(ErrorCode::corrupt_data, {"bytes.pt", "too many"},
               [&] { open_bytes(torch_zip(laughs + ".")); });
  expect_error(ErrorCode::corrupt_data, {"bytes.pt", "no tensors"}, [&] {
    open_bytes(
        torch_zip("]q\x01h\x01"
                  "a."));
  });
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "]";
  for (int i = 1; i < 200'000; ++i) deep += "a";
  expect_error(ErrorCode::corrupt_data, {"no tensors"}, [&] { open_bytes(torch_zip(deep + ".")); });
}

}  // namespace
}  // namespace ocelli
