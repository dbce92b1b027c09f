#include "ocelli/formats/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kMaxEntry = uint64_t{1} << 36;

}  // namespace

template <typename T>
T Zip::number(uint64_t at) const {
  if (at > bytes_.size() || sizeof(T) > bytes_.size() - at) {
    fail(ErrorCode::corrupt_data, "{}: the zip archive is cut off", file_);
  }
  T value;
  std::memcpy(&value, bytes_.data() + at, sizeof value);
  return value;
}

bool Zip::looks_like(std::span<const std::byte> bytes) {
  uint32_t magic = 0;
  if (bytes.size() < sizeof magic) return false;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  return magic == kLocal || magic == kEnd;
}

Zip::Zip(std::span<const std::byte> bytes, std::string file)
    : bytes_(bytes), file_(std::move(file)) {
  // The end record is the last thing in the file but for a comment of at most 65535 bytes.
  uint64_t end = 0;
  bool found = false;
  for (uint64_t back = 22; back <= std::min<uint64_t>(bytes.size(), 22 + 65535) && !found; ++back) {
    end = bytes.size() - back;
    found = number<uint32_t>(end) == kEnd;
  }
  if (!found)
    fail(ErrorCode::corrupt_data, "{}: the zip archive has no directory (cut off?)", file_);
  uint64_t count = number<uint16_t>(end + 10), begin = number<uint32_t>(end + 16);
  if (end >= 20 && number<uint32_t>(end - 20) == kLocator64) {
    const auto record = number<uint64_t>(end - 20 + 8);
    if (number<uint32_t>(record) != kEnd64) {
      fail(ErrorCode::corrupt_data, "{}: the zip archive's directory is damaged", file_);
    }
    count = number<uint64_t>(record + 32);
    begin = number<uint64_t>(record + 48);
  }
  read_directory(begin, count);
}

void Zip::read_directory(uint64_t at, uint64_t count) {
  if (count > bytes_.size() / 46) {
    fail(ErrorCode::corrupt_data, "{}: the zip archive claims {} entries", file_, count);
  }
  uint64_t packed = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (number<uint32_t>(at) != kCentral) {
      fail(ErrorCode::corrupt_data, "{}: the zip archive's directory is damaged", file_);
    }
    Entry entry;
    const auto flags = number<uint16_t>(at + 8);
    entry.method = number<uint16_t>(at + 10);
    entry.crc = number<uint32_t>(at + 16);
    entry.packed = number<uint32_t>(at + 20);
    entry.size = number<uint32_t>(at + 24);
    const uint64_t name_size = number<uint16_t>(at + 28), extra_size = number<uint16_t>(at + 30);
    const uint64_t comment_size = number<uint16_t>(at + 32);
    entry.header = number<uint32_t>(at + 42);
    if (name_size + extra_size > bytes_.size() - std::min<uint64_t>(at + 46, bytes_.size())) {
      fail(ErrorCode::corrupt_data, "{}: the zip archive is cut off", file_);
    }
    const std::string name(reinterpret_cast<const char*>(bytes_.data()) + at + 46, name_size);
    // ZIP64: 8-byte values for those fields that are all ones, in this order.
    uint64_t extra = at + 46 + name_size;
    const uint64_t extra_end = extra + extra_size;
    while (extra + 4 <= extra_end) {
      const auto id = number<uint16_t>(extra), size = number<uint16_t>(extra + 2);
      uint64_t field = extra + 4;
      if (id == 1) {
        for (uint64_t* value : {&entry.size, &entry.packed, &entry.header}) {
          if (*value != 0xffffffffu) continue;
          *value = number<uint64_t>(field);
          field += 8;
        }
      }
      extra += 4 + uint64_t{size};
    }
    if (flags & 1) fail(ErrorCode::unsupported, "{}: entry {} is encrypted", file_, name);
    // Entries that overlap would multiply what the archive can inflate to.
    packed += std::min<uint64_t>(entry.packed, bytes_.size() + 1);
    if (packed > bytes_.size() || !entries_.emplace(name, entry).second) {
      fail(ErrorCode::corrupt_data, "{}: entry {} overlaps another or is there twice", file_, name);
    }
    at = extra_end + comment_size;
  }
}

std::vector<std::string> Zip::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

const Zip::Entry& Zip::find(const std::string& name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    fail(ErrorCode::corrupt_data, "{}: the entry {} is missing in the archive", file_, name);
  }
  return entry->second;
}

bool Zip::is_stored(const std::string& name) const {
  return find(name).method == 0;
}

std::span<const std::byte> Zip::packed_bytes(const std::string& name, const Entry& entry) const {
  if (number<uint32_t>(entry.header) != kLocal) {
    fail(ErrorCode::corrupt_data, "{}: entry {} has no header", file_, name);
  }
  const uint64_t begin =
      entry.header + 30 + number<uint16_t>(entry.header + 26) + number<uint16_t>(entry.header + 28);
  if (begin > bytes_.size() || entry.packed > bytes_.size() - begin) {
    fail(ErrorCode::corrupt_data, "{}: entry {} is cut off", file_, name);
  }
  return bytes_.subspan(begin, entry.packed);
}

std::span<const std::byte> Zip::view(const std::string& name) const {
  const Entry& entry = find(name);
  if (entry.method != 0 || entry.packed != entry.size) {
    fail(ErrorCode::corrupt_data, "{}: entry {} is not stored plain", file_, name);
  }
  return packed_bytes(name, entry);
}

std::vector<std::byte> Zip::read(const std::string& name) const {
  const Entry& entry = find(name);
  const auto packed = packed_bytes(name, entry);
  // Deflate packs at most 1032 to 1; a larger claim is a lie.
  if (entry.size > kMaxEntry || entry.size / 1032 > entry.packed + 1) {
    fail(ErrorCode::corrupt_data, "{}: entry {} claims {} bytes", file_, name, entry.size);
  }
  std::vector<std::byte> out;
  out.reserve(entry.size + 1);  // zlib wants a pointer even for nothing
  out.resize(entry.size);
  if (entry.method == 0) {
    if (entry.packed != entry.size)
      fail(ErrorCode::corrupt_data, "{}: entry {} is damaged", file_, name);
    std::ranges::copy(packed, out.begin());
  } else if (entry.method == 8) {
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      fail(ErrorCode::out_of_memory, "zlib: no memory");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    // zlib counts in 32 bits: feed it in parts.
    uint64_t fed = 0, drained = 0;
    int status = Z_OK;
    while (status == Z_OK) {
      if (stream.avail_in == 0 && fed < packed.size()) {
        stream.avail_in = static_cast<uInt>(std::min<uint64_t>(packed.size() - fed, 1u << 30));
        fed += stream.avail_in;
      }
      if (stream.avail_out == 0) {
        if (drained == out.size() && fed == packed.size() && stream.avail_in == 0) break;
        stream.avail_out = static_cast<uInt>(std::min<uint64_t>(out.size() - drained, 1u << 30));
        drained += stream.avail_out;
      }
      status = inflate(&stream, Z_NO_FLUSH);
    }
    const bool whole = status == Z_STREAM_END && stream.avail_out == 0 && drained == out.size();
    inflateEnd(&stream);
    if (!whole) fail(ErrorCode::corrupt_data, "{}: entry {} does not inflate", file_, name);
  } else {
    fail(ErrorCode::unsupported, "{}: entry {} uses compression method {}", file_, name,
         entry.method);
  }
  if (crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size()) != entry.crc) {
    fail(ErrorCode::corrupt_data, "{}: entry {} has a wrong checksum", file_, name);
  }
  return out;
}

namespace {

template <typename... T>
void append(std::string& out, T... values) {
  (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
}

}  // namespace

std::string write_stored_zip(const std::vector<ZipFile>& files) {
  check(files.size() < 0xffff, "zip: {} entries are more than an archive can hold", files.size());
  std::string out, directory;
  for (const ZipFile& file : files) {
    check(file.name.size() < 0xffff, "zip: an entry's name is too long");
    check(file.bytes.size() < 0xffffffffu && out.size() < 0xffffffffu,
          "zip: {} makes the archive larger than 4 GB", file.name);
    const auto crc = static_cast<uint32_t>(
        crc32_z(0, reinterpret_cast<const Bytef*>(file.bytes.data()), file.bytes.size()));
    const auto size = static_cast<uint32_t>(file.bytes.size());
    const auto name_size = static_cast<uint16_t>(file.name.size());
    const auto header = static_cast<uint32_t>(out.size());
    const auto pad = static_cast<uint16_t>((64 - (out.size() + 30 + name_size + 4) % 64) % 64);
    // Version 2.0, no flags, stored, 1980-01-01.
    append(out, kLocal, uint16_t{20}, uint16_t{0}, uint16_t{0}, uint16_t{0}, uint16_t{0x21}, crc,
           size, size, name_size, static_cast<uint16_t>(pad + 4));
    out += file.name;
    append(out, uint16_t{0x4f43}, pad);
    out.append(pad, '\0');
    out += file.bytes;
    append(directory, kCentral, uint16_t{20}, uint16_t{20}, uint16_t{0}, uint16_t{0}, uint16_t{0},
           uint16_t{0x21}, crc, size, size, name_size, uint16_t{0}, uint16_t{0}, uint16_t{0},
           uint16_t{0}, uint32_t{0}, header);
    directory += file.name;
  }
  const auto begin = static_cast<uint32_t>(out.size()),
             size = static_cast<uint32_t>(directory.size());
  const auto count = static_cast<uint16_t>(files.size());
  out += directory;
  append(out, kEnd, uint16_t{0}, uint16_t{0}, count, count, size, begin, uint16_t{0});
  return out;
}

}  // namespace ocelli
