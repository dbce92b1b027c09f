#include "ocelli/train/tensorboard.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

template <typename T>
void put(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Protocol buffers: a field is its number and wire type, then a varint, 8 bytes, 4 bytes, or a
// length with that many bytes. https://protobuf.dev/programming-guides/encoding
enum class Wire { varint = 0, eight = 1, bytes = 2, four = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, Wire wire) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | static_cast<uint64_t>(wire));
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, Wire::bytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
//         SessionLog session_log = 7; }
std::string event(int64_t step) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  std::string out;
  put_key(out, 1, Wire::eight);
  put(out, now.count());
  put_key(out, 2, Wire::varint);
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

// Summary { repeated Value value = 1; }, Value { string tag = 1; float simple_value = 2; }
std::string summary(std::span<const Metric> values) {
  std::string out;
  for (const auto& [name, number] : values) {
    std::string value;
    put_bytes(value, 1, name);
    put_key(value, 2, Wire::four);
    put(value, static_cast<float>(number));
    put_bytes(out, 1, value);
  }
  return out;
}

uint32_t masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

std::string file_name() {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return fmt::format("events.out.tfevents.{}.{}.{}",
                     std::chrono::duration_cast<std::chrono::microseconds>(now).count(), host,
                     ::getpid());
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  static const auto kTable = [] {
    std::array<uint32_t, 256> table;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t crc = i;
      for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
      table[i] = crc;
    }
    return table;
  }();
  uint32_t crc = ~0u;
  for (const char c : data) crc = crc >> 8 ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string tfrecord(std::string_view data) {
  std::string out;
  put(out, static_cast<uint64_t>(data.size()));
  put(out, masked(crc32c(out)));
  out += data;
  put(out, masked(crc32c(data)));
  return out;
}

TensorBoardFile::TensorBoardFile(std::filesystem::path file) : file_(std::move(file)) {
  fd_ = ::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(ErrorCode::io, "{}: {}", file_.string(), std::strerror(errno));
}

TensorBoardFile::TensorBoardFile(const std::filesystem::path& folder, int64_t first_step)
    : TensorBoardFile(folder / file_name()) {
  std::string version = event(0);
  put_bytes(version, 3, "brain.Event:2");
  write(version);
  std::string start = event(first_step);
  std::string session;  // SessionLog { SessionStatus status = 1; }, START = 1
  put_key(session, 1, Wire::varint);
  put_varint(session, 1);
  put_bytes(start, 7, session);
  write(start);
}

TensorBoardFile::~TensorBoardFile() {
  ::close(fd_);
}

void TensorBoardFile::append(int64_t step, std::span<const Metric> values) {
  std::string out = event(step);
  put_bytes(out, 5, summary(values));
  write(out);
}

void TensorBoardFile::write(std::string_view event) {
  const std::string record = tfrecord(event);
  std::string_view left = record;
  while (!left.empty()) {
    const ssize_t count = ::write(fd_, left.data(), left.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(ErrorCode::io, "{}: {}", file_.string(), std::strerror(errno));
    left.remove_prefix(static_cast<size_t>(count));
  }
}

}  // namespace ocelli
