#include "ocelli/curate/export.h"

#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/tar.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string dump(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string key(size_t place) {
  return fmt::format("{:08}", place);
}

// As webdataset names it.
std::string extension_of(const Fate& fate) {
  return fate.format == "jpeg" ? "jpg" : fate.format;
}

std::string caption_of(const Fate& fate) {
  return fate.caption.empty() ? read_beside(fate.path, ".txt").value_or("") : fate.caption;
}

// The image and what is known of it, under one key.
void add_sample(TarWriter& shard, size_t place, const Fate& fate) {
  const std::string caption = caption_of(fate), name = key(place);
  shard.add(name + "." + extension_of(fate), read_input(fate.path));
  if (!caption.empty()) shard.add(name + ".txt", caption);
  ordered_json facts = {{"key", name}, {"path", fate.path}};
  if (!caption.empty()) facts["caption"] = caption;
  facts["width"] = fate.measures.width;
  facts["height"] = fate.measures.height;
  shard.add(name + ".json", dump(facts));
  if (const auto label = read_beside(fate.path, ".cls")) shard.add(name + ".cls", *label);
}

void export_folder(const fs::path& output, const Curated& curated,
                   const std::vector<std::string>& names, const Progress& progress) {
  fs::create_directories(output / "images");
  int64_t done = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    throw_if_cancelled();
    const fs::path to = output / names[i];
    if (!fs::exists(to)) write_file(to, read_input(curated.fates[i].path));
    if (progress) progress(++done, curated.kept);
  }
}

void export_shards(const fs::path& output, const Curated& curated, const Recipe& recipe,
                   const Progress& progress) {
  fs::create_directories(output / "shards");
  std::vector<size_t> kept;
  for (size_t i = 0; i < curated.fates.size(); ++i) {
    if (curated.fates[i].stage.empty()) kept.push_back(i);
  }
  const auto size = static_cast<size_t>(recipe.shard_images);
  for (size_t begin = 0; begin < kept.size(); begin += size) {
    const fs::path file = output / "shards" / fmt::format("{:06}.tar", begin / size);
    const size_t end = std::min(begin + size, kept.size());
    if (!fs::exists(file)) {
      TarWriter shard(file);
      for (size_t i = begin; i < end; ++i) {
        throw_if_cancelled();
        add_sample(shard, kept[i], curated.fates[kept[i]]);
        if (progress) progress(static_cast<int64_t>(i + 1), curated.kept);
      }
      shard.commit();
    }
    if (progress) progress(static_cast<int64_t>(end), curated.kept);
  }
}

}  // namespace

std::vector<std::string> exported_names(const Curated& curated, const Recipe& recipe) {
  std::vector<std::string> names(curated.fates.size());
  if (recipe.format == "list") return names;
  int64_t kept = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    const Fate& fate = curated.fates[i];
    if (!fate.stage.empty()) continue;
    names[i] = recipe.format == "shards"
                   ? fmt::format("shards/{:06}.tar/{}.{}", kept / recipe.shard_images, key(i),
                                 extension_of(fate))
                   : fmt::format("images/{}_{}", key(i), fs::path(fate.path).filename().string());
    ++kept;
  }
  return names;
}

void export_images(const fs::path& output, const Curated& curated, const Recipe& recipe,
                   const Progress& progress) {
  if (recipe.format == "shards") return export_shards(output, curated, recipe, progress);
  if (recipe.format == "folder") {
    return export_folder(output, curated, exported_names(curated, recipe), progress);
  }
  std::string text;
  for (const Fate& f : curated.fates) {
    if (f.stage.empty()) text += f.path + "\n";
  }
  write_file(output / "images.txt", text);
}

void write_manifest(const fs::path& output, const Curated& curated,
                    const std::vector<std::string>& names) {
  AtomicFile file(output / "manifest.jsonl");
  for (size_t i = 0; i < curated.fates.size(); ++i) {
    const Fate& f = curated.fates[i];
    ordered_json line = {{"path", f.path}, {"stage", f.stage.empty() ? "kept" : f.stage}};
    if (!f.why.empty()) line["why"] = f.why;
    if (!names.empty() && !names[i].empty()) line["file"] = names[i];
    if (!f.caption.empty()) line["caption"] = f.caption;
    if (f.measures.width > 0) {
      line["width"] = f.measures.width;
      line["height"] = f.measures.height;
      line["sharpness"] = f.measures.sharpness;
    }
    file.write(dump(line) + "\n");
  }
  file.commit();
}

}  // namespace ocelli
