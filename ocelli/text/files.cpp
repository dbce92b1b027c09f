#include "ocelli/text/files.h"

#include <zlib.h>

#include <memory>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/text/unicode.h"

namespace ocelli {
namespace fs = std::filesystem;
namespace {

// Calls line(text) for each line, without its end.
template <typename Line>
void each_line(const std::string& text, Line line) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    line(text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

nlohmann::json read_json_object(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  auto json = nlohmann::json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) fail(ErrorCode::corrupt_data, "{}: not a JSON object", path.string());
  return json;
}

nlohmann::json read_bpe_files(const fs::path& vocab, const fs::path& merges) {
  nlohmann::json pairs = nlohmann::json::array();
  each_line(valid_utf8(read_file(merges)), [&](std::string line) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !line.starts_with("#version")) pairs.push_back(std::move(line));
  });
  return {{"type", "BPE"}, {"vocab", read_json_object(vocab)}, {"merges", std::move(pairs)}};
}

nlohmann::json read_word_piece_file(const fs::path& vocab) {
  nlohmann::json ids = nlohmann::json::object();
  int32_t id = 0;
  each_line(valid_utf8(read_file(vocab)),
            [&](std::string line) { ids[std::string(trim_right(line, is_white_space))] = id++; });
  return {{"type", "WordPiece"}, {"vocab", std::move(ids)}};
}

std::string read_gzip(const fs::path& path, size_t limit) {
  const std::string bytes = read_file(path);
  const auto corrupt = [&](const char* what) {
    fail(ErrorCode::corrupt_data, "{}: {}", path.string(), what);
  };
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  if (inflateInit2(&stream, kGzip) != Z_OK)
    fail(ErrorCode::out_of_memory, "{}: zlib", path.string());
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string text, block(size_t{1} << 16, '\0');
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = static_cast<uInt>(block.size());
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(block, 0, block.size() - stream.avail_out);
    if (text.size() > limit) corrupt("unpacks to more than this version takes");
  }
  if (status != Z_STREAM_END) corrupt("not a gzip file, or not all of one");
  return text;
}

}  // namespace ocelli
