// Do two pictures show the same pixels? Brightness patterns are laid over each other by an affine
// map, refined from coarse to fine (Lucas and Kanade, 1981; Baker and Matthews, "Lucas-Kanade 20
// years on", 2004), and compared block by block. Patterns are made even in local mean and contrast
// first, so tint, exposure and haze change little.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ocelli/image/image.h"

namespace ocelli {

// x' = xx x + xy y + x0, y' = yx x + yy y + y0
struct Affine {
  double xx = 1, xy = 0, x0 = 0, yx = 0, yy = 1, y0 = 0;

  std::array<double, 2> operator()(double x, double y) const {
    return {xx * x + xy * y + x0, yx * x + yy * y + y0};
  }
  double determinant() const { return xx * yy - xy * yx; }
  Affine inverse() const;
};
Affine operator*(const Affine& outer, const Affine& inner);

// How the tones of a picture are in its copy: the same, turned round (a negative), or anyhow
// (solarised: turned round in parts), so that only its edges can be compared.
enum class Tones { same, negative, any };

// A transform that matches of two pictures speak for, from the first to the second one.
struct Vote {
  Affine map;
  int matches = 0;
  Tones tones = Tones::same;
};

// A picture in grey at four sizes, the longer side 256, 128, 64 and 32 pixels. Coordinates are
// those of the largest, (0, 0) being its corner.
class GreyPyramid {
 public:
  static constexpr int kLevels = 4;

  struct Level {
    int64_t height = 0, width = 0;
    std::vector<float> values;  // of local mean 0 and deviation about 1
  };

  GreyPyramid() = default;
  explicit GreyPyramid(const Image& image);

  double width() const { return static_cast<double>(levels_[0].width); }
  double height() const { return static_cast<double>(levels_[0].height); }
  const Level& level(int i, Tones tones) const {
    return tones == Tones::any ? edges_[i] : levels_[i];
  }
  // From coordinates to pixels of a level.
  Affine to_level(int i) const;

 private:
  std::array<Level, kLevels> levels_, edges_;  // edges: how steep brightness is, where
};

struct Agreement {
  float median = 0;  // correlation of the blocks that lie over each other, -1 to 1
  float mean = 0;
  float blocks = 0;   // how many of them have a pattern
  float overlap = 0;  // share of the picture that is overlapped more
};

// Improves `map` from coordinates of `a` to those of `b` on a level. False when it ran away: then
// `map` is of no use.
bool refine(const GreyPyramid& a, const GreyPyramid& b, int level, Affine& map,
            Tones tones = Tones::same);

// Correlation of all that lies over each other, on a level of `a`.
float correlation(const GreyPyramid& a, const GreyPyramid& b, int level, const Affine& map,
                  Tones tones = Tones::same);

Agreement agreement(const GreyPyramid& a, const GreyPyramid& b, const Affine& map,
                    Tones tones = Tones::same);

}  // namespace ocelli
