#include <algorithm>
#include <cmath>
#include <numeric>

#include "ocelli/base/rng.h"
#include "ocelli/base/threads.h"
#include "ocelli/index/dot.h"
#include "ocelli/index/hnsw.h"

namespace ocelli {

using detail::HnswGraph;

namespace {

constexpr int64_t kMaxLevel = 31;

// Of `candidates` (best first) those that are nearer to the row than to any chosen before, at most
// `most`: links in different directions (algorithm 4 of the paper).
std::vector<RowId> diverse(const HalfRows& values, std::span<const Hit> candidates, int64_t most) {
  constexpr size_t kTogether = 8;
  std::vector<RowId> chosen;
  std::vector<float> wide(values.width);
  float scores[kTogether];
  for (const Hit& hit : candidates) {
    if (static_cast<int64_t>(chosen.size()) == most) break;
    widen(values.row(hit.row), values.width, wide.data());
    bool apart = true;
    for (size_t at = 0; apart && at < chosen.size(); at += kTogether) {
      const auto some = std::span(chosen).subspan(at, std::min(kTogether, chosen.size() - at));
      dot_rows(wide.data(), values, some, scores);
      apart = std::all_of(scores, scores + some.size(), [&](float s) { return s < hit.score; });
    }
    if (apart) chosen.push_back(hit.row);
  }
  return chosen;
}

struct Edge {
  RowId to;
  int32_t level;
  RowId from;
  auto operator<=>(const Edge&) const = default;
};

}  // namespace

class HnswBuilder {
 public:
  HnswBuilder(const HalfRows& values, const HnswOptions& options, const HnswGraph& begun)
      : values_(values), options_(options), m_(begun.rows > 0 ? begun.m : options.m) {
    draw_levels();
    arrays_->base.assign(values.count * 2 * m_, HnswGraph::kNoRow);
    arrays_->upper.assign(slots_ * m_, HnswGraph::kNoRow);
    graph_ = {values.count,
              m_,
              slots_,
              begun.top,
              begun.entry,
              arrays_->levels.data(),
              arrays_->upper_first.data(),
              arrays_->base.data(),
              arrays_->upper.data()};
    begun_ = begun.rows;
    check(std::equal(begun.levels, begun.levels + begun_, arrays_->levels.begin()),
          "hnsw: a graph of another seed cannot be extended");
    std::copy_n(begun.base, begun.rows * 2 * m_, arrays_->base.begin());
    std::copy_n(begun.upper, begun.slots * m_, arrays_->upper.begin());
  }

  Hnsw run() {
    const std::vector<RowId> order = shuffled();
    const auto total = static_cast<int64_t>(order.size());
    int64_t done = 0;
    if (begun_ == 0 && total > 0) set_entry(order[done++]);
    while (done < total) {
      throw_if_cancelled();
      // A row does not see those of its own batch, so a batch is small beside what is there.
      const int64_t count =
          std::min(std::clamp<int64_t>((begun_ + done) / 16, 1, 8192), total - done);
      insert(std::span(order).subspan(done, count));
      done += count;
      if (options_.progress) options_.progress(done, total);
    }
    Hnsw result;
    result.graph_ = graph_;
    result.owner_ = arrays_;
    return result;
  }

 private:
  struct Arrays {
    std::vector<uint8_t> levels;
    std::vector<uint32_t> upper_first;
    std::vector<RowId> base, upper;
  };

  // P(level >= l) = m^-l. A row has its level by its number, so those of a begun graph stay.
  void draw_levels() {
    const double scale = 1 / std::log(static_cast<double>(m_));
    for (int64_t i = 0; i < values_.count; ++i) {
      const double u = 1.0 - Rng(options_.seed, static_cast<uint64_t>(i) + 1).uniform();
      const auto level = std::min(static_cast<int64_t>(-std::log(u) * scale), kMaxLevel);
      arrays_->levels.push_back(static_cast<uint8_t>(level));
      arrays_->upper_first.push_back(static_cast<uint32_t>(slots_));
      slots_ += level;
    }
  }

  std::vector<RowId> shuffled() const {
    std::vector<RowId> order(values_.count - begun_);
    std::iota(order.begin(), order.end(), static_cast<RowId>(begun_));
    Rng rng(options_.seed);
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<uint64_t>(rng.next_u32()) * i >> 32]);
    }
    return order;
  }

  void set_entry(RowId row) {
    graph_.entry = row;
    graph_.top = arrays_->levels[row];
  }

  std::span<RowId> links(RowId row, int64_t level) {
    const std::span<const RowId> list = graph_.links(row, level);
    return {const_cast<RowId*>(list.data()), list.size()};
  }

  static void write(std::span<RowId> list, std::span<const RowId> rows) {
    const auto end = std::ranges::copy(rows, list.begin()).out;
    std::fill(end, list.end(), HnswGraph::kNoRow);
  }

  void insert(std::span<const RowId> batch) {
    const auto count = static_cast<int64_t>(batch.size());
    parallel_for(count, 4, [&](int64_t begin, int64_t end) {
      std::vector<float> query(values_.width);
      for (int64_t i = begin; i < end; ++i) link(batch[i], query);
    });
    std::vector<Edge> edges;
    for (const RowId row : batch) {
      for (int64_t level = 0; level <= std::min<int64_t>(arrays_->levels[row], graph_.top);
           ++level) {
        for (const RowId to : links(row, level)) {
          if (to == HnswGraph::kNoRow) break;
          edges.push_back({to, static_cast<int32_t>(level), row});
        }
      }
    }
    link_back(edges);
    for (const RowId row : batch) {
      if (arrays_->levels[row] > graph_.top) set_entry(row);
    }
  }

  // The links of a new row; nothing leads to it yet.
  void link(RowId row, std::vector<float>& query) {
    widen(values_.row(row), values_.width, query.data());
    const int64_t highest = std::min<int64_t>(arrays_->levels[row], graph_.top);
    std::vector<Hit> near = graph_.descend(query.data(), values_, highest);
    for (int64_t level = highest; level >= 0; --level) {
      near = graph_.walk(query.data(), values_, near, options_.ef_construction, level);
      const std::span<RowId> list = links(row, level);
      write(list, diverse(values_, near, static_cast<int64_t>(list.size())));
    }
  }

  // Adds from to the links of to, for all edges; a list that would be too long is chosen anew.
  void link_back(std::vector<Edge>& edges) {
    std::ranges::sort(edges);
    std::vector<size_t> starts;
    for (size_t i = 0; i < edges.size(); ++i) {
      const bool first =
          i == 0 || edges[i].to != edges[i - 1].to || edges[i].level != edges[i - 1].level;
      if (first) starts.push_back(i);
    }
    starts.push_back(edges.size());
    parallel_for(static_cast<int64_t>(starts.size()) - 1, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        extend(std::span(edges).subspan(starts[i], starts[i + 1] - starts[i]));
      }
    });
  }

  void extend(std::span<const Edge> edges) {
    const RowId row = edges[0].to;
    const std::span<RowId> list = links(row, edges[0].level);
    std::vector<RowId> all(list.begin(), std::ranges::find(list, HnswGraph::kNoRow));
    for (const Edge& edge : edges) all.push_back(edge.from);
    if (all.size() <= list.size()) return write(list, all);
    std::vector<float> query(values_.width), scores(all.size());
    widen(values_.row(row), values_.width, query.data());
    dot_rows(query.data(), values_, all, scores.data());
    std::vector<Hit> hits;
    for (size_t i = 0; i < all.size(); ++i) hits.push_back({scores[i], all[i]});
    std::ranges::sort(hits, better);
    write(list, diverse(values_, hits, static_cast<int64_t>(list.size())));
  }

  const HalfRows values_;
  const HnswOptions& options_;
  const int64_t m_;
  int64_t slots_ = 0, begun_ = 0;
  std::shared_ptr<Arrays> arrays_ = std::make_shared<Arrays>();
  HnswGraph graph_;
};

Hnsw Hnsw::build(const HalfRows& rows, const HnswOptions& options) {
  return extend({}, rows, options);
}

Hnsw Hnsw::extend(const Hnsw& graph, const HalfRows& rows, const HnswOptions& options) {
  check(options.m >= 2 && options.m <= 1024, "hnsw: m is {}; it must be 2 to 1024", options.m);
  check(rows.count < HnswGraph::kNoRow, "hnsw: {} rows are too many", rows.count);
  check(graph.rows() <= rows.count, "hnsw: a graph of {} rows extended by {}", graph.rows(),
        rows.count);
  return HnswBuilder(rows, options, graph.graph()).run();
}

}  // namespace ocelli
