#include "ocelli/curate/dedup.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>

#include "ocelli/base/journal.h"
#include "ocelli/base/threads.h"
#include "ocelli/curate/borders.h"
#include "ocelli/curate/exact.h"
#include "ocelli/data/inputs.h"
#include "ocelli/engine/embed.h"
#include "ocelli/hub/digest.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/knn_graph.h"

namespace ocelli {
namespace {

constexpr size_t kSketches = 1024;  // held at a time
constexpr int64_t kFew = 1000;      // images, all of whose pairs are candidates
constexpr size_t kMostHashes = 20000;

// Pairs of rows whose perceptual hashes are near, with the cosines of their embeddings; all pairs
// of few rows.
void add_hash_pairs(HalfRows rows, const NearOptions& options, std::vector<ScoredPair>& pairs) {
  const auto& hashes = options.hashes;
  if (hashes.size() > kMostHashes) return;
  const bool all = rows.count <= kFew;
  std::vector<float> query(rows.width);
  const auto count = static_cast<RowId>(hashes.size());
  for (RowId a = 0; a < count; ++a) {
    std::vector<RowId> near;
    for (RowId b = a + 1; b < count; ++b) {
      if (all || hash_distance(hashes[a], hashes[b]) <= kNearHash) near.push_back(b);
    }
    if (near.empty()) continue;
    std::vector<float> cosines(near.size());
    widen(rows.row(a), rows.width, query.data());
    dot_rows(query.data(), rows, near, cosines.data());
    for (size_t i = 0; i < near.size(); ++i) pairs.push_back({a, near[i], cosines[i]});
  }
}

// Pairs of near rows, sorted, each once.
std::vector<ScoredPair> candidates(HalfRows rows, const NearOptions& options) {
  const KnnGraph graph = knn_graph(rows, {.k = options.k, .seed = options.seed});
  std::vector<ScoredPair> pairs;
  for (int64_t i = 0; i < rows.count; ++i) {
    for (const Hit& hit : graph.of(i)) {
      if (hit.score < options.least_cosine) break;
      const auto row = static_cast<RowId>(i);
      pairs.push_back({std::min(row, hit.row), std::max(row, hit.row), hit.score});
    }
  }
  add_hash_pairs(rows, options, pairs);
  std::erase_if(pairs, [&](const ScoredPair& p) {
    return options.against > 0 && (p.a >= options.against || p.b < options.against);
  });
  const auto ends = [](const ScoredPair& p) { return std::pair(p.a, p.b); };
  std::ranges::stable_sort(pairs, {}, ends);
  const auto rest = std::ranges::unique(pairs, {}, ends);
  pairs.erase(rest.begin(), rest.end());
  return pairs;
}

// Compares pairs in waves of so few images that their sketches fit into memory.
class SecondLook {
 public:
  SecondLook(const OpenModel& opened, std::span<const std::string> paths,
             const NearOptions& options, std::vector<ItemError>& errors)
      : opened_(opened), paths_(paths), options_(options), errors_(errors) {}

  std::vector<LookedAt> operator()(const std::vector<ScoredPair>& pairs) {
    std::vector<LookedAt> looked(pairs.size());
    if (!options_.journal.empty()) journal_.emplace(options_.journal);
    for (size_t begin = remember(pairs, looked); begin < pairs.size();) {
      std::set<RowId> wanted;
      size_t end = begin;
      while (end < pairs.size() && wanted.size() < kSketches) {
        wanted.insert({pairs[end].a, pairs[end].b});
        ++end;
      }
      load(wanted);
      run(pairs, begin, end, looked);
      begin = end;
    }
    std::erase_if(looked, [](const LookedAt& l) { return l.why.empty(); });
    return looked;
  }

 private:
  void load(const std::set<RowId>& wanted) {
    std::erase_if(sketches_, [&](const auto& entry) { return !wanted.contains(entry.first); });
    std::vector<RowId> missing;
    for (const RowId row : wanted) {
      if (!sketches_.contains(row) && !failed_.contains(row)) missing.push_back(row);
    }
    std::vector<std::optional<ImageSketch>> made(missing.size());
    std::vector<std::optional<Error>> failures(missing.size());
    parallel_for(static_cast<int64_t>(missing.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        throw_if_cancelled();
        try {
          made[i] = sketch(opened_, decode_input(paths_[missing[i]], options_.run.decode));
        } catch (const Error& error) {
          if (options_.run.strict || error.code() == ErrorCode::cancelled) throw;
          failures[i] = error;
        }
      }
    });
    for (size_t i = 0; i < missing.size(); ++i) {
      if (made[i]) sketches_.emplace(missing[i], std::move(*made[i]));
      if (!failures[i]) continue;
      failed_.insert(missing[i]);
      errors_.push_back({missing[i], paths_[missing[i]], *failures[i]});
    }
  }

  // The pairs that the journal has, a line each: [score, "why"], or [] for one without a score.
  size_t remember(const std::vector<ScoredPair>& pairs, std::vector<LookedAt>& looked) const {
    if (!journal_) return 0;
    const size_t count = std::min(journal_->lines().size(), pairs.size());
    for (size_t i = 0; i < count; ++i) {
      const auto line = nlohmann::json::parse(journal_->lines()[i], nullptr, false);
      if (!line.is_array() || line.size() != 2) continue;
      looked[i] = {{pairs[i].a, pairs[i].b, line[0].get<float>()}, line[1].get<std::string>()};
    }
    return count;
  }

  void note(const std::vector<LookedAt>& looked, size_t begin, size_t end) {
    if (!journal_) return;
    std::string lines;
    for (size_t i = begin; i < end; ++i) {
      lines += looked[i].why.empty()
                   ? "[]\n"
                   : nlohmann::json{looked[i].pair.score, looked[i].why}.dump() + "\n";
    }
    journal_->append(lines);
  }

  void run(const std::vector<ScoredPair>& pairs, size_t begin, size_t end,
           std::vector<LookedAt>& looked) {
    constexpr size_t kStride = 512;  // pairs between two reports
    for (size_t from = begin; from < end; from += kStride) {
      const size_t to = std::min(from + kStride, end);
      parallel_for(static_cast<int64_t>(to - from), 4, [&](int64_t first, int64_t last) {
        for (size_t i = from + first; i < from + last; ++i) {
          throw_if_cancelled();
          look(pairs[i], looked[i]);
        }
      });
      note(looked, from, to);
      if (options_.run.progress) {
        options_.run.progress(static_cast<int64_t>(to), static_cast<int64_t>(pairs.size()));
      }
    }
  }

  void look(const ScoredPair& pair, LookedAt& into) const {
    const auto a = sketches_.find(pair.a), b = sketches_.find(pair.b);
    if (a == sketches_.end() || b == sketches_.end()) return;
    const auto evidence = compare(a->second, b->second, pair.score);
    if (evidence) into = {{pair.a, pair.b, duplicate_score(*evidence)}, describe(*evidence)};
  }

  const OpenModel& opened_;
  std::span<const std::string> paths_;
  const NearOptions& options_;
  std::vector<ItemError>& errors_;
  std::map<RowId, ImageSketch> sketches_;
  std::set<RowId> failed_;
  std::optional<Journal> journal_;
};

}  // namespace

FileFacts file_facts(const std::string& path, const Image& image) {
  const auto [bytes, time] = input_facts(path).value_or(InputFacts());
  FileFacts facts{image.height() * image.width(), bytes, time, 0};
  const double share = share_without_borders(image);
  facts.content = static_cast<int64_t>(share * static_cast<double>(facts.pixels));
  // A bordered copy is often an enlarged one; twice the pixels make up for that.
  if (share < 1) facts.content /= 2;
  return facts;
}

std::vector<int64_t> keep_order(std::span<const std::string> paths,
                                const std::vector<FileFacts>& facts) {
  std::vector<int64_t> order(paths.size()), rank(paths.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, {}, [&](int64_t i) {
    return std::tuple(-facts[i].content, -facts[i].bytes, facts[i].time, paths[i], i);
  });
  for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<int64_t>(i);
  return rank;
}

std::string why_kept(const FileFacts& kept, const std::vector<FileFacts>& others) {
  const auto all = [&](auto member, auto than) {
    return std::ranges::all_of(others,
                               [&](const FileFacts& f) { return than(kept.*member, f.*member); });
  };
  const bool most = all(&FileFacts::pixels, std::greater_equal{});
  if (all(&FileFacts::content, std::greater{})) {
    return most ? "most pixels" : "most pixels without borders";
  }
  if (all(&FileFacts::bytes, std::greater{})) return "most pixels, least compressed";
  if (all(&FileFacts::time, std::less{})) return "the oldest of the best";
  return "the first by name of the best";
}

std::vector<LookedAt> near_pairs(const OpenModel& opened, std::span<const std::string> paths,
                                 HalfRows rows, const NearOptions& options,
                                 std::vector<ItemError>& errors) {
  if (rows.count < 2) return {};
  return SecondLook(opened, paths, options, errors)(candidates(rows, options));
}

namespace {

struct Hashes {
  std::string bytes, pixels;
  PerceptualHash perceptual = {};
  FileFacts facts;
  std::optional<Error> error;
};

Hashes hash_file(const std::string& path, const RunOptions& run) {
  Hashes h;
  try {
    const std::string contents = read_input(path);
    const auto bytes = std::as_bytes(std::span(contents));
    h.bytes = hub::sha256_of({bytes});
    const Image image = decode_image(bytes, path, run.decode);
    h.pixels = pixel_hash(image);
    h.perceptual = perceptual_hash(image);
    h.facts = file_facts(path, image);
  } catch (const Error& error) {
    if (run.strict || error.code() == ErrorCode::cancelled) throw;
    h.error = error;
  }
  return h;
}

}  // namespace

ExactCopies find_exact_copies(std::span<const std::string> paths, const RunOptions& run) {
  ExactCopies result;
  std::map<std::string, RowId> by_bytes, by_pixels;
  const auto n = static_cast<int64_t>(paths.size());
  const auto work = [&](int64_t begin, int64_t end) {
    auto hashes = std::make_shared<std::vector<Hashes>>();
    for (int64_t i = begin; i < end; ++i) hashes->push_back(hash_file(paths[i], run));
    return hashes;
  };
  run_ordered(n, run.batch, work,
              [&](int64_t begin, int64_t end, const std::shared_ptr<void>& made) {
                for (int64_t i = begin; i < end; ++i) {
                  const Hashes& h = (*static_cast<std::vector<Hashes>*>(made.get()))[i - begin];
                  const auto row = static_cast<RowId>(i);
                  result.facts.push_back(h.facts);
                  result.hashes.push_back(h.perceptual);
                  if (h.error) {
                    result.errors.push_back({i, paths[i], *h.error});
                    continue;
                  }
                  const auto [bytes, new_bytes] = by_bytes.try_emplace(h.bytes, row);
                  const auto [pixels, new_pixels] = by_pixels.try_emplace(h.pixels, row);
                  if (!new_bytes)
                    result.pairs.push_back({{bytes->second, row, 1}, "the same bytes"});
                  else if (!new_pixels)
                    result.pairs.push_back({{pixels->second, row, 1}, "the same pixels"});
                  else
                    result.distinct.push_back(i);
                }
                if (run.progress) run.progress(end, n);
              });
  return result;
}

namespace {

// Adds the near pairs among `distinct`, in numbers of `paths`.
void add_near_pairs(const OpenModel& opened, const ExactCopies& copies, const DedupOptions& options,
                    Duplicates& result) {
  const std::vector<int64_t>& distinct = copies.distinct;
  std::vector<std::string> paths;
  for (const int64_t i : distinct) paths.push_back(result.paths[i]);
  RunOptions run = options.run;
  run.progress = options.embedding;
  const ImageEmbeddings embedded = embed_images(opened, paths, run);
  for (ItemError e : embedded.errors) {
    e.index = distinct[e.index];
    result.errors.push_back(std::move(e));
  }
  std::vector<int64_t> image;  // of each row
  NearOptions near{.run = options.run};
  near.run.progress = options.comparing;
  paths.clear();
  for (const int64_t i : embedded.images) {
    image.push_back(distinct[i]);
    paths.push_back(result.paths[image.back()]);
    near.hashes.push_back(copies.hashes[image.back()]);
    near.against += image.back() < static_cast<int64_t>(options.against.size());
  }
  std::vector<ItemError> errors;
  for (LookedAt looked : near_pairs(opened, paths, HalfMatrix(embedded.rows), near, errors)) {
    looked.pair.a = static_cast<RowId>(image[looked.pair.a]);
    looked.pair.b = static_cast<RowId>(image[looked.pair.b]);
    result.pairs.push_back(std::move(looked));
  }
  for (ItemError& e : errors) {
    e.index = image[e.index];
    result.errors.push_back(std::move(e));
  }
}

// Pairs of the first `against` images with others only; an exact copy has the pairs of the image
// that it is a copy of.
void keep_pairs_against(int64_t against, std::vector<LookedAt>& pairs, size_t exact) {
  std::multimap<RowId, const LookedAt*> copies;
  for (size_t i = 0; i < exact; ++i) {
    if (pairs[i].pair.a >= against) copies.emplace(pairs[i].pair.a, &pairs[i]);
  }
  std::vector<LookedAt> kept;
  for (const LookedAt& looked : pairs) {
    if (looked.pair.a >= against || looked.pair.b < against) continue;
    kept.push_back(looked);
    const auto [first, last] = copies.equal_range(looked.pair.b);
    for (auto it = first; it != last; ++it) {
      kept.push_back({{looked.pair.a, it->second->pair.b, looked.pair.score}, looked.why});
    }
  }
  pairs = std::move(kept);
}

void add_groups(const DedupOptions& options, Duplicates& result) {
  const auto against = static_cast<int64_t>(options.against.size());
  std::vector<int64_t> rank = keep_order(result.paths, result.facts);
  // What is held against is kept, whatever its size.
  for (int64_t i = 0; i < against; ++i) rank[i] -= static_cast<int64_t>(rank.size());
  std::vector<ScoredPair> pairs;
  std::map<std::pair<RowId, RowId>, const LookedAt*> reasons;
  for (const LookedAt& looked : result.pairs) {
    pairs.push_back(looked.pair);
    reasons.try_emplace({looked.pair.a, looked.pair.b}, &looked);
  }
  for (const DuplicateGroup& g : group_duplicates(pairs, rank, options.near, against > 0 ? 1 : 2)) {
    Duplicates::Group group{g.keep, "held against", {}};
    std::vector<FileFacts> others;
    for (const auto& member : g.duplicates) {
      others.push_back(result.facts[member.row]);
      std::string why = reasons.at(std::minmax(member.row, member.via))->why;
      if (member.via != g.keep) why += ", by way of " + result.paths[member.via];
      group.duplicates.push_back({member.row, member.score, std::move(why)});
    }
    if (against == 0) group.why_kept = why_kept(result.facts[g.keep], others);
    result.groups.push_back(std::move(group));
  }
}

}  // namespace

Duplicates find_duplicates(const OpenModel* opened, std::span<const std::string> paths,
                           const DedupOptions& options) {
  Duplicates result;
  result.paths = options.against;
  result.paths.insert(result.paths.end(), paths.begin(), paths.end());
  ExactCopies copies = find_exact_copies(result.paths, options.run);
  result.facts = std::move(copies.facts);
  result.pairs = std::move(copies.pairs);
  result.errors = std::move(copies.errors);
  const size_t exact = result.pairs.size();
  if (opened) add_near_pairs(*opened, copies, options, result);
  if (!options.against.empty()) {
    keep_pairs_against(static_cast<int64_t>(options.against.size()), result.pairs, exact);
  }
  add_groups(options, result);
  return result;
}

}  // namespace ocelli
