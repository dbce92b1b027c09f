// Duplicates among images: exact ones by their bytes and pixels, near ones by embeddings and a
// second look at each pair that these do not rule out.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "ocelli/curate/groups.h"
#include "ocelli/curate/pair_score.h"
#include "ocelli/engine/pipeline.h"

namespace ocelli {

// What decides which of several copies is kept: more pixels without the borders, then more bytes
// (less compressed), then the older file, then the name.
struct FileFacts {
  int64_t pixels = 0, bytes = 0;
  int64_t time = 0;     // of the last change, nanoseconds
  int64_t content = 0;  // pixels without borders; half as many where there are some
};
FileFacts file_facts(const std::string& path, const Image& image);
// The place of each file in that order.
std::vector<int64_t> keep_order(std::span<const std::string> paths,
                                const std::vector<FileFacts>& facts);
// In words, what it has before its copies.
std::string why_kept(const FileFacts& kept, const std::vector<FileFacts>& others);

struct LookedAt {
  ScoredPair pair;
  std::string why;
};

struct NearOptions {
  int64_t k = 64;             // neighbours of an image that are compared with it
  float least_cosine = 0.2f;  // pairs below it surely show something else
  RunOptions run = {};        // its progress counts pairs
  // Where not 0: only pairs of one of so many first rows with one of the others.
  int64_t against = 0;
  uint64_t seed = 0;
  // Of each row: pairs that differ in few bits are looked at, too, however far apart their
  // embeddings are (pixelated, negatives). Not beyond 20000 rows, where all pairs are too many.
  std::vector<PerceptualHash> hashes = {};
  // Keeps what was found so far, so that a run that was killed goes on; none when empty.
  std::filesystem::path journal = {};
};

// Pairs whose embeddings are near, with scores; among few images all pairs are looked at. Rows are
// those of `paths`. An image that cannot be read any more is added to `errors`, and its pairs are
// left out.
std::vector<LookedAt> near_pairs(const OpenModel& opened, std::span<const std::string> paths,
                                 HalfRows rows, const NearOptions& options,
                                 std::vector<ItemError>& errors);

struct ExactCopies {
  std::vector<FileFacts> facts;        // of each file
  std::vector<PerceptualHash> hashes;  // of each file
  std::vector<LookedAt> pairs;         // of a file and the first one with the same bytes or pixels
  std::vector<int64_t> distinct;  // files that can be read and are no copies of one before them
  std::vector<ItemError> errors;
};

// Files with the same bytes, then those with the same pixels. Decodes every file once.
ExactCopies find_exact_copies(std::span<const std::string> paths, const RunOptions& run);

struct Duplicates {
  struct Duplicate {
    int64_t image = 0;
    float score = 0;
    std::string why;
  };
  struct Group {
    int64_t keep = 0;
    std::string why_kept;
    std::vector<Duplicate> duplicates;
  };
  std::vector<std::string> paths;  // those that `image` and `keep` count; first those held against
  std::vector<FileFacts> facts;
  std::vector<Group> groups;
  std::vector<LookedAt> pairs;  // all that got a score
  std::vector<ItemError> errors;
};

struct DedupOptions {
  float near = 0.9f;                      // score from which a pair counts as duplicates
  std::vector<std::string> against = {};  // only copies of these are looked for
  RunOptions run = {};                    // its progress counts files, first as they are hashed
  Progress embedding = {}, comparing = {};
};

// Without a model, exact duplicates only.
Duplicates find_duplicates(const OpenModel* opened, std::span<const std::string> paths,
                           const DedupOptions& options);

}  // namespace ocelli
