#include "ocelli/formats/npy.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <regex>

#include "ocelli/base/mapped_file.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/zip.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kStreamHeader = 128;  // room for any row count

struct NpyType {
  std::string_view name;
  DType dtype;
  size_t size;
};

constexpr NpyType kTypes[] = {{"f4", DType::f32, 4}, {"f2", DType::f16, 2}, {"i1", DType::i8, 1},
                              {"u1", DType::u8, 1},  {"i4", DType::i32, 4}, {"i8", DType::i64, 8},
                              {"b1", DType::u8, 1},  {"f8", DType::f32, 8}};

std::string descriptor(DType dtype) {
  for (const NpyType& type : kTypes) {
    if (type.dtype == dtype) return fmt::format("{}{}", type.size == 1 ? '|' : '<', type.name);
  }
  fail(ErrorCode::unsupported, "npy: NumPy has no {}; choose f32 or f16", dtype);
}

std::string header_of(const Shape& shape, DType dtype, size_t least) {
  // A tuple of one needs its comma.
  const std::string sizes =
      fmt::format("{}{}", fmt::join(shape.begin(), shape.end(), ", "), shape.rank() == 1 ? "," : "");
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                 descriptor(dtype), sizes);
  const size_t total = std::max(least, (10 + text.size() + 1 + 63) / 64 * 64);
  text.append(total - 10 - text.size() - 1, ' ');
  text += '\n';
  const auto length = static_cast<uint16_t>(text.size());
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(length & 0xff), static_cast<char>(length >> 8)};
  return header + text;
}

struct Header {
  const NpyType* type = nullptr;
  bool fortran = false;
  Shape shape;
};

// The dict literal that NumPy writes: three known keys in any order.
Header parse_header(const std::string& text, const std::string& file) {
  static const std::regex kDescr("'descr'\\s*:\\s*'([<|=>])([a-z][0-9]+)'");
  static const std::regex kOrder("'fortran_order'\\s*:\\s*(True|False)");
  static const std::regex kShape("'shape'\\s*:\\s*\\(([0-9, L]*)\\)");
  std::smatch descr, order, shape;
  if (!std::regex_search(text, descr, kDescr) || !std::regex_search(text, order, kOrder) ||
      !std::regex_search(text, shape, kShape)) {
    fail(ErrorCode::corrupt_data, "{}: the npy header is damaged, or of a structured type", file);
  }
  Header header;
  header.type = std::ranges::find(kTypes, descr.str(2), &NpyType::name);
  if (header.type == std::end(kTypes) || descr.str(1) == ">") {
    fail(ErrorCode::unsupported, "{}: npy type '{}{}'", file, descr.str(1), descr.str(2));
  }
  header.fortran = order.str(1) == "True";
  const std::string sizes = shape.str(1);
  for (const char* p = sizes.c_str(); *p;) {
    char* end = nullptr;
    const long long n = std::strtoll(p, &end, 10);
    if (end == p) ++p;
    else p = end, header.shape.push_back(n);
  }
  return header;
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, const std::string& file) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (bytes.size() < 12 || std::string_view(text, kMagic.size()) != kMagic) {
    fail(ErrorCode::corrupt_data, "{}: not an npy file", file);
  }
  const bool wide = bytes[6] >= std::byte{2};
  uint32_t length = 0;
  std::memcpy(&length, text + 8, wide ? 4 : 2);
  const size_t start = wide ? 12 : 10;
  if (length > bytes.size() - start || length > 65536) {
    fail(ErrorCode::corrupt_data, "{}: the npy header is cut off", file);
  }
  const Header header = parse_header(std::string(text + start, length), file);
  const auto data = bytes.subspan(start + length);
  const int64_t count = header.shape.numel();
  if (static_cast<uint64_t>(count) > data.size() / header.type->size) {
    fail(ErrorCode::corrupt_data, "{}: {} of {} bytes, too few for {}", file, header.type->name,
         data.size(), header.shape);
  }
  Shape shape = header.shape;
  if (header.fortran) std::reverse(&shape[0], &shape[0] + shape.rank());
  const Tensor t = Tensor::empty(shape, header.type->dtype);
  if (header.type->name == "f8") {
    for (int64_t i = 0; i < count; ++i) {
      double value = 0;
      std::memcpy(&value, data.data() + i * 8, sizeof value);
      t.data<float>()[i] = static_cast<float>(value);
    }
  } else if (count > 0) {
    std::memcpy(t.raw(), data.data(), t.nbytes());
  }
  if (!header.fortran || shape.rank() < 2) return t;
  std::vector<int> reversed;
  for (int d = shape.rank() - 1; d >= 0; --d) reversed.push_back(d);
  return contiguous(t.permute(reversed));
}

Tensor read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_npy(file.bytes(), path.string());
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor) {
  const Tensor compact = contiguous(tensor);
  AtomicFile file(path);
  file.write(header_of(tensor.shape(), tensor.dtype(), 0));
  file.write(std::span(static_cast<const std::byte*>(compact.raw()), compact.nbytes()));
  file.commit();
}

NpyWriter::NpyWriter(const std::filesystem::path& path, const Shape& row_shape, DType dtype)
    : file_(path), row_shape_(row_shape), dtype_(dtype) {
  descriptor(dtype);
  file_.write(std::string(kStreamHeader, ' '));
}

void NpyWriter::append(const Tensor& row) {
  check(row.shape() == row_shape_, "npy: a row is {}, the others {}", row.shape(), row_shape_);
  const Tensor compact = to(row, dtype_);
  file_.write(std::span(static_cast<const std::byte*>(compact.raw()), compact.nbytes()));
  ++rows_;
}

void NpyWriter::commit() {
  Shape shape = {rows_};
  for (int64_t n : row_shape_) shape.push_back(n);
  file_.write_at(0, header_of(shape, dtype_, kStreamHeader));
  file_.commit();
}

std::shared_ptr<TensorSource> parse_npz(std::span<const std::byte> bytes, const std::string& file) {
  const Zip zip(bytes, file);
  std::map<std::string, Tensor, std::less<>> arrays;
  for (const std::string& name : zip.names()) {
    if (!name.ends_with(".npy")) continue;
    arrays.emplace(name.substr(0, name.size() - 4), parse_npy(zip.read(name), file + ":" + name));
  }
  return std::make_shared<MemorySource>(std::move(arrays), file);
}

std::shared_ptr<TensorSource> open_npz(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_npz(file.bytes(), path.string());
}

void write_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& arrays) {
  std::vector<ZipFile> files;
  for (const auto& [name, tensor] : arrays) {
    const Tensor compact = contiguous(tensor);
    std::string bytes = header_of(compact.shape(), compact.dtype(), 0);
    bytes.append(static_cast<const char*>(compact.raw()), compact.nbytes());
    files.push_back({name + ".npy", std::move(bytes)});
  }
  write_file(path, write_stored_zip(files));
}

}  // namespace ocelli
