// The protobuf of a SentencePiece model: only the fields that are needed, nothing trusted.
#include <bit>
#include <cstring>

#include "ocelli/text/sentencepiece/sentencepiece.h"

namespace ocelli {
namespace {

// The fields of one message, one after the other.
class Message {
 public:
  Message(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t tag = varint();
    field_ = tag >> 3;
    wire_ = static_cast<int>(tag & 7);
    switch (wire_) {
      case 0: number_ = varint(); break;
      case 1: contents_ = take(8); break;
      case 2: contents_ = take(varint()); break;
      case 5: contents_ = take(4); break;
      default: fail_here("a field of no known kind");
    }
    return true;
  }
  uint64_t field() const { return field_; }

  std::string_view bytes() const {
    if (wire_ != 2) fail_here("a field of another kind than it should be");
    return contents_;
  }
  uint64_t number() const {
    if (wire_ != 0) fail_here("a field of another kind than it should be");
    return number_;
  }
  float real() const {
    if (wire_ != 5) fail_here("a field of another kind than it should be");
    uint32_t bits = 0;
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(contents_[i]);
    return std::bit_cast<float>(bits);
  }
  Message message() const { return {bytes(), name_}; }

 private:
  [[noreturn]] void fail_here(const char* what) const {
    fail(ErrorCode::corrupt_data, "{}: no SentencePiece model: {}", name_, what);
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail_here("a number without end");
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size()) fail_here("a field that is longer than the file");
    const std::string_view part = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return part;
  }

  std::string_view bytes_, contents_;
  const std::string& name_;
  uint64_t field_ = 0, number_ = 0;
  int wire_ = 0;
};

SentencePieceFile::Piece read_piece(Message message, const std::string& name) {
  SentencePieceFile::Piece piece;
  while (message.next()) {
    if (message.field() == 1) piece.text = message.bytes();
    if (message.field() == 2) piece.score = message.real();
    if (message.field() == 3) {
      if (message.number() < 1 || message.number() > 6) {
        fail(ErrorCode::corrupt_data, "{}: a piece of type {}", name, message.number());
      }
      piece.type = static_cast<SentencePieceFile::Type>(message.number());
    }
  }
  return piece;
}

void read_trainer(Message message, SentencePieceFile& file) {
  while (message.next()) {
    if (message.field() == 3) file.model_type = static_cast<int64_t>(message.number());
    if (message.field() == 24) file.treat_whitespace_as_suffix = message.number() != 0;
    if (message.field() == 35) file.byte_fallback = message.number() != 0;
    if (message.field() == 40) file.unk_id = static_cast<int64_t>(message.number());
    if (message.field() == 41) file.bos_id = static_cast<int64_t>(message.number());
    if (message.field() == 42) file.eos_id = static_cast<int64_t>(message.number());
    if (message.field() == 45) file.unk_piece = message.bytes();
    if (message.field() == 46) file.bos_piece = message.bytes();
    if (message.field() == 47) file.eos_piece = message.bytes();
  }
}

void read_normalizer(Message message, SentencePieceFile& file) {
  while (message.next()) {
    if (message.field() == 2) file.charsmap = message.bytes();
    if (message.field() == 3) file.add_dummy_prefix = message.number() != 0;
    if (message.field() == 4) file.remove_extra_whitespaces = message.number() != 0;
    if (message.field() == 5) file.escape_whitespaces = message.number() != 0;
  }
}

}  // namespace

SentencePieceFile SentencePieceFile::parse(std::string_view bytes, const std::string& name) {
  SentencePieceFile file;
  file.name = name;
  Message message(bytes, name);
  while (message.next()) {
    if (message.field() == 1) file.pieces.push_back(read_piece(message.message(), name));
    if (message.field() == 2) read_trainer(message.message(), file);
    if (message.field() == 3) read_normalizer(message.message(), file);
  }
  if (file.pieces.empty() || file.pieces.size() > (size_t{1} << 24)) {
    fail(ErrorCode::corrupt_data, "{}: a SentencePiece model of {} pieces", name,
         file.pieces.size());
  }
  return file;
}

}  // namespace ocelli
