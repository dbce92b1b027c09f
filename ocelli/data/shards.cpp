#include "ocelli/data/shards.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ocelli/data/inputs.h"
#include "ocelli/data/random.h"
#include "ocelli/formats/tar.h"
#include "ocelli/image/decode.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

constexpr size_t kOpened = 32;  // shards whose lists of samples are kept
constexpr int kPlaceBits = 32;
// Compressed archives are read in their order: what waits in the buffer must not be passed twice.
constexpr int64_t kCompressedBytes = int64_t{32} << 20;

int64_t shard_of(int64_t index) {
  return index >> kPlaceBits;
}
size_t place_of(int64_t index) {
  return static_cast<size_t>(index & 0xFFFFFFFF);
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

int64_t parse_label(const std::string& text, const std::string& file) {
  int64_t label = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  if (error != std::errc() || end != text.data() + text.size() || label < 0) {
    fail(ErrorCode::corrupt_data, "{}: '{}' is no label; a number from 0 on is needed", file,
         text.substr(0, 40));
  }
  return label;
}

}  // namespace

struct Shards::Shard {
  struct Entry {
    std::string key, image = {};  // the image's extension, with its dot
    int64_t bytes = 0;
    bool has_text = false, has_label = false, has_json = false;
  };

  explicit Shard(const std::string& path) : archive(TarArchive::open(path)) {
    Entry entry;
    for (const TarArchive::Member& member : archive->members()) {
      const size_t slash = member.name.rfind('/');
      const size_t dot = member.name.find('.', slash == std::string::npos ? 0 : slash);
      if (dot == std::string::npos) continue;
      if (member.name.compare(0, dot, entry.key) != 0 || entry.key.size() != dot) {
        close(std::move(entry));
        entry = {.key = member.name.substr(0, dot)};
      }
      const std::string extension = member.name.substr(dot);
      entry.has_text |= extension == ".txt";
      entry.has_label |= extension == ".cls";
      entry.has_json |= extension == ".json";
      if (!has_image_extension(member.name) || !entry.image.empty()) continue;
      entry.image = extension;
      entry.bytes = member.size;
    }
    close(std::move(entry));
    // What is cut off counts as a sample that cannot be read, so that it is reported.
    if (archive->damage()) entries.push_back({});
  }

  void close(Entry entry) {
    if (!entry.image.empty()) entries.push_back(std::move(entry));
  }

  void read_json(const Entry& entry, Sample& sample) const {
    const std::string name = entry.key + ".json";
    const auto json = nlohmann::json::parse(archive->read(name), nullptr, false);
    if (!json.is_object()) fail(ErrorCode::corrupt_data, "{}: is no JSON object", name);
    for (const char* key : {"caption", "text"}) {
      const auto found = json.find(key);
      if (sample.caption.empty() && found != json.end() && found->is_string()) {
        sample.caption = found->get<std::string>();
      }
    }
    for (const char* key : {"label", "cls"}) {
      const auto found = json.find(key);
      if (sample.label < 0 && found != json.end() && found->is_number_integer()) {
        sample.label = parse_label(found->dump(), name);
      }
    }
  }

  std::shared_ptr<TarArchive> archive;
  std::vector<Entry> entries;
};

// Goes through the shards of one rank.
class Shards::Reader {
 public:
  Reader(const Shards& shards, const Sampling& sampling, int64_t epoch)
      : shards_(shards), sampling_(sampling), epoch_(epoch), rng_(0) {
    if (sampling.epoch_size > 0) left_ = ocelli::epoch_size(sampling, 0);
    begin_pass();
  }

  std::optional<int64_t> next() {
    if (left_ == 0) return std::nullopt;
    fill();
    if (buffer_.empty()) {
      if (left_ < 0) return std::nullopt;
      check(given_ > 0, "the shards of rank {} hold no samples", sampling_.rank);
      given_ = 0;
      ++pass_;
      begin_pass();
      fill();
    }
    const auto at = sampling_.shuffle ? random_index(rng_, std::ssize(buffer_)) : 0;
    const int64_t index = buffer_[at].first;
    buffered_bytes_ -= buffer_[at].second;
    buffer_[at] = buffer_.back();
    buffer_.pop_back();
    ++given_;
    if (left_ > 0) --left_;
    return index;
  }

 private:
  void begin_pass() {
    const auto key = [&](int64_t value) { return static_cast<uint64_t>(value); };
    // All ranks shuffle the shards alike; their samples each by itself.
    Rng shared = keyed_rng({sampling_.seed, key(epoch_), key(pass_)});
    rng_ = keyed_rng({sampling_.seed, key(epoch_), key(pass_), key(sampling_.rank)});
    std::vector<int64_t> all = random_permutation(shared, shards_.num_shards());
    if (!sampling_.shuffle) std::ranges::sort(all);
    order_.clear();
    for (int64_t i = sampling_.rank; i < std::ssize(all); i += sampling_.world) {
      order_.push_back(all[i]);
    }
    shard_ = 0;
    place_ = 0;
  }

  void fill() {
    const int64_t wanted = sampling_.shuffle ? std::max<int64_t>(sampling_.shuffle_buffer, 1) : 1;
    while (std::ssize(buffer_) < wanted && shard_ < order_.size()) {
      const auto shard = shards_.open(order_[shard_]);
      if (place_ == shard->entries.size()) {
        ++shard_;
        place_ = 0;
        continue;
      }
      const int64_t bytes = shard->archive->is_compressed() ? shard->entries[place_].bytes : 0;
      if (buffered_bytes_ + bytes > kCompressedBytes && !buffer_.empty()) return;
      buffered_bytes_ += bytes;
      buffer_.emplace_back(order_[shard_] << kPlaceBits | static_cast<int64_t>(place_++), bytes);
    }
  }

  const Shards& shards_;
  const Sampling sampling_;
  const int64_t epoch_;
  Rng rng_;
  int64_t pass_ = 0, left_ = -1;  // left_: of an epoch with a given size
  int64_t given_ = 0;             // in this pass
  std::vector<int64_t> order_;
  size_t shard_ = 0, place_ = 0;
  std::vector<std::pair<int64_t, int64_t>> buffer_;  // indices, and their bytes when compressed
  int64_t buffered_bytes_ = 0;
};

Shards::Shards(std::vector<std::string> paths, Target target)
    : paths_(std::move(paths)), target_(target) {
  for (const std::string& path : paths_) {
    if (!fs::is_regular_file(path)) fail(ErrorCode::not_found, "{}: there is no such shard", path);
  }
}

Shards::~Shards() = default;

std::shared_ptr<const Shards::Shard> Shards::open(int64_t number) const {
  std::lock_guard lock(mutex_);
  const auto known = std::ranges::find(opened_, number, &decltype(opened_)::value_type::first);
  if (known != opened_.end()) {
    opened_.splice(opened_.begin(), opened_, known);
  } else {
    opened_.emplace_front(number, std::make_shared<Shard>(paths_[number]));
    if (opened_.size() > kOpened) opened_.pop_back();
  }
  return opened_.front().second;
}

std::string Shards::id(int64_t index) const {
  const Shard::Entry& entry = open(shard_of(index))->entries[place_of(index)];
  const std::string& path = paths_[shard_of(index)];
  return entry.image.empty() ? path : path + "/" + entry.key + entry.image;
}

Sample Shards::get(int64_t index) const {
  const auto shard = open(shard_of(index));
  const Shard::Entry& entry = shard->entries[place_of(index)];
  if (entry.image.empty()) throw *shard->archive->damage();
  const auto read = [&](const char* extension) {
    return trimmed(shard->archive->read(entry.key + extension));
  };
  Sample sample;
  if (entry.has_text) sample.caption = read(".txt");
  if (entry.has_label) sample.label = parse_label(read(".cls"), id(index));
  if (entry.has_json) shard->read_json(entry, sample);
  if (target_ == Target::caption && sample.caption.empty()) {
    fail(ErrorCode::corrupt_data, "{}: has no caption beside it, in .txt or .json", id(index));
  }
  if (target_ == Target::label && sample.label < 0) {
    fail(ErrorCode::corrupt_data, "{}: has no label beside it, in .cls or .json", id(index));
  }
  const std::string bytes = shard->archive->read(entry.key + entry.image);
  sample.image = decode_image(std::as_bytes(std::span(bytes)), id(index));
  return sample;
}

Order Shards::order(const Sampling& s, int64_t epoch) const {
  check(s.weights.empty() && s.repeats == 1,
        "shards are read in their order: neither weights nor repeated augmentation go with them");
  check(s.rank >= 0 && s.rank < s.world, "rank {} is not one of {}", s.rank, s.world);
  check(s.world <= num_shards(), "{} shard{} cannot be split over {} ranks", num_shards(),
        num_shards() == 1 ? "" : "s", s.world);
  check(s.world == 1 || s.epoch_size > 0,
        "ranks that read shards need epoch_size: their shards do not hold the same number of "
        "samples");
  const auto reader = std::make_shared<Reader>(*this, s, epoch);
  return [reader] { return reader->next(); };
}

int64_t Shards::substitute(int64_t index, Rng& rng) const {
  const int64_t shard = shard_of(index);
  return shard << kPlaceBits | random_index(rng, std::ssize(open(shard)->entries));
}

}  // namespace ocelli
