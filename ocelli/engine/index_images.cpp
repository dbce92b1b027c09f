#include "ocelli/engine/index_images.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/data/inputs.h"
#include "ocelli/formats/tar.h"
#include "ocelli/hub/digest.h"
#include "ocelli/image/exif.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kCommit = 64;  // images, or a second

bool is_below(const std::string& path, const std::string& folder) {
  return folder == "/" ||
         (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/');
}

struct Listing {
  std::vector<std::string> folders;  // and archives, whose files are all listed
  std::vector<std::pair<std::string, std::string>> files;  // and the folder each was found in
};

Listing list(std::span<const std::string> arguments, std::istream& standard_input) {
  Listing listing;
  std::set<std::string> seen;
  for (const std::string& argument : arguments) {
    const bool folder = fs::is_directory(argument);
    const std::string root = folder ? whole_path(argument).string() : "";
    if (folder) listing.folders.push_back(root);
    for (const std::string& path : list_images({&argument, 1}, standard_input)) {
      const std::string whole = whole_path(path).string();
      if (seen.insert(whole).second) listing.files.emplace_back(whole, root);
    }
  }
  // An archive that is cut off stands in the list itself: what it lost is kept.
  std::set<std::string> archives;
  for (const auto& [path, root] : listing.files) {
    const auto parts = split_tar_path(path);
    if (parts && !seen.contains(parts->first)) archives.insert(parts->first);
  }
  listing.folders.insert(listing.folders.end(), archives.begin(), archives.end());
  return listing;
}

ImageRecord new_record(const std::string& path, const std::string& root) {
  ImageRecord record;
  record.path = path;
  const fs::path whole(path);
  record.name = whole.filename().string();
  const std::string folder = whole.parent_path().string();
  if (!root.empty() && is_below(folder, root))
    record.folder = fs::path(folder).lexically_relative(root).string();
  return record;
}

class Update {
 public:
  Update(IndexWriter& writer, const OpenModel& opened, const UpdateOptions& options)
      : writer_(writer), opened_(opened), options_(options) {
    writer.catalogue().for_each([&](const ImageRecord& r) { known_.emplace(r.path, r); });
  }

  IndexUpdate run(const Listing& listing) {
    for (const auto& [path, root] : listing.files) sort_out(path, root);
    if (!options_.only_add) remove_vanished(listing);
    try {
      embed();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) writer_.commit();
      throw;
    }
    writer_.commit();
    return std::move(update_);
  }

 private:
  void sort_out(const std::string& path, const std::string& root) {
    throw_if_cancelled();
    const auto found = known_.find(path);
    const bool is_known = found != known_.end();
    ImageRecord record = is_known ? found->second : new_record(path, root);
    const ImageRecord before = record;
    listed_.insert(path);
    if (!look(path, record)) {
      const int error = errno;
      update_.errors.push_back({0, path,
                                Error(error == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                                      fmt::format("{}: {}", path, std::strerror(error)))});
      if (is_known && error == ENOENT) remove(before);
    } else if (record.row && record.size == before.size && record.mtime == before.mtime) {
      ++update_.unchanged;
    } else if (record.row && record.size == before.size && same_bytes(record)) {
      writer_.put(record, nullptr);
      ++update_.unchanged;
    } else {
      paths_.push_back(path);
      records_.push_back(std::move(record));
    }
  }

  // A file that cannot be read here is reported when it is embedded.
  static bool same_bytes(const ImageRecord& record) {
    try {
      const std::string bytes = read_input(record.path);
      return hub::sha256_of({std::as_bytes(std::span(bytes))}) == record.sha256;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) throw;
      return false;
    }
  }

  void remove_vanished(const Listing& listing) {
    for (const auto& [path, record] : known_) {
      const bool below = std::ranges::any_of(
          listing.folders, [&](const std::string& folder) { return is_below(path, folder); });
      if (below && !listed_.contains(path)) remove(record);
    }
  }

  void remove(const ImageRecord& record) {
    writer_.remove(record.id);
    ++update_.removed;
  }

  void embed() {
    RunOptions run = options_.run;
    run.inspect = [&](int64_t i, std::span<const std::byte> bytes, const Image& image) {
      inspect(records_[i], bytes, image);
    };
    const auto errors = run_images(
        opened_.processor, paths_,
        [&](const Tensor& pixels) { return embed_pixels(opened_, pixels); },
        [&](int64_t i, const Tensor& row) { add(records_[i], row); }, run);
    for (const ItemError& error : errors) fail_image(records_[error.index], error);
  }

  static void inspect(ImageRecord& record, std::span<const std::byte> bytes, const Image& image) {
    record.sha256 = hub::sha256_of({bytes});
    record.width = image.width();
    record.height = image.height();
    const ExifInfo exif = read_exif(bytes);
    record.taken = exif.taken;
    record.latitude = exif.latitude;
    record.longitude = exif.longitude;
  }

  void add(ImageRecord& record, const Tensor& row) {
    ++(record.id == 0 ? update_.added : update_.changed);
    record.error.clear();
    writer_.put(record, row.data<float>());
    if (++pending_ < kCommit && Clock::now() - last_ < std::chrono::seconds(1)) return;
    writer_.commit();
    pending_ = 0;
    last_ = Clock::now();
  }

  // A file that vanished is no image of the index; others stay in it with what is wrong.
  void fail_image(ImageRecord& record, const ItemError& error) {
    update_.errors.push_back(error);
    if (error.error.code() == ErrorCode::not_found) {
      if (record.id != 0) remove(record);
      return;
    }
    record.row.reset();
    record.error = error.error.what();
    writer_.put(record, nullptr);
  }

  IndexWriter& writer_;
  const OpenModel& opened_;
  const UpdateOptions& options_;
  std::map<std::string, ImageRecord> known_;
  std::set<std::string> listed_;
  std::vector<std::string> paths_;  // to embed
  std::vector<ImageRecord> records_;
  int64_t pending_ = 0;
  Clock::time_point last_ = Clock::now();
  IndexUpdate update_;
};

}  // namespace

bool look(const std::string& path, ImageRecord& record) {
  const auto facts = input_facts(path);
  if (!facts) return false;
  record.size = facts->bytes;
  record.mtime = facts->time;
  return true;
}

IndexState state_for(const OpenModel& opened, const std::string& size) {
  IndexState state;
  state.model = lasting_name(opened);
  state.fingerprint = fingerprint(opened);
  state.size = size;
  state.width = opened.model->embedding_size();
  return state;
}

void check_same_model(const IndexState& state, const OpenModel& opened) {
  const std::string own = fingerprint(opened);
  const auto with_size = [](const std::string& name, const std::string& size) {
    return size.empty() ? name : fmt::format("{} at {}", name, size);
  };
  check(
      own == state.fingerprint && opened.model->embedding_size() == state.width,
      "the index was made with the model {} (weights {}, {} numbers), not with {} (weights {}, {} "
      "numbers); use that one, or make another index",
      with_size(state.model, state.size), state.fingerprint, state.width,
      with_size(opened.name, fmt::format("{}x{}", opened.input_size[0], opened.input_size[1])), own,
      opened.model->embedding_size());
}

IndexUpdate index_images(IndexWriter& writer, const OpenModel& opened,
                         std::span<const std::string> arguments, std::istream& standard_input,
                         const UpdateOptions& options) {
  check_same_model(writer.state(), opened);
  return Update(writer, opened, options).run(list(arguments, standard_input));
}

int64_t set_captions(IndexWriter& writer, const CaptionedImages& captions) {
  std::set<std::string> noted;
  for (size_t i = 0; i < captions.captions.size(); ++i) {
    const std::string path = whole_path(captions.paths[captions.image_of[i]]).string();
    if (writer.set_caption(path, captions.captions[i])) noted.insert(path);
  }
  writer.commit();
  return static_cast<int64_t>(noted.size());
}

int64_t remove_images(IndexWriter& writer, std::span<const std::string> arguments) {
  std::vector<std::string> names;
  for (const std::string& argument : arguments) names.push_back(whole_path(argument).string());
  std::vector<bool> used(names.size());
  std::vector<int64_t> ids;
  writer.catalogue().for_each([&](const ImageRecord& record) {
    bool matches = false;
    for (size_t i = 0; i < names.size(); ++i) {
      if (record.path != names[i] && !is_below(record.path, names[i])) continue;
      used[i] = matches = true;
    }
    if (matches) ids.push_back(record.id);
  });
  for (size_t i = 0; i < names.size(); ++i) {
    if (!used[i]) fail(ErrorCode::not_found, "{}: the index has no such image", names[i]);
  }
  for (const int64_t id : ids) writer.remove(id);
  writer.commit();
  return static_cast<int64_t>(ids.size());
}

}  // namespace ocelli
