#include "ocelli/engine/exchange.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/formats/npy.h"
#include "ocelli/index/faiss_file.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kShard = 1'000'000;  // rows of a file

fs::path embeddings_file(const fs::path& folder, int64_t shard) {
  return folder / "img_emb" / fmt::format("img_emb_{}.npy", shard);
}

fs::path metadata_file(const fs::path& folder, int64_t shard) {
  return folder / "metadata" / fmt::format("metadata_{}.jsonl", shard);
}

// The numbers of the files in FOLDER/img_emb, sorted.
std::vector<int64_t> shards_of(const fs::path& folder) {
  std::vector<int64_t> shards;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "img_emb", error)) {
    long long number = -1;
    const std::string name = entry.path().filename().string();
    if (std::sscanf(name.c_str(), "img_emb_%lld.npy", &number) == 1 &&
        entry.path() == embeddings_file(folder, number)) {
      shards.push_back(number);
    }
  }
  std::ranges::sort(shards);
  return shards;
}

std::vector<json> read_metadata(const fs::path& file) {
  const fs::path parquet = fs::path(file).replace_extension(".parquet");
  std::error_code ignored;
  if (!fs::exists(file, ignored) && fs::exists(parquet, ignored)) {
    fail(ErrorCode::not_found, "{}: is not there; tools/parquet_to_jsonl.py makes it of {}",
         file.string(), parquet.filename().string());
  }
  std::vector<json> lines;
  const std::string text = read_file(file, size_t{8} << 30);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const json line = json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!line.is_object()) {
      fail(ErrorCode::corrupt_data, "{}: line {} is no JSON object", file.string(),
           lines.size() + 1);
    }
    lines.push_back(line);
    begin = end + 1;
  }
  return lines;
}

std::string text_of(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t number_of(const json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

ImageRecord record_of(const json& line) {
  ImageRecord record;
  for (const char* key : {"image_path", "path", "url", "key"}) {
    if (record.path.empty()) record.path = text_of(line, key);
  }
  if (record.path.empty()) return record;
  if (record.path.find("://") == record.path.npos) record.path = whole_path(record.path).string();
  record.name = fs::path(record.path).filename().string();
  record.folder = text_of(line, "folder");
  record.sha256 = text_of(line, "sha256");
  record.width = number_of(line, "width");
  record.height = number_of(line, "height");
  if (std::string caption = text_of(line, "caption"); !caption.empty()) record.caption = caption;
  look(record.path, record);  // a file that is there is not embedded again
  return record;
}

// False when nothing of length 1 can be made of it.
bool to_unit(std::span<float> row) {
  double sum = 0;
  for (const float v : row) sum += static_cast<double>(v) * v;
  if (!(sum > 0) || !std::isfinite(sum)) return false;
  for (float& v : row) v = static_cast<float>(v / std::sqrt(sum));
  return true;
}

void import_shard(IndexWriter& writer, const fs::path& folder, int64_t shard,
                  ImportResult& result) {
  const fs::path file = embeddings_file(folder, shard), names = metadata_file(folder, shard);
  const Tensor rows = read_npy(file);
  const std::vector<json> lines = read_metadata(names);
  check(rows.rank() == 2 && rows.size(1) == writer.state().width,
        "{}: is {}; the vectors of the index have {} numbers", file.string(), rows.shape(),
        writer.state().width);
  check(static_cast<int64_t>(lines.size()) == rows.size(0), "{}: has {} lines for {} rows of {}",
        names.string(), lines.size(), rows.size(0), file.filename().string());
  for (int64_t i = 0; i < rows.size(0); ++i) {
    throw_if_cancelled();
    ImageRecord record = record_of(lines[i]);
    check(!record.path.empty(), "{}: line {} names no image (image_path, path, url or key)",
          names.string(), i + 1);
    const Tensor values = to(rows.select(0, i), DType::f32);
    std::vector<float> row(values.data<float>(), values.data<float>() + values.numel());
    if (!to_unit(row)) {
      result.errors.push_back(
          {i, record.path,
           Error(ErrorCode::corrupt_data,
                 fmt::format("{}: row {} of {} has no direction", record.path, i, file.string()))});
      continue;
    }
    if (const auto known = writer.catalogue().find_path(record.path)) {
      record.id = known->id;
      ++result.replaced;
    } else {
      ++result.added;
    }
    writer.put(std::move(record), row.data());
  }
}

json to_json(const ImageRecord& record) {
  json line = {{"image_path", record.path}, {"key", fmt::format("{:09}", record.id)},
               {"width", record.width},     {"height", record.height},
               {"sha256", record.sha256},   {"folder", record.folder}};
  if (record.caption) line["caption"] = *record.caption;
  return line;
}

}  // namespace

ImportResult import_folder(IndexWriter& writer, const fs::path& folder, const Progress& progress) {
  const std::vector<int64_t> shards = shards_of(folder);
  if (shards.empty()) {
    fail(ErrorCode::not_found, "{}: holds no img_emb/img_emb_0.npy", folder.string());
  }
  ImportResult result;
  for (size_t i = 0; i < shards.size(); ++i) {
    import_shard(writer, folder, shards[i], result);
    if (progress) progress(static_cast<int64_t>(i) + 1, static_cast<int64_t>(shards.size()));
  }
  writer.commit();
  return result;
}

int64_t export_folder(const ImageIndex& index, const fs::path& folder, const Progress& progress) {
  check(shards_of(folder).empty(), "{}: there are embeddings in it; give another folder",
        folder.string());
  std::error_code error;
  for (const char* name : {"img_emb", "metadata"}) {
    fs::create_directories(folder / name, error);
    if (error) fail(ErrorCode::io, "{}: {}", (folder / name).string(), error.message());
  }
  const std::vector<RowId> rows = index.catalogue().rows();
  const auto total = static_cast<int64_t>(rows.size());
  const int64_t width = index.state().width;
  for (int64_t begin = 0; begin < total; begin += kShard) {
    NpyWriter embeddings(embeddings_file(folder, begin / kShard), {width}, DType::f16);
    AtomicFile metadata(metadata_file(folder, begin / kShard));
    for (int64_t i = begin; i < std::min(total, begin + kShard); ++i) {
      throw_if_cancelled();
      const Half* row = index.vectors().row(rows[i]);
      embeddings.append(Tensor::from<Half>({row, static_cast<size_t>(width)}, {width}));
      const json line = to_json(index.catalogue().find_row(rows[i]).value());
      metadata.write(line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
      if (progress) progress(i + 1, total);
    }
    metadata.commit();
    embeddings.commit();
  }
  return total;
}

IndexKind export_faiss(const ImageIndex& index, const fs::path& file) {
  const std::vector<RowId> rows = index.catalogue().rows();
  if (static_cast<int64_t>(rows.size()) < index.vectors().count) {
    write_faiss(file, HalfMatrix(index.vectors(), rows));
    return IndexKind::flat;
  }
  const auto* graph = dynamic_cast<const Hnsw*>(index.nearest());
  if (graph && graph->rows() < index.vectors().count) graph = nullptr;
  write_faiss(file, index.vectors(), graph);
  return graph ? IndexKind::hnsw : IndexKind::flat;
}

}  // namespace ocelli
