// Files that are not what they claim: a clear error that names the file, and nothing worse.
#include "ocelli/base/file.h"
#include "ocelli/formats/checkpoint.h"
#include "ocelli/formats/npy.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/formats/torch_file.h"
#include "ocelli/formats/zip.h"
#include "tests/formats/support.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  size_t begin, size_t end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype,
                     shape, begin, end);
}

void expect_bad(const std::string& bytes, std::initializer_list<std::string> parts,
                ErrorCode code = ErrorCode::corrupt_data) {
  expect_error(code, parts, [&] { load_all(*open_bytes(bytes)); });
}

void expect_bad_header(const std::string& header, size_t data,
                       std::initializer_list<std::string> parts) {
  expect_bad(safetensors_bytes("{" + header + "}", std::string(data, 'x')), parts);
}

TEST(BadSafetensors, Header) {
  std::string huge(8, '\0');
  huge[7] = 16;  // 2^60
  expect_bad(huge + "{}", {"bytes.safetensors", "1152921504606846976"});
  expect_bad(std::string(8, '\xff') + "{}", {"18446744073709551615"});
  expect_bad("", {"0 bytes"});
  expect_bad("1234567", {"7 bytes"});
  expect_bad(safetensors_bytes("{"), {"not a JSON object"});
  expect_bad(safetensors_bytes("[]"), {"not a JSON object"});
  expect_bad(safetensors_bytes("\xff\xfe"), {"not a JSON object"});
  expect_bad(safetensors_bytes(R"({"__metadata__":["a"]})"), {"__metadata__"});
  expect_bad(safetensors_bytes(R"({"__metadata__":{"a":1}})"), {"__metadata__"});
  expect_bad(safetensors_bytes(R"({"__metadata__":7})"), {"__metadata__"});
  expect_bad(safetensors_bytes(R"({"a":7})"), {"tensor a"});
  expect_bad(safetensors_bytes(std::string(100'000, '[')), {"not a JSON object"});
  std::string deep = R"({"a":)";
  for (int i = 0; i < 100'000; ++i) deep += R"({"b":)";
  expect_bad(safetensors_bytes(deep), {"bytes.safetensors"});
}

TEST(BadSafetensors, Layout) {
  const std::string a = entry("a", "F32", "[2]", 0, 8);
  expect_bad_header(a + "," + entry("b", "F32", "[2]", 4, 12), 12, {"tensor b", "inside another"});
  expect_bad_header(a + "," + entry("b", "F32", "[2]", 0, 8), 8, {"inside another"});
  expect_bad_header(a + "," + entry("b", "F32", "[2]", 12, 20), 20, {"tensor b", "hole"});
  expect_bad_header(entry("a", "F32", "[2]", 4, 12), 12, {"tensor a", "hole"});
  expect_bad_header(a, 7, {"take 8 bytes but the file holds 7"});
  expect_bad_header(a, 9, {"take 8 bytes but the file holds 9"});
  expect_bad_header(a + "," + entry("a", "F32", "[2]", 8, 16), 16, {"'a' twice"});
  expect_bad_header(R"("a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]})", 8,
                    {"'dtype' twice"});
  expect_bad_header(entry("a", "F32", "[3]", 0, 8), 8, {"tensor a", "does not fill"});
  expect_bad_header(entry("a", "F32", "[2]", 8, 0), 8, {"does not fill"});
  expect_bad_header(entry("a", "F33", "[2]", 0, 8), 8, {"tensor a", "F33"});
}

TEST(BadSafetensors, Shapes) {
  for (const char* shape : {"[NaN]", "[Infinity]"}) {
    expect_bad_header(entry("a", "F32", shape, 0, 8), 8, {"not a JSON object"});
  }
  for (const char* shape :
       {"[-1]", "[2.0]", "[1e1]", "[\"2\"]", "[null]", "[[2]]", "[18446744073709551616]",
        "[9223372036854775808]", "[4294967296,4294967296,4294967296]"}) {
    expect_bad_header(entry("a", "F32", shape, 0, 8), 8, {"tensor a", "not possible"});
  }
  expect_bad_header(entry("a", "F32", "[4611686018427387904]", 0, 0), 0,
                    {"tensor a"});  // times 4 wraps to 0
  expect_bad_header(entry("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4), 4, {"at most 8"});
  expect_bad_header(entry("a", "F32", "2", 0, 8), 8, {"shape"});
  expect_bad_header(R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0.0,8]})", 8,
                    {"data_offsets"});
  expect_bad_header(R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0]})", 8, {"data_offsets"});
  expect_bad_header(R"("a":{"dtype":"F32","shape":[2]})", 8, {"missing"});
}

TEST(BadSafetensors, UnalignedDataIsCopied) {
  const std::string header =
      "{" + entry("a", "U8", "[1]", 0, 1) + "," + entry("b", "F32", "[1]", 1, 5) + "}";
  const float value = 1.25f;
  const auto source = open_bytes(
      safetensors_bytes(header, "x" + std::string(reinterpret_cast<const char*>(&value), 4)));
  EXPECT_EQ(source->load("b").values<float>()[0], value);
}

TEST(BadNpy, Headers) {
  const auto npy = [](const std::string& header, const std::string& data = std::string(64, '\0')) {
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(header.size()) + '\0' + header +
           data;
  };
  EXPECT_EQ(open_bytes(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 8L), }"))
                ->load("")
                .shape(),
            (Shape{2, 8}));
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4', 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (17,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': "
        "(4294967296,4294967296,4294967296,0,4294967296)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3037000500,3037000500)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}", "{'evil': '<f4'}"}) {
    expect_bad(npy(header), {"bytes.npy"});
  }
  for (const char* type : {">f4", "<c8", "|O", "<U3", "<f", "", "<i2"}) {
    expect_bad(npy(fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (1,), }}", type)),
               {"bytes.npy", "type"}, ErrorCode::unsupported);
  }
  expect_bad(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }"),
             {"8 dimensions"}, ErrorCode::unsupported);
  expect_bad(std::string("\x93NUMPY\x09\x00", 8) + std::string(80, ' '), {"version 9"},
             ErrorCode::unsupported);
  expect_bad(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14), {"cut off"});
  std::string wide =
      std::string("\x93NUMPY\x02\x00\x00\x00\x01\x00", 12);  // a header of 65536 spaces
  expect_bad(wide + std::string(65536, ' '), {"damaged"});
}

TEST(BadNpy, TypesThatOcelliLacks) {
  for (const char* name : {"big_endian.npy", "structured.npy", "object.npy"}) {
    expect_error(ErrorCode::unsupported, {name}, [&] { read_npy(golden(name)); });
  }
}

TEST(BadZip, Directories) {
  const std::string good = write_stored_zip({{"a.npy", read_file(golden("f4.npy"))}});
  EXPECT_EQ(parse_npz(std::as_bytes(std::span(good)), "x")->tensors().size(), 1u);
  for (size_t size = 4; size < good.size(); ++size) {
    EXPECT_THROW(parse_npz(std::as_bytes(std::span(good).first(size)), "x"), Error) << size;
  }
  const std::string twice = write_stored_zip({{"a.npy", "x"}, {"a.npy", "y"}});
  expect_error(ErrorCode::corrupt_data, {"a.npy", "twice"},
               [&] { parse_npz(std::as_bytes(std::span(twice)), "x"); });
  std::string claimed = good;
  claimed[good.size() - 22 + 10] = '\xff';  // 65535 entries
  claimed[good.size() - 22 + 11] = '\xff';
  expect_error(ErrorCode::corrupt_data, {"65535 entries"},
               [&] { parse_npz(std::as_bytes(std::span(claimed)), "x"); });
}

class BadCheckpoint : public TempFolderTest {};

TEST_F(BadCheckpoint, FilesThatAreNone) {
  const auto open = [&](const std::string& name, const std::string& bytes) {
    open_checkpoint(write(name, bytes));
  };
  expect_error(ErrorCode::corrupt_data, {"a.safetensors", "empty"},
               [&] { open("a.safetensors", ""); });
  expect_error(ErrorCode::corrupt_data, {"a.bin", "neither"},
               [&] { open("a.bin", "<!doctype html><html></html>"); });
  expect_error(ErrorCode::corrupt_data, {"git-lfs"}, [&] {
    open("b.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  });
  std::string tar(600, '\0');
  tar.replace(257, 5, "ustar");
  expect_error(ErrorCode::unsupported, {"c.pth", "tar archive"}, [&] { open("c.pth", tar); });
  expect_error(ErrorCode::not_found, {"absent.bin"},
               [&] { open_checkpoint(folder_ / "absent.bin"); });
  expect_error(ErrorCode::corrupt_data, {"d.pt"}, [&] {
    open("d.pt", write_stored_zip({{"x/data.pkl", "N."}}));
  });
}

TEST_F(BadCheckpoint, FoldersChooseByPriority) {
  expect_error(ErrorCode::not_found, {folder_.string(), "model.safetensors"},
               [&] { open_checkpoint(folder_); });
  write("b.pth", read_file(golden("old_dict.pt")));
  EXPECT_EQ(find_checkpoint(folder_).filename(), "b.pth");
  write("a.npz", read_file(golden("plain.npz")));
  expect_error(ErrorCode::invalid_argument, {"a.npz b.pth"}, [&] { open_checkpoint(folder_); });
  write("pytorch_model.bin", read_file(golden("zip.pt")));
  EXPECT_EQ(find_checkpoint(folder_).filename(), "pytorch_model.bin");
  write("model.safetensors", read_file(golden("types.safetensors")));
  EXPECT_EQ(find_checkpoint(folder_).filename(), "model.safetensors");
  // The contents decide, not the name.
  EXPECT_NO_THROW(
      load_all(*open_checkpoint(write("named.safetensors", read_file(golden("zip.pt"))))));
}

TEST_F(BadCheckpoint, Shards) {
  const auto open = [&](const std::string& shard) {
    write("model.safetensors.index.json", fmt::format(R"({{"weight_map": {{"x": {}}}}})", shard));
    return open_checkpoint(folder_);
  };
  expect_error(ErrorCode::not_found, {"model-1.safetensors"},
               [&] { open(R"("model-1.safetensors")"); });
  write("model-1.safetensors", read_file(golden("types.safetensors")));
  expect_error(ErrorCode::corrupt_data, {"tensor x", "model-1.safetensors"},
               [&] { open(R"("model-1.safetensors")"); });
  for (const char* shard : {R"("../x.safetensors")", R"("/etc/passwd")", R"("a/b")", R"("")",
                            R"("..")", R"(".")", "7", R"("model.safetensors.index.json")"}) {
    expect_error(ErrorCode::corrupt_data, {"tensor x", "no file of this folder"},
                 [&] { open(shard); });
  }
  write("model.safetensors.index.json", R"({"weights": {}})");
  expect_error(ErrorCode::corrupt_data, {"weight_map"}, [&] { open_checkpoint(folder_); });
  write("model.safetensors.index.json", "{");
  expect_error(ErrorCode::corrupt_data, {"weight_map"}, [&] { open_checkpoint(folder_); });
}

}  // namespace
}  // namespace ocelli
