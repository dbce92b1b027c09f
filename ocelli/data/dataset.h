// Where training samples come from: class folders, tables, tar shards, CIFAR and MNIST files.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ocelli/base/rng.h"
#include "ocelli/data/image_list.h"
#include "ocelli/data/sampling.h"
#include "ocelli/image/image.h"

namespace ocelli {

struct Sample {
  Image image;
  int64_t label = -1;   // the index of its class; -1: it has none
  std::string caption;  // empty: it has none
};

// Immutable, and called from many threads at a time.
class Dataset {
 public:
  virtual ~Dataset() = default;

  // Nothing for shards: how many samples they hold shows when they are read.
  virtual std::optional<int64_t> size() const = 0;
  // Decodes a sample. Throws not_found, io, corrupt_data or unsupported for one that cannot be
  // read.
  virtual Sample get(int64_t index) const = 0;
  // The name of a sample, for messages: a file, or a place in one.
  virtual std::string id(int64_t index) const = 0;
  // One a sample, without reading images; empty where there are none or they are not known.
  virtual std::vector<int64_t> labels() const { return {}; }
  // The same of captions.
  virtual std::vector<std::string> captions() const { return {}; }
  // Names of the classes; empty where they are not known.
  virtual const std::vector<std::string>& classes() const = 0;

  // The order of an epoch, and a sample to take in place of one that cannot be read.
  virtual Order order(const Sampling& sampling, int64_t epoch) const;
  virtual int64_t substitute(int64_t index, Rng& rng) const;
};

// What every sample must have.
enum class Target { none, label, caption };

struct DatasetOptions {
  Target target = Target::none;
  TableColumns columns = {};  // of tables
};

// A folder with a sub-folder a class; a folder of CIFAR's (data_batch_*.bin or train.bin); a table
// (.csv, .tsv: image_list.h); shards (a .tar, "{000..012}.tar", a pattern); a CIFAR .bin file; an
// MNIST file of images (idx3-ubyte, .gz or not) with its labels beside it. Throws not_found,
// corrupt_data, and invalid_argument for what has not the target that is asked for.
std::unique_ptr<Dataset> open_dataset(const std::string& path, const DatasetOptions& options = {});

// Images alone, for training without labels: all that lie anywhere in a folder, or what
// open_dataset takes.
std::unique_ptr<Dataset> open_unlabelled(const std::string& path);

}  // namespace ocelli
