#include "ocelli/engine/quantize.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "ocelli/base/file.h"
#include "ocelli/base/log.h"
#include "ocelli/engine/calibration.h"
#include "ocelli/engine/convert.h"
#include "ocelli/engine/pipeline.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

namespace fs = std::filesystem;
using backend::Precision;

// A checkpoint some of whose tensors are others, in memory. Vectors are from the start, so that the
// weights of a norm are known by their place.
class Overlay final : public TensorSource {
 public:
  explicit Overlay(std::shared_ptr<const TensorSource> source)
      : source_(std::move(source)), infos_(source_->tensors()) {
    for (const TensorInfo& info : infos_) {
      if (info.shape.rank() == 1 && is_floating_point(info.dtype))
        changed_[info.name] = to(source_->load(info.name), DType::f32);
    }
  }

  void change(const std::string& name, Tensor tensor) { changed_[name] = std::move(tensor); }
  // The vector that lies at `place`, or nothing.
  std::string name_of(const void* place) const {
    for (const auto& [name, tensor] : changed_) {
      if (tensor.raw() == place) return name;
    }
    return "";
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  Tensor load(std::string_view name) const override {
    const auto entry = changed_.find(name);
    return entry == changed_.end() ? source_->load(name) : entry->second;
  }
  void release(std::string_view name) const override { source_->release(name); }
  std::string path() const override { return source_->path(); }

 private:
  std::shared_ptr<const TensorSource> source_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, Tensor, std::less<>> changed_;
};

struct Cosines {
  double mean = 1, worst = 1;
};

Cosines cosines_of(const Tensor& a, const Tensor& b) {
  const int64_t count = a.size(0), width = a.size(1);
  Cosines result{0, 1};
  for (int64_t r = 0; r < count; ++r) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = r * width; i < (r + 1) * width; ++i) {
      const double p = a.data<float>()[i], q = b.data<float>()[i];
      ab += p * q, aa += p * p, bb += q * q;
    }
    const double cosine = aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
    result.mean += cosine / static_cast<double>(count);
    result.worst = std::min(result.worst, cosine);
  }
  return result;
}

// A name's backend that packs it.
using Choice = std::function<const backend::Backend&(const std::string&)>;

class Quantizer {
 public:
  Quantizer(const fs::path& input, const QuantizeOptions& options)
      : input_(input), options_(options), folder_(ModelFolder::open(input)) {
    check(!folder_.quantization, "quantize: {} is quantised already; take the original",
          input.string());
    weights_ = std::make_shared<Overlay>(folder_.checkpoint);
    result_.precision = options.precision;
    result_.group = options.group;
    opened_ = open([this](const std::string& name) -> const backend::Backend& {
      return watcher_.naming(name);
    });
    for (const WatchedLayer& layer : watcher_.layers()) {
      if (fits(layer)) layers_.push_back(layer.names);
    }
    check(!layers_.empty(), "quantize: {} has no linear layers or convolutions to quantise",
          input.string());
  }

  void calibrate() {
    const auto found = run_images(
        opened_->processor, options_.calibration, [](const Tensor& pixels) { return pixels; },
        [&](int64_t, const Tensor& row) { images_.push_back(contiguous(row) * 1.0f); }, {});
    for (const ItemError& item : found) log(LogLevel::warning, item.error.what());
    check(!images_.empty(), "quantize: none of the images to calibrate with can be read");
    result_.images = static_cast<int64_t>(images_.size());
    {
      const backend::UseBackend watching(watcher_);
      exact_ = answers(*opened_);
    }
    if (options_.precision == Precision::int8) smooth();
    if (options_.fixed_ranges) fix_ranges();
  }

  // Which layers stay in bf16.
  void search() {
    std::vector<std::pair<double, size_t>> loss;
    for (size_t i = 0; i < layers_.size(); ++i) {
      const std::set<std::string> alone(layers_[i].begin(), layers_[i].end());
      const Cosines cosines = cosines_with([&](const std::string& name) -> const backend::Backend& {
        return alone.contains(name) ? result_.narrow(name) : backend::cpu();
      });
      loss.emplace_back(cosines.mean, i);
      if (options_.progress)
        options_.progress(static_cast<int64_t>(i + 1), static_cast<int64_t>(layers_.size()));
    }
    std::ranges::sort(loss);
    size_t low = 0, high = loss.size();  // `high` suffices
    while (low < high) {
      const size_t middle = (low + high) / 2;
      keep(loss, middle);
      if (cosines_with(choice()).worst >= options_.target)
        high = middle;
      else
        low = middle + 1;
    }
    keep(loss, high);
  }

  QuantizeResult write(const fs::path& output) {
    if (!images_.empty()) {
      const Cosines cosines = cosines_with(choice());
      result_.mean_cosine = cosines.mean;
      result_.worst_cosine = cosines.worst;
    }
    for (const std::string& name : kept_) result_.inputs.erase(name);
    int64_t bytes = 0;
    write_model_folder(input_, output, "quantize", [&] {
      std::vector<NamedTensor> tensors;
      for (const TensorInfo& info : weights_->tensors()) add(info.name, tensors);
      for (const NamedTensor& one : tensors) bytes += static_cast<int64_t>(one.tensor.nbytes());
      nlohmann::ordered_json config = nlohmann::ordered_json::object();
      if (fs::exists(output / "config.json"))
        config = nlohmann::ordered_json::parse(read_file(output / "config.json"));
      config["quantization_config"] = result_.to_json();
      write_file(output / "config.json", config.dump(1) + "\n");
      write_and_compare(output / "model.safetensors", tensors);
    });
    return {std::move(result_), bytes};
  }

 private:
  std::shared_ptr<const OpenModel> open(Weights::Packer packer) const {
    return open_model(input_.string(),
                      {.precision = "f32", .weights = weights_, .packer = std::move(packer)});
  }

  // Whether the weight in the checkpoint has the rows, and for groups the order of K, that are
  // multiplied.
  bool fits(const WatchedLayer& layer) const {
    int64_t rows = 0;
    for (const std::string& name : layer.names) {
      const Shape shape = folder_.checkpoint->load(name).shape();
      if (shape.rank() < 2 || shape.numel() != shape[0] * layer.k) return false;
      const bool reordered = shape.rank() > 2 && shape.numel() != shape[0] * shape[1];
      if (options_.precision == Precision::int4 && reordered) return false;
      rows += shape[0];
    }
    return rows == layer.n;
  }

  // [images, D]
  Tensor answers(const OpenModel& opened) const {
    std::vector<Tensor> rows;
    for (const Tensor& image : images_) {
      throw_if_cancelled();
      const Tensor pixels = image.unsqueeze(0);
      rows.push_back(opened.model->has_classifier() ? opened.model->classify(pixels)
                                                    : opened.model->embed_image(pixels));
    }
    return contiguous(cat(rows, 0));
  }

  Cosines cosines_with(const Choice& choice) const {
    const MuteLog mute;
    return cosines_of(answers(*open(choice)), exact_);
  }

  // As the folder will be opened.
  Choice choice() const {
    return [this](const std::string& name) -> const backend::Backend& {
      for (const auto& names : layers_) {
        if (std::ranges::find(names, name) != names.end())
          return kept_.contains(name) ? Quantization::higher() : result_.narrow(name);
      }
      return Quantization::higher();
    };
  }

  void keep(const std::vector<std::pair<double, size_t>>& loss, size_t count) {
    kept_.clear();
    result_.kept.clear();
    for (size_t i = 0; i < count; ++i) {
      for (const std::string& name : layers_[loss[i].second]) {
        kept_.insert(name);
        result_.kept.emplace_back(name, loss[i].first);
      }
    }
  }

  // x W^T = (x / s) (W s)^T: the norm before a layer takes 1 / s over, with
  // s = sqrt(max |x| / max |W|) of each channel.
  void smooth() {
    const auto before = std::make_shared<Overlay>(*weights_);
    std::map<const void*, std::vector<const WatchedLayer*>> after;
    for (const WatchedLayer& layer : watcher_.layers()) {
      // The last norm's results are the embedding.
      if (layer.norm && layer.norm != watcher_.last_norm() && fits(layer))
        after[layer.norm].push_back(&layer);
    }
    for (const auto& [norm, layers] : after) {
      const std::string name = weights_->name_of(norm);
      if (!name.empty()) smooth(name, layers);
    }
    // Where a norm's results go elsewhere, too, the model has become another.
    const Cosines cosines =
        cosines_with([](const std::string&) -> const backend::Backend& { return backend::cpu(); });
    if (cosines.worst >= 0.99999) return;
    log(LogLevel::warning, "the norms of this model cannot take scales over: it is not smoothed");
    weights_ = before;
    result_.smoothed = 0;
  }

  void smooth(const std::string& norm, const std::vector<const WatchedLayer*>& layers) {
    constexpr float kLeast = 1e-5f;
    const auto channels = static_cast<size_t>(layers[0]->k);
    std::vector<float> scale(channels, 0), largest(channels, 0);
    std::vector<std::string> names;
    for (const WatchedLayer* layer : layers) {
      for (const std::string& name : layer->names) {
        const Tensor w = to(weights_->load(name), DType::f32);
        for (int64_t i = 0; i < w.numel(); ++i) {
          float& most = largest[static_cast<size_t>(i) % channels];
          most = std::max(most, std::abs(w.data<float>()[i]));
        }
        names.push_back(name);
      }
    }
    for (size_t i = 0; i < channels; ++i) {
      const float x = std::max(layers[0]->most[i], kLeast), w = std::max(largest[i], kLeast);
      scale[i] = std::sqrt(x / w);
    }
    const auto times = [&](const std::string& name, bool inverse) {
      const Tensor t = contiguous(to(weights_->load(name), DType::f32)) * 1.0f;
      for (int64_t i = 0; i < t.numel(); ++i) {
        const float s = scale[static_cast<size_t>(i) % channels];
        t.data<float>()[i] *= inverse ? 1 / s : s;
      }
      weights_->change(name, t);
    };
    for (const std::string& name : names) times(name, false);
    times(norm, true);
    const std::string bias = norm.substr(0, norm.rfind('.')) + ".bias";
    if (has(bias)) times(bias, true);
    ++result_.smoothed;
  }

  // Of the inputs as they are after smoothing. Where some rows are far larger than the rest, as
  // those of a transformer's few tokens that hold no image (Darcet et al., arXiv 2309.16588), one
  // step would be too wide for the others.
  void fix_ranges() {
    constexpr double kWidest = 3;
    const Watcher watcher;
    const auto opened = open(
        [&](const std::string& name) -> const backend::Backend& { return watcher.naming(name); });
    {
      const backend::UseBackend watching(watcher);
      answers(*opened);
    }
    for (const WatchedLayer& layer : watcher.layers()) {
      const double range = layer.high - layer.low,
                   of_a_row = layer.ranges / static_cast<double>(layer.rows);
      if (!(range > 0) || range > kWidest * of_a_row || !fits(layer)) continue;
      for (const std::string& name : layer.names) result_.set_input(name, layer.low, layer.high);
    }
  }

  bool has(const std::string& name) const {
    return std::ranges::any_of(weights_->tensors(),
                               [&](const TensorInfo& info) { return info.name == name; });
  }

  // A tensor of the checkpoint as it is written.
  void add(const std::string& name, std::vector<NamedTensor>& tensors) {
    throw_if_cancelled();
    const Tensor tensor = weights_->load(name);
    const bool layer = std::ranges::any_of(
        layers_, [&](const auto& names) { return std::ranges::find(names, name) != names.end(); });
    if (layer && options_.precision != Precision::bf16 && !kept_.contains(name)) {
      const Quantized as{options_.precision == Precision::int4 ? 4 : 8, options_.group,
                         tensor.shape()};
      const Tensor weight = to(tensor, DType::f32);
      if (!is_finite(weight))
        fail(ErrorCode::corrupt_data, "{}: NaN or infinity in {}", weights_->path(), name);
      for (NamedTensor& one : quantized(name, weight, as)) tensors.push_back(std::move(one));
      result_.weights[name] = as;
    } else {
      tensors.push_back({name, layer ? to(tensor, DType::bf16) : contiguous(tensor)});
    }
  }

  const fs::path input_;
  const QuantizeOptions& options_;
  const ModelFolder folder_;
  std::shared_ptr<Overlay> weights_;
  Watcher watcher_;
  std::shared_ptr<const OpenModel> opened_;
  std::vector<std::vector<std::string>> layers_;  // names of what is packed together
  std::vector<Tensor> images_;
  Tensor exact_;
  std::set<std::string> kept_;
  Quantization result_;
};

}  // namespace

QuantizeResult quantize(const fs::path& input, const fs::path& output,
                        const QuantizeOptions& options) {
  check(!options.search || !options.calibration.empty(),
        "quantize: --search measures on images; give --calibrate");
  check(!options.fixed_ranges ||
            (options.precision == Precision::int8 && !options.calibration.empty()),
        "quantize: --static takes the ranges of int8 from images; give --calibrate");
  check(!options.search || options.precision != Precision::bf16,
        "quantize: --search chooses what stays in bf16; with --precision bf16 everything is");
  check(!fs::exists(output / "model.safetensors"),
        "quantize: {} holds a model; write to another folder", output.string());
  Quantizer quantizer(input, options);
  if (!options.calibration.empty()) quantizer.calibrate();
  if (options.search) quantizer.search();
  return quantizer.write(output);
}

}  // namespace ocelli
