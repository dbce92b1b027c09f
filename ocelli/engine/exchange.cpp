#include "ocelli/engine/exchange.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/base/mapped_file.h"
#include "ocelli/engine/metadata.h"
#include "ocelli/formats/npy.h"
#include "ocelli/index/faiss_file.h"
#include "ocelli/index/faiss_rows.h"
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

// The numbers of the files FOLDER/PREFIX_N.ENDING, sorted.
std::vector<int64_t> shards_of(const fs::path& folder, const std::string& prefix,
                               const std::string& ending) {
  std::vector<int64_t> shards;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    long long number = -1;
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) &&
        std::sscanf(name.c_str() + prefix.size(), "_%lld", &number) == 1 &&
        name == fmt::format("{}_{}{}", prefix, number, ending)) {
      shards.push_back(number);
    }
  }
  std::ranges::sort(shards);
  return shards;
}

std::vector<int64_t> embeddings_of(const fs::path& folder) {
  return shards_of(folder / "img_emb", "img_emb", ".npy");
}

std::vector<ImageRecord> read_metadata(const fs::path& file) {
  const fs::path parquet = fs::path(file).replace_extension(".parquet");
  std::error_code ignored;
  if (!fs::exists(file, ignored) && fs::exists(parquet, ignored)) {
    fail(ErrorCode::not_found, "{}: is not there; tools/parquet_to_jsonl.py makes it of {}",
         file.string(), parquet.filename().string());
  }
  return parse_metadata(read_file(file, size_t{8} << 30), file.string());
}

// False when nothing of length 1 can be made of it.
bool to_unit(std::span<float> row) {
  double sum = 0;
  for (const float v : row) sum += static_cast<double>(v) * v;
  if (!(sum > 0) || !std::isfinite(sum)) return false;
  for (float& v : row) v = static_cast<float>(v / std::sqrt(sum));
  return true;
}

// Puts row i of `file` with record i; `copy` gives its values.
void import_rows(IndexWriter& writer, std::vector<ImageRecord> records, const std::string& file,
                 const std::function<void(int64_t, float*)>& copy, ImportResult& result) {
  std::vector<float> row(writer.state().width);
  for (size_t i = 0; i < records.size(); ++i) {
    throw_if_cancelled();
    ImageRecord& record = records[i];
    const auto number = static_cast<int64_t>(i);
    copy(number, row.data());
    if (!to_unit(row)) {
      result.errors.push_back(
          {number, record.path,
           Error(ErrorCode::corrupt_data,
                 fmt::format("{}: row {} of {} has no direction", record.path, i, file))});
      continue;
    }
    if (record.path.find("://") == record.path.npos) record.path = whole_path(record.path).string();
    record.name = fs::path(record.path).filename().string();
    look(record.path, record);  // a file that is there is not embedded again
    if (const auto known = writer.catalogue().find_path(record.path)) {
      record.id = known->id;
      ++result.replaced;
    } else {
      ++result.added;
    }
    writer.put(std::move(record), row.data());
  }
}

void check_width(const IndexWriter& writer, const std::string& file, const Shape& shape) {
  check(shape.rank() == 2 && shape[1] == writer.state().width,
        "{}: is {}; the vectors of the index have {} numbers", file, shape, writer.state().width);
}

void check_lines(size_t lines, int64_t rows, const std::string& names, const fs::path& file) {
  check(static_cast<int64_t>(lines) == rows, "{}: has {} lines for {} rows of {}", names, lines,
        rows, file.filename().string());
}

void import_shard(IndexWriter& writer, const fs::path& folder, int64_t shard,
                  ImportResult& result) {
  const fs::path file = embeddings_file(folder, shard), names = metadata_file(folder, shard);
  const Tensor rows = read_npy(file);
  check_width(writer, file.string(), rows.shape());
  std::vector<ImageRecord> records = read_metadata(names);
  check_lines(records.size(), rows.size(0), names.string(), file);
  const auto copy = [&](int64_t i, float* row) {
    const Tensor values = to(rows.select(0, i), DType::f32);
    std::copy_n(values.data<float>(), values.numel(), row);
  };
  import_rows(writer, std::move(records), file.string(), copy, result);
}

// All the rows of a FAISS file; its lines are those of all metadata files beside it.
void import_faiss(IndexWriter& writer, const fs::path& file, ImportResult& result) {
  const MappedFile mapped(file);
  const FaissRows rows = parse_faiss(mapped.bytes(), file.string());
  check_width(writer, file.string(), {rows.count, rows.width});
  const fs::path folder = file.parent_path();
  std::vector<int64_t> shards = shards_of(folder / "metadata", "metadata", ".jsonl");
  if (shards.empty()) shards = {0};  // which says what is not there
  std::vector<ImageRecord> records;
  for (const int64_t shard : shards) {
    std::ranges::move(read_metadata(metadata_file(folder, shard)), std::back_inserter(records));
  }
  check_lines(records.size(), rows.count, (folder / "metadata").string(), file);
  const auto copy = [&](int64_t i, float* row) { rows.copy(i, row); };
  import_rows(writer, std::move(records), file.string(), copy, result);
}

json to_json(const ImageRecord& record) {
  json line = {{"image_path", record.path}, {"key", fmt::format("{:09}", record.id)},
               {"width", record.width},     {"height", record.height},
               {"sha256", record.sha256},   {"folder", record.folder}};
  if (record.caption) line["caption"] = *record.caption;
  return line;
}

}  // namespace

ImportResult import_embeddings(IndexWriter& writer, const fs::path& source,
                               const Progress& progress) {
  ImportResult result;
  std::error_code ignored;
  if (fs::is_regular_file(source, ignored)) {
    import_faiss(writer, source, result);
    writer.commit();
    return result;
  }
  const std::vector<int64_t> shards = embeddings_of(source);
  if (shards.empty()) {
    fail(ErrorCode::not_found, "{}: holds no img_emb/img_emb_0.npy", source.string());
  }
  for (size_t i = 0; i < shards.size(); ++i) {
    import_shard(writer, source, shards[i], result);
    if (progress) progress(static_cast<int64_t>(i) + 1, static_cast<int64_t>(shards.size()));
  }
  writer.commit();
  return result;
}

int64_t export_folder(const ImageIndex& index, const fs::path& folder, const Progress& progress) {
  check(embeddings_of(folder).empty(), "{}: there are embeddings in it; give another folder",
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
