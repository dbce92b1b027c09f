#include "ocelli/curate/keypoints.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "ocelli/base/rng.h"
#include "ocelli/curate/hamming.h"
#include "ocelli/image/resize.h"

namespace ocelli {
namespace {

using Point = std::complex<double>;

constexpr double kFirstLevel =
    256;  // pixels of the first level; each next one is 1 / sqrt(2) of it
constexpr std::array<size_t, 6> kPoints = {60, 45, 35, 25, 17, 10};  // of each level
constexpr int64_t kRadius = 12;                                      // of what is compared
constexpr int64_t kMargin = kRadius + 1;
constexpr int64_t kCells = 4;   // along a side; no part of the picture gets all points
constexpr int kMostBits = 72;   // that two matching points differ in
constexpr double kNear = 0.03;  // of the longer side: two points are at the same place

struct Plane {
  int64_t height = 0, width = 0;
  std::vector<float> values;

  float at(int64_t y, int64_t x) const { return values[y * width + x]; }
};

Plane grey(const Image& image) {
  Plane plane{image.height(), image.width(), std::vector<float>(image.height() * image.width())};
  const uint8_t* p = image.data();
  for (float& v : plane.values) {
    v = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
    p += 3;
  }
  return plane;
}

// By [1 4 6 4 1] / 16 both ways; pixels beyond the border are those at it.
Plane smooth(const Plane& in) {
  const auto pass = [](const Plane& from, int64_t dy, int64_t dx) {
    constexpr std::array kWeights = {1.0f / 16, 4.0f / 16, 6.0f / 16, 4.0f / 16, 1.0f / 16};
    Plane to{from.height, from.width, std::vector<float>(from.values.size())};
    for (int64_t y = 0; y < to.height; ++y) {
      for (int64_t x = 0; x < to.width; ++x) {
        float sum = 0;
        for (int64_t i = -2; i <= 2; ++i) {
          sum += kWeights[i + 2] * from.at(std::clamp<int64_t>(y + i * dy, 0, to.height - 1),
                                           std::clamp<int64_t>(x + i * dx, 0, to.width - 1));
        }
        to.values[y * to.width + x] = sum;
      }
    }
    return to;
  };
  return pass(pass(in, 1, 0), 0, 1);
}

// det / trace of the structure tensor: high where brightness changes in two directions.
// Noble, "Finding corners" (1988).
Plane corners(const Plane& in) {
  Plane xx{in.height, in.width, std::vector<float>(in.values.size())}, xy = xx, yy = xx;
  for (int64_t y = 1; y + 1 < in.height; ++y) {
    for (int64_t x = 1; x + 1 < in.width; ++x) {
      const float dx = in.at(y, x + 1) - in.at(y, x - 1), dy = in.at(y + 1, x) - in.at(y - 1, x);
      const int64_t i = y * in.width + x;
      xx.values[i] = dx * dx;
      xy.values[i] = dx * dy;
      yy.values[i] = dy * dy;
    }
  }
  xx = smooth(xx);
  xy = smooth(xy);
  yy = smooth(yy);
  for (size_t i = 0; i < xx.values.size(); ++i) {
    const float a = xx.values[i], b = xy.values[i], c = yy.values[i];
    xx.values[i] = (a * c - b * b) / (a + c + 1);
  }
  return xx;
}

struct Corner {
  int64_t y = 0, x = 0;
  float strength = 0;
};

// The strongest local maxima; each cell of the picture gives at most twice its share.
std::vector<Corner> strongest(const Plane& strength, size_t count) {
  std::vector<Corner> all;
  for (int64_t y = kMargin; y < strength.height - kMargin; ++y) {
    for (int64_t x = kMargin; x < strength.width - kMargin; ++x) {
      const float v = strength.at(y, x);
      bool highest = v > 1;
      for (int64_t i = 0; highest && i < 9; ++i) {
        const float other = strength.at(y + i / 3 - 1, x + i % 3 - 1);
        highest = i < 4 ? v > other : v >= other;
      }
      if (highest) all.push_back({y, x, v});
    }
  }
  std::ranges::stable_sort(all, std::greater{}, &Corner::strength);
  std::array<size_t, kCells * kCells> taken{};
  const size_t most = std::max<size_t>(2 * count / taken.size(), 2);
  std::vector<Corner> chosen;
  for (const Corner& c : all) {
    if (chosen.size() == count) break;
    const int64_t cell = c.y * kCells / strength.height * kCells + c.x * kCells / strength.width;
    if (taken[cell]++ < most) chosen.push_back(c);
  }
  return chosen;
}

// From the point to the centre of brightness of the disc around it.
double direction(const Plane& plane, const Corner& c) {
  double along_x = 0, along_y = 0;
  for (int64_t y = -kRadius; y <= kRadius; ++y) {
    for (int64_t x = -kRadius; x <= kRadius; ++x) {
      if (x * x + y * y > kRadius * kRadius) continue;
      along_x += static_cast<double>(x) * plane.at(c.y + y, c.x + x);
      along_y += static_cast<double>(y) * plane.at(c.y + y, c.x + x);
    }
  }
  return std::atan2(along_y, along_x);
}

// Pairs of places in the disc, denser in its middle; the same on every machine.
using Pattern = std::array<std::pair<Point, Point>, 256>;

Pattern make_pattern() {
  Rng rng(1);
  const auto place = [&] {
    for (;;) {
      const Point p(rng.normal() * 5, rng.normal() * 5);
      if (std::abs(p) <= kRadius) return p;
    }
  };
  Pattern pattern;
  for (auto& [first, second] : pattern) {
    first = place();
    second = place();
  }
  return pattern;
}

// A mirrored picture mirrors the pattern; a negative turns the direction round, and each
// comparison.
Comparisons compare_around(const Plane& plane, const Corner& c, double angle, int variant) {
  static const Pattern pattern = make_pattern();
  const bool mirrored = (variant & Keypoints::kMirrored) != 0;
  const bool negative = (variant & Keypoints::kNegative) != 0;
  const Point turn = std::polar(negative ? -1.0 : 1.0, angle);
  const auto value = [&](Point p) {
    const Point q = turn * (mirrored ? std::conj(p) : p);
    return plane.at(c.y + std::lround(q.imag()), c.x + std::lround(q.real()));
  };
  Comparisons bits{};
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool brighter = value(pattern[i].first) > value(pattern[i].second);
    bits[i / 64] |= uint64_t{brighter != negative} << (i % 64);
  }
  return bits;
}

struct Match {
  const Keypoint &from, &to;
  int variant;
};

// What one match says: q = turn p + shift, or turn conj(p) + shift for a mirrored picture.
struct Similar {
  Point turn, shift;
  bool mirrored = false;

  Point operator()(const Keypoint& k) const {
    const Point p(k.x, k.y);
    return turn * (mirrored ? std::conj(p) : p) + shift;
  }
  Affine affine() const {
    const double s = mirrored ? -1 : 1;
    return {turn.real(), -s * turn.imag(), shift.real(),
            turn.imag(), s * turn.real(),  shift.imag()};
  }
};

Similar similar_of(const Match& m) {
  const bool mirrored = (m.variant & Keypoints::kMirrored) != 0;
  const double half = (m.variant & Keypoints::kNegative) != 0 ? std::numbers::pi : 0;
  const double angle = m.to.angle + half + (mirrored ? m.from.angle : -m.from.angle);
  Similar s{std::polar(m.to.size / m.from.size, angle), {}, mirrored};
  s.shift = Point(m.to.x, m.to.y) - s(m.from);
  return s;
}

// Place, size and direction are about what `s` says.
bool agrees(const Similar& s, const Match& m, const Similar& own) {
  const double scale = std::abs(s.turn);
  const double error = std::abs(s(m.from) - Point(m.to.x, m.to.y));
  if (error > kNear * kFirstLevel * std::max(scale, 1.0)) return false;
  const Point ratio = own.turn / s.turn;
  return std::abs(std::log(std::abs(ratio))) < 0.6 && std::abs(std::arg(ratio)) < 0.5;
}

// Least squares over the matches that agree.
Similar fit(const std::vector<Match>& matches, const std::vector<size_t>& good, bool mirrored) {
  const auto from = [&](const Match& m) {
    return Point(m.from.x, mirrored ? -m.from.y : m.from.y);
  };
  const auto n = static_cast<double>(good.size());
  Point mean_from = 0, mean_to = 0, product = 0;
  double square = 0;
  for (const size_t i : good) {
    mean_from += from(matches[i]) / n;
    mean_to += Point(matches[i].to.x, matches[i].to.y) / n;
  }
  for (const size_t i : good) {
    const Point p = from(matches[i]) - mean_from;
    product += (Point(matches[i].to.x, matches[i].to.y) - mean_to) * std::conj(p);
    square += std::norm(p);
  }
  Similar s{product / std::max(square, 1e-9), {}, mirrored};
  s.shift = mean_to - s.turn * mean_from;
  return s;
}

}  // namespace

Keypoints find_keypoints(const Image& image) {
  Keypoints result;
  const double longest = static_cast<double>(std::max(image.height(), image.width()));
  double size = 1;
  for (const size_t count : kPoints) {
    const double scale = kFirstLevel / size / longest;
    const auto side = [&](int64_t n) {
      return std::max<int64_t>(std::lround(static_cast<double>(n) * scale), 4);
    };
    const Plane plane =
        smooth(grey(resize(image, side(image.height()), side(image.width()), Filter::bilinear)));
    for (const Corner& c : strongest(corners(plane), count)) {
      const double angle = direction(plane, c);
      result.points.push_back({(static_cast<double>(c.x) + 0.5) * size,
                               (static_cast<double>(c.y) + 0.5) * size, angle, size});
      for (int v = 0; v < Keypoints::kVariants; ++v) {
        result.comparisons[v].push_back(compare_around(plane, c, angle, v));
      }
    }
    size *= std::numbers::sqrt2;
  }
  return result;
}

namespace {

// The transform that most of the matches agree on; none that fewer than four do.
void add_vote(const std::vector<Match>& matches, Tones tones, std::vector<Vote>& votes) {
  std::vector<Similar> each;
  for (const Match& m : matches) each.push_back(similar_of(m));
  std::vector<size_t> best;
  for (const Similar& s : each) {
    std::vector<size_t> good;
    for (size_t i = 0; i < matches.size(); ++i) {
      if (agrees(s, matches[i], each[i])) good.push_back(i);
    }
    if (good.size() > best.size()) best = std::move(good);
  }
  if (best.size() < 4) return;
  votes.push_back(
      {fit(matches, best, each[best[0]].mirrored).affine(), static_cast<int>(best.size()), tones});
}

}  // namespace

std::vector<Vote> vote(const Keypoints& a, const Keypoints& b) {
  std::vector<Vote> votes;
  for (const int mirrored : {0, Keypoints::kMirrored}) {
    std::vector<Match> all;
    for (const Tones tones : {Tones::same, Tones::negative}) {
      const int variant = mirrored | (tones == Tones::negative ? Keypoints::kNegative : 0);
      std::vector<Match> matches;
      for (const NearestBits& pair :
           mutual_nearest(a.comparisons[Keypoints::kPlain], b.comparisons[variant], kMostBits)) {
        matches.push_back({a.points[pair.row], b.points[pair.column], variant});
      }
      add_vote(matches, tones, votes);
      for (const Match& m : matches) all.push_back(m);
    }
    add_vote(all, Tones::any, votes);
  }
  std::ranges::stable_sort(votes, std::greater{}, &Vote::matches);
  return votes;
}

}  // namespace ocelli
