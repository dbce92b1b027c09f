#include "ocelli/curate/curate.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>

#include "ocelli/base/file.h"
#include "ocelli/base/journal.h"
#include "ocelli/curate/balance.h"
#include "ocelli/curate/dedup.h"
#include "ocelli/curate/export.h"
#include "ocelli/data/inputs.h"
#include "ocelli/engine/embed.h"
#include "ocelli/hub/digest.h"
#include "ocelli/index/exact_search.h"
#include "ocelli/index/vector_store.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxBytes = size_t{1} << 30;  // of a file
constexpr int64_t kChunk = 256;                // images between two commits of embeddings

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// ["stage", "why", width, height, sharpness, ..., format]. Paths are not in it: they are the
// arguments, in order.
std::string state_line(const Fate& f) {
  const QualityMeasures& m = f.measures;
  return dump(json{f.stage, f.why, m.width, m.height, m.sharpness, m.brightness, m.contrast,
                   m.entropy, m.solid, m.text, f.format}) +
         "\n";
}

void parse_line(const std::string& text, const fs::path& file, Fate& fate) {
  try {
    const json line = json::parse(text);
    fate.stage = line.at(0);
    fate.why = line.at(1);
    fate.measures = {line.at(2), line.at(3), line.at(4), line.at(5),
                     line.at(6), line.at(7), line.at(8), line.at(9)};
    fate.format = line.at(10);
  } catch (const json::exception&) {
    fail(ErrorCode::corrupt_data, "{}: is no state of this run; delete the folder and begin anew",
         file.string());
  }
}

void parse_state(const fs::path& file, std::vector<Fate>& fates) {
  const std::vector<std::string> lines = read_lines(file.string(), true);
  if (lines.size() != fates.size()) {
    fail(ErrorCode::corrupt_data, "{}: has {} lines for {} files; delete the folder and begin anew",
         file.string(), lines.size(), fates.size());
  }
  for (size_t i = 0; i < lines.size(); ++i) parse_line(lines[i], file, fates[i]);
}

class Run {
 public:
  Run(const OpenModel& opened, std::span<const Source> sources, const CurateOptions& options)
      : opened_(opened),
        options_(options),
        recipe_(options.recipe),
        output_(options.output),
        state_(output_ / ".curate") {
    for (const Source& s : sources) fates_.push_back({.path = s.path, .caption = s.caption});
  }

  Curated operator()() {
    claim();
    stage("quality", [&] { collect_and_measure(); });
    stage("embed", [&] { embed(); });
    if (recipe_.dedup) stage("dedup", [&] { dedup(); });
    if (!recipe_.seeds.empty() || recipe_.target > 0) stage("retrieve", [&] { retrieve(); });
    Curated result{fates_, static_cast<int64_t>(alive().size()), clusters()};
    std::vector<std::string> names;
    if (!options_.dry_run) {
      export_images(output_, result, recipe_, progress("export"));
      names = exported_names(result, recipe_);
    }
    write_manifest(output_, result, names);
    write_curate_report((output_ / "report.html").string(), result, recipe_, options_.run.decode);
    return result;
  }

 private:
  // The output folder is new, or holds an unfinished run of the same recipe, model and files.
  void claim() {
    std::string identity = opened_.name + "\n" + recipe_text(recipe_) + "\n";
    for (const Fate& f : fates_) identity += f.path + "\t" + f.caption + "\n";
    identity = hub::sha256_of({std::as_bytes(std::span(identity))});
    const fs::path file = state_ / "run";
    if (!fs::exists(file)) {
      // A run that was killed before it began leaves its own folder.
      check(!fs::exists(output_) ||
                std::ranges::all_of(fs::directory_iterator(output_),
                                    [&](const auto& entry) { return entry.path() == state_; }),
            "{}: the folder is not empty; name a new one", output_.string());
      fs::create_directories(state_);
      write_file(file, identity);
      return;
    }
    check(options_.resume, "{}: holds a run already; --resume goes on with it", output_.string());
    check(read_file(file) == identity,
          "{}: holds a run with another recipe, model or list of files; name a new folder",
          output_.string());
  }

  template <typename Work>
  void stage(const std::string& name, const Work& work) {
    throw_if_cancelled();
    const fs::path file = state_ / (name + ".jsonl");
    if (fs::exists(file)) return parse_state(file, fates_);
    work();
    std::string text;
    for (const Fate& f : fates_) text += state_line(f);
    write_file(file, text);
    fs::remove(journal_of(name));
  }

  // What a stage has worked out so far.
  fs::path journal_of(const std::string& stage) const { return state_ / (stage + ".part"); }

  Progress progress(const std::string& name) const {
    return options_.progress ? options_.progress(name) : Progress{};
  }

  // Places in fates_ of those that are still in.
  std::vector<int64_t> alive() const {
    std::vector<int64_t> places;
    for (size_t i = 0; i < fates_.size(); ++i) {
      if (fates_[i].stage.empty()) places.push_back(static_cast<int64_t>(i));
    }
    return places;
  }

  void leave_out(int64_t place, const std::string& name, const std::string& why) {
    fates_[place].stage = name;
    fates_[place].why = why;
  }

  void collect_and_measure() {
    const auto n = static_cast<int64_t>(fates_.size());
    const Progress bar = progress("quality");
    Journal journal(journal_of("quality"));
    const int64_t before = std::min(static_cast<int64_t>(journal.lines().size()), n);
    for (int64_t i = 0; i < before; ++i) {
      parse_line(journal.lines()[i], journal_of("quality"), fates_[i]);
    }
    run_ordered(
        n - before, options_.run.batch,
        [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) examine(fates_[before + i]);
          return nullptr;
        },
        [&](int64_t begin, int64_t end, const std::shared_ptr<void>&) {
          std::string lines;
          for (int64_t i = begin; i < end; ++i) lines += state_line(fates_[before + i]);
          journal.append(lines);
          if (bar) bar(before + end, n);
        });
  }

  void examine(Fate& fate) const {
    throw_if_cancelled();
    DecodeOptions decode = options_.run.decode;
    decode.max_pixels = recipe_.max_pixels;
    try {
      const std::string bytes = read_input(fate.path, kMaxBytes);
      const auto view = std::as_bytes(std::span(bytes));
      const std::string complaint = file_complaint(fate.path, view);
      fate.format = image_format(view);
      const bool fine = complaint.empty() || (complaint == "animated" && recipe_.keep_animated) ||
                        (complaint.starts_with("wrong") && recipe_.keep_wrong_extension);
      if (!fine) {
        fate.stage = "collect";
        fate.why = complaint;
        return;
      }
      fate.measures = measure_quality(decode_image(view, fate.path, decode));
      fate.why = quality_complaint(fate.measures, recipe_.quality);
      if (!fate.why.empty()) fate.stage = "quality";
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled) throw;
      fate.stage = "collect";
      fate.why = error.code() == ErrorCode::invalid_argument ? "huge" : "broken";
      fate.why += fmt::format(": {}", error.what());
    }
  }

  // A row for each file that is in, in order; a row of zeros for one that cannot be embedded.
  void embed() {
    const std::vector<int64_t> in = alive();
    const auto n = static_cast<int64_t>(in.size());
    const int64_t width = opened_.model->embedding_size();
    const Progress bar = progress("embed");
    {
      VectorWriter writer(state_, width);
      for (int64_t begin = writer.rows(); begin < n; begin += kChunk) {
        const int64_t end = std::min(begin + kChunk, n);
        std::vector<std::string> paths;
        for (int64_t i = begin; i < end; ++i) paths.push_back(fates_[in[i]].path);
        RunOptions run = options_.run;
        if (bar) run.progress = [&](int64_t done, int64_t) { bar(begin + done, n); };
        const ImageEmbeddings rows = embed_images(opened_, paths, run);
        const std::vector<float> zeros(width, 0.0f);
        for (int64_t i = 0, next = 0; i < end - begin; ++i) {
          const bool made =
              next < static_cast<int64_t>(rows.images.size()) && rows.images[next] == i;
          writer.append(made ? rows.rows.data<float>() + next++ * width : zeros.data());
        }
        writer.commit();
      }
    }
    const VectorStore store(state_);
    for (int64_t i = 0; i < n; ++i) {
      const Half* row = store.rows().row(i);
      if (std::all_of(row, row + width, [](Half h) { return (h.bits & 0x7fff) == 0; })) {
        leave_out(in[i], "embed", "it could not be read again");
      }
    }
  }

  // The rows of files that went into embed(), and their places.
  std::vector<int64_t> embedded() const {
    std::vector<int64_t> places;
    for (size_t i = 0; i < fates_.size(); ++i) {
      if (fates_[i].stage != "collect" && fates_[i].stage != "quality") {
        places.push_back(static_cast<int64_t>(i));
      }
    }
    return places;
  }

  // Rows of the store of the files that are still in.
  std::vector<RowId> rows_in() const {
    const std::vector<int64_t> places = embedded();
    std::vector<RowId> rows;
    for (size_t r = 0; r < places.size(); ++r) {
      if (fates_[places[r]].stage.empty()) rows.push_back(static_cast<RowId>(r));
    }
    return rows;
  }

  HalfMatrix matrix_of(const VectorStore& store, const std::vector<RowId>& rows) const {
    const Tensor values = Tensor::empty({static_cast<int64_t>(rows.size()), store.rows().width});
    detail::gather(store.rows(), rows, values.data<float>());
    return HalfMatrix(values);
  }

  void dedup() {
    const std::vector<int64_t> in = alive();
    std::vector<std::string> paths;
    for (const int64_t i : in) paths.push_back(fates_[i].path);
    RunOptions run = options_.run;
    run.progress = progress("dedup: hashing");
    ExactCopies copies = find_exact_copies(paths, run);
    std::vector<LookedAt> looked = std::move(copies.pairs);
    NearOptions near{.run = options_.run,
                     .seed = recipe_.seed,
                     .hashes = std::move(copies.hashes),
                     .journal = journal_of("dedup")};
    near.run.progress = progress("dedup: comparing pairs");
    std::vector<ItemError> errors;
    const VectorStore store(state_);
    const HalfMatrix rows = matrix_of(store, rows_in());
    std::ranges::move(near_pairs(opened_, paths, rows, near, errors), std::back_inserter(looked));
    std::vector<ScoredPair> pairs;
    for (const LookedAt& l : looked) pairs.push_back(l.pair);
    for (const DuplicateGroup& g :
         group_duplicates(pairs, keep_order(paths, copies.facts), recipe_.near)) {
      std::vector<FileFacts> others;
      for (const auto& d : g.duplicates) others.push_back(copies.facts[d.row]);
      const std::string kept = why_kept(copies.facts[g.keep], others);
      for (const auto& d : g.duplicates) {
        leave_out(in[d.row], "dedup",
                  fmt::format("copy of {} ({:.3f}), kept for: {}", paths[g.keep], d.score, kept));
      }
    }
    if (!recipe_.against.empty()) dedup_against();
  }

  void dedup_against() {
    const std::vector<int64_t> in = alive();
    std::vector<std::string> paths;
    for (const int64_t i : in) paths.push_back(fates_[i].path);
    DedupOptions options{.near = recipe_.near, .run = options_.run};
    std::istringstream nothing;
    options.against = list_images(recipe_.against, nothing);
    options.comparing = progress("dedup: comparing with the test set");
    const auto first = static_cast<int64_t>(options.against.size());
    const Duplicates found = find_duplicates(&opened_, paths, options);
    for (const auto& group : found.groups) {
      for (const auto& d : group.duplicates) {
        leave_out(in[d.image - first], "dedup",
                  fmt::format("in the test set as {} ({:.3f})", found.paths[group.keep], d.score));
      }
    }
  }

  void retrieve() {
    const VectorStore store(state_);
    const std::vector<RowId> rows = rows_in();
    const auto n = static_cast<int64_t>(rows.size());
    std::vector<bool> chosen(store.rows().count, false);
    std::string why;
    if (!recipe_.seeds.empty()) {
      std::istringstream nothing;
      const auto seeds = list_images(recipe_.seeds, nothing);
      const ImageEmbeddings queries = embed_images(opened_, seeds, options_.run);
      const auto answers = search_exact(queries.rows, store.rows(), recipe_.neighbours, rows);
      for (const auto& hits : answers) {
        for (const Hit& hit : hits) chosen[hit.row] = true;
      }
      why = fmt::format("not among the {} nearest of any seed", recipe_.neighbours);
    } else if (recipe_.target >= n) {
      return;
    } else {
      const HalfMatrix matrix = matrix_of(store, rows);
      const auto levels = hierarchical_kmeans(matrix, cluster_counts(n), {.seed = recipe_.seed});
      for (const RowId r : sample_balanced(levels, recipe_.target, recipe_.seed)) {
        chosen[rows[r]] = true;
      }
      why = "its clusters have enough";
    }
    const std::vector<int64_t> places = embedded();
    for (const RowId row : rows) {
      if (!chosen[row]) leave_out(places[row], "retrieve", why);
    }
  }

  // Where the recipe does not say: a cluster for 16 images, a tenth of that, a tenth of that.
  std::vector<int64_t> cluster_counts(int64_t n) const {
    std::vector<int64_t> counts = recipe_.clusters;
    if (counts.empty()) {
      for (int64_t k = std::max<int64_t>(n / 16, 1); counts.size() < 3 && k >= 2; k /= 10) {
        counts.push_back(k);
      }
      if (counts.empty()) counts.push_back(1);
    }
    check(counts[0] <= n, "retrieve.clusters: {} clusters of {} images", counts[0], n);
    return counts;
  }

  // For the report alone: where images are, before and after.
  std::vector<ClusterShare> clusters() const {
    constexpr int64_t kMost = 24, kExamples = 6;
    const std::vector<int64_t> places = embedded();
    const auto n = static_cast<int64_t>(places.size());
    if (n == 0) return {};
    const VectorStore store(state_);
    const auto k =
        std::clamp<int64_t>(std::lround(std::sqrt(static_cast<double>(n)) / 2), 1, kMost);
    const KMeans found = kmeans(store.rows(), {.clusters = k, .seed = recipe_.seed});
    std::vector<RowId> ids(n);
    std::iota(ids.begin(), ids.end(), 0);
    const std::vector<Hit> nearest = nearest_centroids(store.rows(), ids, found.centroids, true);
    std::ranges::stable_sort(ids, {}, [&](RowId r) {
      return std::pair(!fates_[places[r]].stage.empty(), -nearest[r].score);
    });
    std::vector<ClusterShare> clusters(k);
    for (const RowId r : ids) {
      ClusterShare& c = clusters[found.cluster_of[r]];
      ++c.before;
      c.after += fates_[places[r]].stage.empty();
      if (static_cast<int64_t>(c.examples.size()) < kExamples) c.examples.push_back(places[r]);
    }
    std::ranges::stable_sort(clusters, std::greater{}, &ClusterShare::before);
    return clusters;
  }

  const OpenModel& opened_;
  const CurateOptions& options_;
  const Recipe& recipe_;
  fs::path output_, state_;
  std::vector<Fate> fates_;
};

}  // namespace

Curated curate(const OpenModel& opened, std::span<const Source> sources,
               const CurateOptions& options) {
  return Run(opened, sources, options)();
}

}  // namespace ocelli
