#include "ocelli/formats/npy.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <set>

#include "ocelli/base/mapped_file.h"
#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/zip.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

struct NpyType {
  std::string_view name;
  DType dtype;
  size_t size;
};

constexpr NpyType kNpyTypes[] = {
    {"f4", DType::f32, 4}, {"f2", DType::f16, 2}, {"i1", DType::i8, 1}, {"u1", DType::u8, 1},
    {"i4", DType::i32, 4}, {"i8", DType::i64, 8}, {"b1", DType::u8, 1}, {"f8", DType::f32, 8}};

std::string descriptor(DType dtype) {
  for (const NpyType& type : kNpyTypes) {
    if (type.dtype == dtype) return fmt::format("{}{}", type.size == 1 ? '|' : '<', type.name);
  }
  fail(ErrorCode::unsupported, "npy: NumPy has no {}; choose f32 or f16", dtype);
}

std::string header_of(const Shape& shape, DType dtype, size_t least) {
  // A tuple of one needs its comma.
  const std::string sizes = fmt::format("{}{}", fmt::join(shape.begin(), shape.end(), ", "),
                                        shape.rank() == 1 ? "," : "");
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

// The dict literal that NumPy writes, three known keys in any order:
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Header parse() {
    expect('{');
    while (!accept('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr")
        parse_type();
      else if (key == "fortran_order")
        header_.fortran = parse_bool();
      else if (key == "shape")
        parse_shape();
      else
        damaged();
      seen_.insert(std::string(key));
      if (!accept(',') && peek() != '}') damaged();
    }
    if (seen_.size() != 3) damaged();
    return header_;
  }

 private:
  [[noreturn]] void damaged() const {
    fail(ErrorCode::corrupt_data, "{}: the npy header is damaged", file_);
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) damaged();
  }
  std::string_view quoted() {
    expect('\'');
    const size_t end = text_.find('\'', at_);
    if (end == text_.npos) damaged();
    const std::string_view inner = text_.substr(at_, end - at_);
    at_ = end + 1;
    return inner;
  }
  void parse_type() {
    if (peek() == '[') fail(ErrorCode::unsupported, "{}: an npy file of a structured type", file_);
    const std::string_view name = quoted();
    header_.type =
        std::ranges::find(kNpyTypes, name.substr(std::min<size_t>(1, name.size())), &NpyType::name);
    const bool little = name.starts_with('<') || name.starts_with('|') || name.starts_with('=');
    if (header_.type == std::end(kNpyTypes) || !little) {
      fail(ErrorCode::unsupported, "{}: npy type '{}'", file_, name.substr(0, 40));
    }
  }
  bool parse_bool() {
    const bool value = peek() == 'T';
    const std::string_view word = value ? "True" : "False";
    if (text_.substr(at_, word.size()) != word) damaged();
    at_ += word.size();
    return value;
  }
  void parse_shape() {
    expect('(');
    while (!accept(')')) {
      int64_t size = 0;
      if (!std::isdigit(static_cast<unsigned char>(peek()))) damaged();
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])); ++at_) {
        if (__builtin_mul_overflow(size, 10, &size) ||
            __builtin_add_overflow(size, text_[at_] - '0', &size)) {
          damaged();
        }
      }
      accept('L');  // Python 2
      if (header_.shape.rank() == Shape::kMaxRank) {
        fail(ErrorCode::unsupported, "{}: more than {} dimensions", file_, Shape::kMaxRank);
      }
      header_.shape.push_back(size);
      if (!accept(',') && peek() != ')') damaged();
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  Header header_;
  std::set<std::string> seen_;
};

// The number of elements, or too many for any file.
uint64_t count_of(const Shape& shape) {
  uint64_t count = 1;
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(count, static_cast<uint64_t>(size), &count)) return ~uint64_t{0};
  }
  return count;
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> bytes, const std::string& file) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (bytes.size() < 12 || std::string_view(text, kMagic.size()) != kMagic) {
    fail(ErrorCode::corrupt_data, "{}: not an npy file", file);
  }
  const int version = std::to_integer<int>(bytes[6]);
  if (version < 1 || version > 3) {
    fail(ErrorCode::unsupported, "{}: npy version {}", file, version);
  }
  const bool wide = version >= 2;
  uint32_t length = 0;
  std::memcpy(&length, text + 8, wide ? 4 : 2);
  const size_t start = wide ? 12 : 10;
  if (length > bytes.size() - start || length > 65536) {
    fail(ErrorCode::corrupt_data, "{}: the npy header is cut off", file);
  }
  const Header header = HeaderParser({text + start, length}, file).parse();
  const auto data = bytes.subspan(start + length);
  if (count_of(header.shape) > data.size() / header.type->size) {
    fail(ErrorCode::corrupt_data, "{}: {} bytes of {} are too few for {}", file, data.size(),
         header.type->name, header.shape);
  }
  Shape shape = header.shape;
  if (header.fortran) std::reverse(&shape[0], &shape[0] + shape.rank());
  const Tensor t = Tensor::empty(shape, header.type->dtype);
  if (header.type->name == "f8") {
    for (int64_t i = 0; i < t.numel(); ++i) {
      double value = 0;
      std::memcpy(&value, data.data() + i * 8, sizeof value);
      t.data<float>()[i] = static_cast<float>(value);
    }
  } else if (t.nbytes() > 0) {
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
  // Room for any number of rows.
  header_size_ = header_of(shape_of(std::numeric_limits<int64_t>::max()), dtype, 0).size();
  file_.write(std::string(header_size_, ' '));
}

void NpyWriter::append(const Tensor& row) {
  check(row.shape() == row_shape_, "npy: a row is {}, the others {}", row.shape(), row_shape_);
  const Tensor compact = to(row, dtype_);
  file_.write(std::span(static_cast<const std::byte*>(compact.raw()), compact.nbytes()));
  ++rows_;
}

Shape NpyWriter::shape_of(int64_t rows) const {
  Shape shape = {rows};
  for (int64_t n : row_shape_) shape.push_back(n);
  return shape;
}

void NpyWriter::commit() {
  file_.write_at(0, header_of(shape_of(rows_), dtype_, header_size_));
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
