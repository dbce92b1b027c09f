#include "ocelli/curate/pair_score.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"

namespace ocelli {
namespace {

// The layer whose patches are matched: deep enough to know a thing under another light, not so deep
// that all patches of a thing are alike.
constexpr double kLayer = 0.6;       // of the depth
constexpr float kPromising = 0.15f;  // correlation of a way to lay them
constexpr float kSure = 0.7f;        // agreement without a look at the edges
// What brings two pictures together.
constexpr float kNearCosine = 0.3f;
constexpr int kSpeaking = 5;     // keypoints that agree
constexpr int kEdgesSpeak = 10;  // of which edges alone need more

// Height and width in patches, of about the model's own area and the picture's aspect.
std::array<int64_t, 2> grid_of(const OpenModel& opened, const Image& image, int64_t patch) {
  const double area = static_cast<double>(opened.input_size[0] * opened.input_size[1]) /
                      static_cast<double>(patch * patch);
  const double aspect = static_cast<double>(image.width()) / static_cast<double>(image.height());
  const double rows = std::clamp(std::sqrt(area / aspect), 2.0, area / 2);
  return {std::lround(rows), std::max<int64_t>(std::lround(area / rows), 1)};
}

// Rows of length 1, the mean of the picture taken off: what all its patches share says nothing
// about where they are.
Tensor centred(const Tensor& rows) {
  return normalize(rows - mean(rows, 0));
}

PatchGrid patches_of(const OpenModel& opened, const Tensor& pixels, const GreyPyramid& grey) {
  const auto depth = static_cast<double>(opened.model->depth());
  const int layer = std::max(static_cast<int>(std::lround(kLayer * depth)) - 1, 0);
  const Tensor x = opened.model->features(pixels, {.layers = {layer}})[0];
  PatchGrid grid{{}, 0, 0, grey.height(), grey.width()};
  if (const auto layout = opened.model->token_layout()) {
    grid.rows = pixels.size(1) / layout->patch;
    grid.columns = pixels.size(2) / layout->patch;
    grid.features = centred(x.select(0, 0).slice(0, layout->prefix(), x.size(1)));
  } else {
    grid.rows = x.size(1);
    grid.columns = x.size(2);
    grid.features = centred(x.view({grid.rows * grid.columns, x.size(3)}));
  }
  return grid;
}

Image mirror(const Image& image) {
  Image result{Tensor::empty(image.pixels.shape(), DType::u8), image.format};
  const int64_t width = image.width();
  auto* to = result.pixels.data<uint8_t>();
  for (int64_t y = 0; y < image.height(); ++y) {
    const uint8_t* row = image.data() + y * width * 3;
    for (int64_t x = 0; x < width; ++x)
      std::copy_n(row + (width - 1 - x) * 3, 3, to + (y * width + x) * 3);
  }
  return result;
}

struct Hypothesis : Vote {
  bool of_keypoints = false;
  float correlation = -1;
};

// The whole of one picture on the whole of the other, in the eight ways to lay it, with all tones.
void add_whole_frames(const GreyPyramid& a, const GreyPyramid& b, std::vector<Hypothesis>& into) {
  const Affine unit{1 / a.width(), 0, 0, 0, 1 / a.height(), 0};
  const Affine stretch{b.width(), 0, 0, 0, b.height(), 0};
  const Affine flip{-1, 0, 1, 0, 1, 0}, turn{0, -1, 1, 1, 0, 0};
  Affine way;
  for (int i = 0; i < 4; ++i) {
    for (const Tones tones : {Tones::same, Tones::negative, Tones::any}) {
      into.push_back({{stretch * way * unit, 0, tones}});
      into.push_back({{stretch * flip * way * unit, 0, tones}});
    }
    way = turn * way;
  }
}

void add_votes(const ImageSketch& a, const ImageSketch& b, std::vector<Hypothesis>& into) {
  const std::vector<Vote> plain = vote(a.patches, b.patches, 3);
  const std::vector<Vote> mirrored = vote(a.patches, b.mirrored, 3);
  const Affine flip{-1, 0, b.grey.width(), 0, 1, 0};
  for (const Tones tones : {Tones::same, Tones::any}) {
    for (const Vote& v : plain) into.push_back({{v.map, v.matches, tones}});
    for (const Vote& v : mirrored) into.push_back({{flip * v.map, v.matches, tones}});
  }
}

// Refined on a level with the picture of finer detail as the one that is walked over.
bool refine_either(const GreyPyramid& a, const GreyPyramid& b, int level, Hypothesis& h) {
  const bool swapped = std::abs(h.map.determinant()) > 1;
  const GreyPyramid &first = swapped ? b : a, &second = swapped ? a : b;
  Affine map = swapped ? h.map.inverse() : h.map;
  if (!refine(first, second, level, map, h.tones)) return false;
  h.correlation = correlation(first, second, level, map, h.tones);
  h.map = swapped ? map.inverse() : map;
  return true;
}

// The best of the ways to lay one picture on the other, refined from coarse to fine; none where
// nothing comes of them. Keypoints (the first ways) place small pictures better than a coarse
// level can: the ways that they speak for begin on the middle one, too.
std::optional<Hypothesis> lay_best(const GreyPyramid& a, const GreyPyramid& b,
                                   std::vector<Hypothesis> ways) {
  std::vector<Hypothesis> middle;
  for (const Hypothesis& h : ways) {
    if (h.of_keypoints && h.matches >= kSpeaking) middle.push_back(h);
  }
  const auto refine_all = [&](std::vector<Hypothesis>& some, int level) {
    std::erase_if(some, [&](Hypothesis& h) { return !refine_either(a, b, level, h); });
    std::ranges::stable_sort(some, std::greater{}, &Hypothesis::correlation);
  };
  refine_all(ways, GreyPyramid::kLevels - 1);
  if (ways.size() > 3) ways.resize(3);
  middle.insert(middle.end(), ways.begin(), ways.end());
  refine_all(middle, 2);
  if (middle.empty() || middle[0].correlation < kPromising) return std::nullopt;
  if (!refine_either(a, b, 1, middle[0])) return std::nullopt;
  return middle[0];
}

}  // namespace

ImageSketch sketch(const OpenModel& opened, const Image& image) {
  ImageSketch result{perceptual_hash(image), find_keypoints(image), GreyPyramid(image), {}, {}};
  const auto layout = opened.model->token_layout();
  const int64_t patch = layout ? layout->patch : 32;
  const auto [rows, columns] = grid_of(opened, image, patch);
  ImageProcessor processor = opened.processor;
  processor.resize = ImageProcessor::Resize::exact;
  processor.crop = ImageProcessor::Crop::none;
  processor.resize_height = rows * patch;
  processor.resize_width = columns * patch;
  result.patches = patches_of(opened, preprocess(processor, image).unsqueeze(0), result.grey);
  result.mirrored =
      patches_of(opened, preprocess(processor, mirror(image)).unsqueeze(0), result.grey);
  return result;
}

std::optional<PairEvidence> compare(const ImageSketch& a, const ImageSketch& b, float cosine) {
  PairEvidence evidence{.cosine = cosine, .hash_distance = hash_distance(a.hash, b.hash)};
  const std::vector<Vote> votes = vote(a.keypoints, b.keypoints);
  if (!votes.empty()) evidence.keypoints = votes[0].matches;
  if (cosine < kNearCosine && evidence.hash_distance > kNearHash && evidence.keypoints < kSpeaking)
    return std::nullopt;
  std::vector<Hypothesis> all;
  for (const Vote& v : votes) all.push_back({v, true});
  add_votes(a, b, all);
  add_whole_frames(a.grey, b.grey, all);
  for (const bool edges : {false, true}) {
    // Edges of a frame alone are soon found to agree; keypoints say that there is more.
    if (edges && (evidence.agreement.median > kSure || evidence.keypoints < kEdgesSpeak)) break;
    std::vector<Hypothesis> some;
    std::ranges::copy_if(all, std::back_inserter(some),
                         [&](const Hypothesis& h) { return (h.tones == Tones::any) == edges; });
    const auto laid = lay_best(a.grey, b.grey, std::move(some));
    if (!laid) continue;
    const Affine& map = laid->map;
    const Agreement found = std::abs(map.determinant()) > 1
                                ? agreement(b.grey, a.grey, map.inverse(), laid->tones)
                                : agreement(a.grey, b.grey, map, laid->tones);
    if (found.median <= evidence.agreement.median) continue;
    evidence.agreement = found;
    evidence.tones = laid->tones;
    evidence.mirrored = map.determinant() < 0;
    evidence.scale = std::sqrt(std::abs(map.determinant()));
    evidence.turn = std::atan2(map.yx, map.yy) * 180 / std::numbers::pi;
  }
  return evidence;
}

float duplicate_score(const PairEvidence& e) {
  const float blocks = std::log2(1 + e.agreement.blocks), cosine = std::max(e.cosine, 0.0f);
  const float points = std::log2(std::max(static_cast<float>(e.keypoints), 4.0f) / 4);
  const float logit = -9 + 10 * std::max(e.agreement.median, 0.0f) + 0.5f * blocks + 2 * e.cosine +
                      points * (1 + 3 * cosine);
  return 1 / (1 + std::exp(-logit));
}

std::string describe(const PairEvidence& e) {
  std::string text;
  const auto add = [&](const std::string& words) { text += (text.empty() ? "" : ", ") + words; };
  if (e.tones == Tones::negative) add("negative");
  if (e.tones == Tones::any) add("other tones");
  if (e.mirrored) add("mirrored");
  if (std::abs(e.turn) >= 1.5) add(fmt::format("turned by {:.0f} degrees", e.turn));
  if (e.agreement.overlap > 0) add(fmt::format("{:.0f} % overlap", 100 * e.agreement.overlap));
  add(fmt::format("patterns agree to {:.2f}", e.agreement.median));
  if (e.keypoints >= kSpeaking) add(fmt::format("{} keypoints agree", e.keypoints));
  add(fmt::format("cosine {:.2f}", e.cosine));
  if (e.hash_distance <= kNearHash)
    add(fmt::format("perceptual hash differs in {} bits", e.hash_distance));
  return text;
}

}  // namespace ocelli
