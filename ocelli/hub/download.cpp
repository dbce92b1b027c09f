#include "ocelli/hub/download.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/base/file.h"
#include "ocelli/hub/digest.h"
#include "ocelli/hub/http.h"

namespace ocelli::hub {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kInfoLimit = 64 << 20;

struct RemoteFile {
  std::string name;
  std::string etag;   // the blob's name: sha256 or git's sha1; empty until asked for
  int64_t size = -1;  // -1: unknown
};

struct Remote {
  std::string commit;
  std::vector<RemoteFile> files;
};

std::string header(const Reply& reply, const std::string& name) {
  const auto entry = reply.headers.find(name);
  return entry == reply.headers.end() ? "" : entry->second;
}

[[noreturn]] void refuse(const Settings& settings, const Id& id, const std::string& what,
                         const Reply& reply) {
  const std::string code = header(reply, "x-error-code");
  const char* token = settings.token.empty() ? "set HF_TOKEN to a token that may read it"
                                             : "the token in use may not read it";
  if (reply.status == 0) {
    fail(ErrorCode::io, "{}: the hub {} cannot be reached: {}", what, settings.endpoint,
         reply.trouble);
  }
  if (code == "RevisionNotFound") {
    fail(ErrorCode::not_found, "{}: has no revision '{}'", id.repo, id.revision);
  }
  if (reply.status == 404) {
    fail(ErrorCode::not_found, "{}: not found on {} (revision '{}')", what, settings.endpoint,
         id.revision);
  }
  if (code == "GatedRepo") {
    fail(ErrorCode::io, "{}: is gated: accept its terms on {}/{}, and {}", what, settings.endpoint,
         id.repo, token);
  }
  if (reply.status == 401 || reply.status == 403) {
    fail(ErrorCode::io, "{}: {} answers {}: it does not exist or is private; check the name, or {}",
         what, settings.endpoint, reply.status, token);
  }
  fail(ErrorCode::io, "{}: {} answers {}{}{}", what, settings.endpoint, reply.status,
       reply.trouble.empty() ? "" : ": ", reply.trouble);
}

void check_name(const Settings& settings, const std::string& name, bool nested) {
  if (is_safe_path(name) && (nested || name.find('/') == name.npos)) return;
  fail(ErrorCode::corrupt_data, "{} names a file '{}', which would leave its folder",
       settings.endpoint, name.substr(0, 200));
}

// A whole small answer, with retries.
std::string get_text(const Settings& settings, const Id& id, const std::string& url) {
  for (int attempt = 0;; ++attempt) {
    std::string body;
    const Reply reply = send(settings, {url}, [&](const Reply&, std::string_view bytes) {
      if (body.size() + bytes.size() > kInfoLimit) {
        fail(ErrorCode::corrupt_data, "{}: the answer is too long", url);
      }
      body += bytes;
    });
    if (reply.trouble.empty() && reply.status == 200) return body;
    // A hub that is not there at all will not be there in a second.
    if (!is_transient(reply) || reply.unreachable || attempt >= settings.retries) {
      refuse(settings, id, id.repo, reply);
    }
    back_off(settings, attempt, reply);
  }
}

RemoteFile parse_file(const json& entry) {
  RemoteFile file{entry.at("rfilename").get<std::string>(), "", -1};
  if (entry.contains("size") && entry["size"].is_number_unsigned()) file.size = entry["size"];
  if (entry.contains("blobId") && entry["blobId"].is_string()) file.etag = entry["blobId"];
  if (entry.contains("lfs") && entry["lfs"].is_object()) {
    file.etag = entry["lfs"].at("sha256").get<std::string>();
    const json& size = entry["lfs"].at("size");
    if (size.is_number_unsigned()) file.size = size;
  }
  return file;
}

Remote ask(const Settings& settings, const Id& id) {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings.endpoint,
                                      id.repo, url_encode(id.revision, false));
  const std::string text = get_text(settings, id, url);
  Remote remote;
  try {
    const json info = json::parse(text);
    remote.commit = info.at("sha").get<std::string>();
    for (const json& entry : info.at("siblings")) remote.files.push_back(parse_file(entry));
  } catch (const json::exception& error) {
    fail(ErrorCode::corrupt_data, "{}: the hub's answer is not a model's description: {}", url,
         error.what());
  }
  check_name(settings, remote.commit, false);
  for (const RemoteFile& file : remote.files) check_name(settings, file.name, true);
  return remote;
}

// Configurations, tokenizer files and one set of weights.
std::vector<RemoteFile> select(const Id& id, const std::vector<RemoteFile>& files, bool all) {
  if (all) return files;
  std::set<std::string> names;
  for (const RemoteFile& file : files) names.insert(file.name);
  const std::string weights = choose_weights(names);
  if (weights.empty()) {
    fail(ErrorCode::not_found,
         "{}: has no weights that Ocelli reads, or several sets (looked for "
         "model.safetensors, pytorch_model.bin, ...)",
         id.repo);
  }
  // model.safetensors.index.json has shards named model-00001-of-00002.safetensors.
  const std::string base = weights.substr(0, weights.find(".index.json"));
  const std::string shard_start = fs::path(base).stem().string() + "-";
  const std::string shard_end = fs::path(base).extension().string();
  const bool sharded = base != weights;
  std::vector<RemoteFile> chosen;
  for (const RemoteFile& file : files) {
    const std::string& name = file.name;
    const std::string extension = fs::path(name).extension().string();
    const bool shard = sharded && name.starts_with(shard_start) && name.ends_with(shard_end) &&
                       name.find("-of-") != name.npos;
    const bool index = name.ends_with(".index.json");
    const bool text = name.find('/') == name.npos && !index &&
                      (extension == ".json" || extension == ".txt" || extension == ".model" ||
                       name == "bpe_simple_vocab_16e6.txt.gz");
    if (name == weights || shard || text) chosen.push_back(file);
  }
  // The weights last: a snapshot that has them is whole.
  std::ranges::stable_partition(chosen, [&](const RemoteFile& f) {
    return f.name != weights && !(sharded && f.name.ends_with(shard_end));
  });
  return chosen;
}

// The name and size of a file's blob, for servers whose description does not tell.
void ask_blob(const Settings& settings, const Id& id, const std::string& url, RemoteFile& file) {
  if (!file.etag.empty()) return check_name(settings, file.etag, false);
  Reply reply;
  for (int attempt = 0;; ++attempt) {
    reply = send(settings, {url, /*head=*/true});
    if (!is_transient(reply) || attempt >= settings.retries) break;
    back_off(settings, attempt, reply);
  }
  if (reply.status == 0 || reply.status >= 400)
    refuse(settings, id, id.repo + "/" + file.name, reply);
  const std::string linked = header(reply, "x-linked-etag");
  const std::string etag = linked.empty() ? header(reply, "etag") : linked;
  const size_t begin = etag.find_first_not_of("W/\""), end = etag.find_last_not_of('"');
  if (begin != etag.npos) file.etag = etag.substr(begin, end - begin + 1);
  std::string size = header(reply, "x-linked-size");
  if (size.empty() && reply.status < 300) size = header(reply, "content-length");
  if (!size.empty()) file.size = std::strtoll(size.c_str(), nullptr, 10);
  check_name(settings, file.etag, false);
}

// The lock that huggingface_hub takes for the same blob.
class Lock {
 public:
  explicit Lock(const fs::path& path) {
    fs::create_directories(path.parent_path());
    while (true) {
      fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0664);
      if (fd_ < 0) fail(ErrorCode::io, "{}: {}", path.string(), std::strerror(errno));
      while (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR)) {
        if (cancel_requested()) ::close(fd_);
        throw_if_cancelled();
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      // The last holder may have removed the file meanwhile; its lock then protects nothing.
      struct stat mine {
      }, named{};
      if (::fstat(fd_, &mine) == 0 && ::stat(path.c_str(), &named) == 0 &&
          mine.st_ino == named.st_ino) {
        return;
      }
      ::close(fd_);
    }
  }
  ~Lock() { ::close(fd_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int fd_ = -1;
};

// A file that grows as bytes come and keeps them when the transfer ends early.
class Partial {
 public:
  explicit Partial(const fs::path& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd_ < 0) broken();
    size_ = ::lseek(fd_, 0, SEEK_END);
  }
  ~Partial() { ::close(fd_); }
  Partial(const Partial&) = delete;
  Partial& operator=(const Partial&) = delete;

  int64_t size() const { return size_; }
  void restart() {
    if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) broken();
    size_ = 0;
  }
  void append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) broken();
      size_ += count;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
  }
  void sync() {
    if (::fsync(fd_) != 0) broken();
  }

 private:
  [[noreturn]] void broken() const {
    fail(ErrorCode::io, "{}: cannot be written: {}", path_.string(), std::strerror(errno));
  }

  fs::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

class Fetcher {
 public:
  Fetcher(const Id& id, const Settings& settings, const Progress& progress)
      : id_(id),
        settings_(settings),
        progress_(progress),
        folder_(repo_folder(settings, id.repo)) {}

  Download run(bool all);

 private:
  std::string url_of(const RemoteFile& file) const {
    return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, id_.repo, result_.commit,
                       url_encode(file.name, true));
  }
  void fetch(RemoteFile& file);
  void fill(const RemoteFile& file, Partial& partial);
  void transfer(const RemoteFile& file, Partial& partial, Reply& reply);
  bool is_right(const RemoteFile& file, const fs::path& path) const;
  void check_space(const RemoteFile& file, const fs::path& incomplete) const;
  void link(const RemoteFile& file) const;
  void report(int64_t in_file) const {
    if (progress_) progress_(done_ + in_file, total_);
  }

  const Id& id_;
  const Settings& settings_;
  const Progress& progress_;
  fs::path folder_;
  Download result_;
  int64_t done_ = 0, total_ = 0;
};

// One transfer into the file, from where it ends on if the server can.
void Fetcher::transfer(const RemoteFile& file, Partial& partial, Reply& reply) {
  const int64_t offset = partial.size();
  bool begun = false, useless = false;
  reply = send(
      settings_, {url_of(file), false, offset}, [&](const Reply& head, std::string_view bytes) {
        if (!begun && offset > 0) {
          const std::string from = fmt::format("bytes {}-", offset);
          const bool fits = header(head, "content-range").starts_with(from);
          if (head.status != 206 || !fits) partial.restart();
          // Some part of the file, but which? The next transfer asks for all of it.
          useless = head.status == 206 && !fits;
        }
        begun = true;
        if (useless) return;
        if (file.size >= 0 && partial.size() + static_cast<int64_t>(bytes.size()) > file.size) {
          partial.restart();
          fail(ErrorCode::corrupt_data, "{}/{}: the hub sends more than the {} bytes it announced",
               id_.repo, file.name, file.size);
        }
        partial.append(bytes);
        result_.bytes += static_cast<int64_t>(bytes.size());
        report(partial.size());
      });
}

void Fetcher::fill(const RemoteFile& file, Partial& partial) {
  if (file.size >= 0 && partial.size() > file.size) partial.restart();
  int64_t furthest = partial.size();
  for (int attempt = 0; file.size < 0 || partial.size() < file.size; ++attempt) {
    Reply reply;
    transfer(file, partial, reply);
    const bool whole = reply.trouble.empty() && reply.status < 300;
    if (whole && (file.size < 0 || partial.size() == file.size)) break;
    if (reply.status == 416) {
      partial.restart();
    } else if (!whole && !is_transient(reply)) {
      refuse(settings_, id_, id_.repo + "/" + file.name, reply);
    }
    if (partial.size() > furthest) attempt = 0;  // it moves on: a long file may be cut many times
    furthest = std::max(furthest, partial.size());
    if (attempt >= settings_.retries) {
      if (whole) {
        fail(ErrorCode::io, "{}/{}: ends after {} of {} bytes", id_.repo, file.name, partial.size(),
             file.size);
      }
      refuse(settings_, id_, id_.repo + "/" + file.name, reply);
    }
    back_off(settings_, attempt, reply);
  }
  partial.sync();
}

bool Fetcher::is_right(const RemoteFile& file, const fs::path& path) const {
  return !is_digest(file.etag) || digest_of(path, file.etag) == file.etag;
}

void Fetcher::check_space(const RemoteFile& file, const fs::path& incomplete) const {
  std::error_code error;
  const auto have = fs::exists(incomplete, error) ? fs::file_size(incomplete, error) : 0;
  const auto space = fs::space(incomplete.parent_path(), error);
  if (error || file.size < 0 || static_cast<uint64_t>(file.size) <= have + space.available) return;
  fail(ErrorCode::io, "{}: the disk is full: {}/{} needs {} bytes, {} are free",
       incomplete.parent_path().string(), id_.repo, file.name,
       file.size - static_cast<int64_t>(have), space.available);
}

// snapshots/<commit>/a/b -> ../../../blobs/<etag>, under a temporary name first.
void Fetcher::link(const RemoteFile& file) const {
  const fs::path pointer = folder_ / "snapshots" / result_.commit / file.name;
  fs::create_directories(pointer.parent_path());
  const fs::path target = fs::relative(folder_ / "blobs" / file.etag, pointer.parent_path());
  fs::path temporary = pointer;
  temporary += fmt::format(".tmp-{}-{}", ::getpid(), ::gettid());
  std::error_code ignored;
  fs::remove(temporary, ignored);
  fs::create_symlink(target, temporary);
  fs::rename(temporary, pointer);
}

void Fetcher::fetch(RemoteFile& file) {
  const fs::path blob = folder_ / "blobs" / file.etag;
  fs::path incomplete = blob;
  incomplete += ".incomplete";
  const Lock lock(settings_.cache / ".locks" / folder_.filename() / (file.etag + ".lock"));
  if (!fs::exists(blob)) {
    fs::create_directories(blob.parent_path());
    check_space(file, incomplete);
    std::error_code ignored;
    bool resumed = fs::exists(incomplete, ignored) && fs::file_size(incomplete, ignored) > 0;
    while (true) {
      {
        Partial partial(incomplete);
        fill(file, partial);
      }
      if (is_right(file, incomplete)) break;
      fs::remove(incomplete, ignored);
      // What an earlier download left may be what is wrong: once more from the start.
      if (!std::exchange(resumed, false)) {
        fail(ErrorCode::corrupt_data,
             "{}/{}: the file that arrived has a wrong checksum (expected {}); it was removed",
             id_.repo, file.name, file.etag);
      }
    }
    fs::rename(incomplete, blob);
    ++result_.fetched;
  }
  link(file);
}

Download Fetcher::run(bool all) {
  Remote remote = ask(settings_, id_);
  result_.commit = remote.commit;
  result_.folder = folder_ / "snapshots" / remote.commit;
  std::vector<RemoteFile> files = select(id_, remote.files, all);
  result_.files = static_cast<int>(files.size());
  std::erase_if(files,
                [&](const RemoteFile& file) { return fs::exists(result_.folder / file.name); });
  for (RemoteFile& file : files) {
    ask_blob(settings_, id_, url_of(file), file);
    total_ += std::max<int64_t>(file.size, 0);
  }
  for (RemoteFile& file : files) {
    throw_if_cancelled();
    fetch(file);
    done_ += std::max<int64_t>(file.size, 0);
    report(0);
  }
  std::string missing;
  if (!all && !has_weights(result_.folder, &missing)) {
    fail(ErrorCode::corrupt_data, "{}: the repository lacks {}", id_.repo, missing);
  }
  const fs::path ref = folder_ / "refs" / id_.revision;
  if (id_.revision != remote.commit && cached_commit(settings_, id_) != remote.commit) {
    fs::create_directories(ref.parent_path());
    write_file(ref, remote.commit);
  }
  return result_;
}

}  // namespace

Download download(const Id& id, const Settings& settings, const Progress& progress, bool all) {
  if (settings.offline) {
    fail(ErrorCode::io, "{}: HF_HUB_OFFLINE is set, so nothing is downloaded", id.repo);
  }
  Settings clean = settings;
  while (clean.endpoint.ends_with('/')) clean.endpoint.pop_back();
  check(clean.endpoint.starts_with("http://") || clean.endpoint.starts_with("https://"),
        "the hub's endpoint '{}' is not an http:// or https:// address", settings.endpoint);
  try {
    return Fetcher(id, clean, progress).run(all);
  } catch (const fs::filesystem_error& error) {
    fail(ErrorCode::io, "{}: {}", id.repo, error.what());
  }
}

}  // namespace ocelli::hub
