// From a heap of files to a set to learn from: collect, quality, embed, dedup, retrieve, export.
// Oquab et al., "DINOv2" (arXiv 2304.07193), section 3.
//
// What a stage has found stands in OUTPUT/.curate, each file complete or not there, so a run that
// was killed goes on with the stage it was in; embeddings are kept as they come.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ocelli/curate/quality.h"
#include "ocelli/curate/recipe.h"
#include "ocelli/curate/sources.h"
#include "ocelli/engine/open.h"
#include "ocelli/engine/pipeline.h"

namespace ocelli {

struct Fate {
  std::string path;
  std::string stage = {};  // that left it out; empty: it is in the curated set
  std::string why = {};
  QualityMeasures measures = {};
  std::string format = {};  // of the file, as image_format() says
  std::string caption = {};
};

// What share of images lies where, before and after.
struct ClusterShare {
  int64_t before = 0, after = 0;  // that could be embedded; that are kept
  std::vector<int64_t> examples;  // places of kept ones, else of others, the nearest to its centre
};

struct CurateOptions {
  Recipe recipe = {};
  std::string output;
  bool resume = false;   // go on with the run that is in `output`
  bool dry_run = false;  // decide, report, but export no image
  RunOptions run = {};
  std::function<Progress(const std::string& stage)> progress = {};
};

struct Curated {
  std::vector<Fate> fates;  // of every file, in order
  int64_t kept = 0;
  std::vector<ClusterShare> clusters;  // of all that could be embedded, the largest first
};

// Writes OUTPUT/manifest.jsonl, report.html and images/, shards/ or images.txt. Throws
// invalid_argument when OUTPUT holds another run (one with another recipe, model or list of files,
// or without `resume`).
Curated curate(const OpenModel& opened, std::span<const Source> sources,
               const CurateOptions& options);

// In curate_report.cpp.
void write_curate_report(const std::string& path, const Curated& curated, const Recipe& recipe,
                         const DecodeOptions& decode);

}  // namespace ocelli
