#include "ocelli/curate/groups.h"

#include <algorithm>
#include <map>

namespace ocelli {
namespace {

struct Neighbour {
  RowId row;
  float score;
};
using Graph = std::map<RowId, std::vector<Neighbour>>;

// Takes all that is within `hops` of the kept one and not `taken`, a ring after the other, each
// member by its strongest tie to the ring before.
DuplicateGroup grow(const Graph& graph, RowId keep, int hops, std::vector<bool>& taken) {
  DuplicateGroup group{keep, {}};
  taken[keep] = true;
  std::vector<Neighbour> ring = {{keep, 1}};
  for (int hop = 0; hop < hops && !ring.empty(); ++hop) {
    std::map<RowId, DuplicateGroup::Member> next;
    for (const Neighbour& from : ring) {
      for (const Neighbour& to : graph.at(from.row)) {
        if (taken[to.row]) continue;
        const float score = std::min(from.score, to.score);
        auto& member = next.try_emplace(to.row, to.row, score, from.row).first->second;
        if (score > member.score) member = {to.row, score, from.row};
      }
    }
    ring.clear();
    for (const auto& [row, member] : next) {
      taken[row] = true;
      group.duplicates.push_back(member);
      ring.push_back({row, member.score});
    }
  }
  std::ranges::stable_sort(group.duplicates, std::greater{}, &DuplicateGroup::Member::score);
  return group;
}

}  // namespace

std::vector<DuplicateGroup> group_duplicates(const std::vector<ScoredPair>& pairs,
                                             const std::vector<int64_t>& rank, float threshold,
                                             int hops) {
  Graph graph;
  for (const ScoredPair& p : pairs) {
    if (p.score < threshold) continue;
    graph[p.a].push_back({p.b, p.score});
    graph[p.b].push_back({p.a, p.score});
  }
  std::vector<RowId> order;
  for (const auto& [row, neighbours] : graph) order.push_back(row);
  std::ranges::sort(order, {}, [&](RowId row) { return rank[row]; });
  std::vector<bool> taken(rank.size(), false);
  std::vector<DuplicateGroup> groups;
  for (const RowId row : order) {
    if (taken[row]) continue;
    DuplicateGroup group = grow(graph, row, hops, taken);
    if (!group.duplicates.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace ocelli
