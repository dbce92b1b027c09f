#include "ocelli/curate/patch_match.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "ocelli/ops/linear.h"

namespace ocelli {
namespace {

using Point = std::complex<double>;

constexpr size_t kSeeds = 48;  // best matches that transforms are made from
constexpr double kLargestScale = 3.3;
constexpr double kLargestTurn = 0.5;  // radians
constexpr double kTolerance = 0.9;    // patches

struct PatchMatch {
  Point from, to;
  float similarity;
};

Point centre(const PatchGrid& grid, int64_t i) {
  return {
      (static_cast<double>(i % grid.columns) + 0.5) * grid.width /
          static_cast<double>(grid.columns),
      (static_cast<double>(i / grid.columns) + 0.5) * grid.height / static_cast<double>(grid.rows)};
}

double patch_size(const PatchGrid& grid) {
  return grid.width / static_cast<double>(grid.columns);
}

// Pairs of patches that are each other's nearest, the most similar first.
std::vector<PatchMatch> mutual_matches(const PatchGrid& a, const PatchGrid& b) {
  const Tensor similarity = matmul(a.features, b.features.transpose(0, 1));  // [A, B]
  const int64_t rows = similarity.size(0), columns = similarity.size(1);
  const float* s = similarity.data<float>();
  std::vector<int64_t> best_row(columns, 0);
  for (int64_t i = 1; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      if (s[i * columns + j] > s[best_row[j] * columns + j]) best_row[j] = i;
    }
  }
  std::vector<PatchMatch> matches;
  for (int64_t i = 0; i < rows; ++i) {
    const float* row = s + i * columns;
    const int64_t j = std::max_element(row, row + columns) - row;
    if (best_row[j] == i) matches.push_back({centre(a, i), centre(b, j), row[j]});
  }
  std::ranges::stable_sort(matches, std::greater{}, &PatchMatch::similarity);
  return matches;
}

// q = turn p + shift
struct PatchSimilar {
  Point turn, shift;
  int matches = 0;

  double error(const PatchMatch& m) const { return std::abs(turn * m.from + shift - m.to); }
};

double tolerance(const PatchSimilar& s, double patch_a, double patch_b) {
  return kTolerance * std::max(patch_a * std::abs(s.turn), patch_b);
}

// Least squares over the matches that agree.
PatchSimilar fit(const std::vector<PatchMatch>& matches, const PatchSimilar& start, double limit) {
  Point from = 0, to = 0;
  double n = 0;
  for (const PatchMatch& m : matches) {
    if (start.error(m) > limit) continue;
    from += m.from;
    to += m.to;
    n += 1;
  }
  from /= n;
  to /= n;
  Point product = 0;
  double square = 0;
  for (const PatchMatch& m : matches) {
    if (start.error(m) > limit) continue;
    product += (m.to - to) * std::conj(m.from - from);
    square += std::norm(m.from - from);
  }
  if (square <= 0) return start;
  PatchSimilar result{product / square, {}, start.matches};
  result.shift = to - result.turn * from;
  return result;
}

bool alike(const PatchSimilar& s, const PatchSimilar& t, Point middle, double limit) {
  return std::abs(s.turn * middle + s.shift - (t.turn * middle + t.shift)) < 2 * limit &&
         std::abs(std::log(std::abs(s.turn) / std::abs(t.turn))) < 0.3;
}

}  // namespace

std::vector<Vote> vote(const PatchGrid& a, const PatchGrid& b, int count) {
  const std::vector<PatchMatch> matches = mutual_matches(a, b);
  const double patch_a = patch_size(a), patch_b = patch_size(b);
  std::vector<PatchSimilar> found;
  const size_t seeds = std::min(matches.size(), kSeeds);
  for (size_t i = 0; i < seeds; ++i) {
    for (size_t j = 0; j < i; ++j) {
      const Point from = matches[i].from - matches[j].from, to = matches[i].to - matches[j].to;
      if (std::abs(from) < 2 * patch_a || std::abs(to) < 2 * patch_b) continue;
      PatchSimilar s{to / from, {}};
      const double scale = std::abs(s.turn);
      if (scale > kLargestScale || scale < 1 / kLargestScale) continue;
      if (std::abs(std::arg(s.turn)) > kLargestTurn) continue;
      s.shift = matches[i].to - s.turn * matches[i].from;
      const double limit = tolerance(s, patch_a, patch_b);
      for (const PatchMatch& m : matches) s.matches += s.error(m) < limit;
      if (s.matches > 3) found.push_back(s);
    }
  }
  std::ranges::stable_sort(found, std::greater{}, &PatchSimilar::matches);
  const Point middle{a.width / 2, a.height / 2};
  std::vector<PatchSimilar> kept;
  for (const PatchSimilar& s : found) {
    if (static_cast<int>(kept.size()) == count) break;
    const double limit = tolerance(s, patch_a, patch_b);
    const PatchSimilar better = fit(matches, s, limit);
    if (std::ranges::none_of(
            kept, [&](const PatchSimilar& k) { return alike(k, better, middle, limit); })) {
      kept.push_back(better);
    }
  }
  std::vector<Vote> votes;
  for (const PatchSimilar& s : kept) {
    votes.push_back({{s.turn.real(), -s.turn.imag(), s.shift.real(), s.turn.imag(), s.turn.real(),
                      s.shift.imag()},
                     s.matches});
  }
  return votes;
}

}  // namespace ocelli
