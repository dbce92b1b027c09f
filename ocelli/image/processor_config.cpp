// The configurations of transformers, timm and open_clip as an ImageProcessor.
#include <algorithm>
#include <cmath>

#include "ocelli/image/preprocess.h"

namespace ocelli {
namespace {

using nlohmann::json;
using Resize = ImageProcessor::Resize;
using Crop = ImageProcessor::Crop;
using Triple = std::array<float, 3>;

constexpr Triple kHalves = {0.5f, 0.5f, 0.5f};
constexpr Triple kClipMean = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr Triple kClipStd = {0.26862954f, 0.26130258f, 0.27577711f};
constexpr Triple kImagenetMean = {0.485f, 0.456f, 0.406f}, kImagenetStd = {0.229f, 0.224f, 0.225f};

// A configuration and where it came from.
struct Fields {
  const json& config;
  const std::string& file;

  Fields(const json& c, const std::string& f) : config(c), file(f) {
    if (!config.is_object()) fail(ErrorCode::corrupt_data, "{}: is not a JSON object", file);
  }
  bool has(const char* name) const {
    const auto entry = config.find(name);
    return entry != config.end() && !entry->is_null();
  }
  [[noreturn]] void wrong(const char* name, std::string_view needed) const {
    fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}; {}", file, name,
         config.at(name).dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 80),
         needed);
  }
  bool flag(const char* name, bool fallback) const {
    if (!has(name)) return fallback;
    if (!config[name].is_boolean()) wrong(name, "true or false is needed");
    return config[name].get<bool>();
  }
  double number(const char* name, double fallback) const {
    if (!has(name)) return fallback;
    const double value = config[name].is_number() ? config[name].get<double>() : NAN;
    if (!std::isfinite(value)) wrong(name, "a number is needed");
    return value;
  }
  std::string text(const char* name, const std::string& fallback) const {
    if (!has(name)) return fallback;
    if (!config[name].is_string()) wrong(name, "a string is needed");
    return config[name].get<std::string>();
  }
  Triple triple(const char* name, const Triple& fallback) const {
    if (!has(name)) return fallback;
    const json& value = config[name];
    if (!value.is_array() || value.size() != 3 ||
        !std::ranges::all_of(value, [](const json& x) { return x.is_number(); })) {
      wrong(name, "three numbers are needed");
    }
    return {value[0].get<float>(), value[1].get<float>(), value[2].get<float>()};
  }
  Triple divisors(const char* name, const Triple& fallback) const {
    const Triple value = triple(name, fallback);
    if (std::ranges::find(value, 0.0f) != value.end()) wrong(name, "no number may be zero");
    return value;
  }
  int64_t side(const json& value, const char* name) const {
    if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > 1 << 16) {
      wrong(name, "a size is a whole number from 1 to 65536");
    }
    return value.get<int64_t>();
  }
};

// What the image processors of transformers do unless their configuration says otherwise.
struct Defaults {
  const char* type;  // how the type's name begins
  Resize resize;
  int64_t size, crop_size;
  bool crops;
  Filter filter;
  Triple mean, std;
};

const Defaults& defaults_of(const std::string& type) {
  static constexpr Defaults kAll[] = {
      {"CLIP", Resize::shortest, 224, 224, true, Filter::bicubic, kClipMean, kClipStd},
      {"ChineseCLIP", Resize::shortest, 224, 224, true, Filter::bicubic, kClipMean, kClipStd},
      {"Bit", Resize::shortest, 224, 224, true, Filter::bicubic, kClipMean, kClipStd},
      {"ViT", Resize::exact, 224, 224, false, Filter::bilinear, kHalves, kHalves},
      {"DeiT", Resize::exact, 256, 224, true, Filter::bicubic, kHalves, kHalves},
      {"DINOv3ViT", Resize::exact, 224, 224, false, Filter::bilinear, kImagenetMean, kImagenetStd},
      {"ConvNext", Resize::shortest, 384, 384, false, Filter::bicubic, kHalves, kHalves},
      {"EfficientNet", Resize::exact, 346, 289, false, Filter::bicubic, kHalves, kHalves},
      {"", Resize::exact, 224, 224, false, Filter::bicubic, kHalves, kHalves},
  };
  return *std::ranges::find_if(kAll, [&](const Defaults& d) { return type.starts_with(d.type); });
}

void read_size(const Fields& f, const Defaults& defaults, ImageProcessor* p) {
  p->resize = defaults.resize;
  p->resize_height = p->resize_width = defaults.size;
  if (!f.has("size")) return;
  const json& size = f.config["size"];
  if (size.is_number()) {  // before transformers 4.26
    p->resize_height = p->resize_width = f.side(size, "size");
    if (*defaults.type == '\0' && f.has("crop_size")) p->resize = Resize::shortest;
  } else if (size.is_array() && size.size() == 2) {
    p->resize = Resize::exact;
    p->resize_width = f.side(size[0], "size");
    p->resize_height = f.side(size[1], "size");
  } else if (size.is_object() && size.size() == 1 && size.contains("shortest_edge")) {
    p->resize = Resize::shortest;
    p->resize_height = p->resize_width = f.side(size["shortest_edge"], "size");
  } else if (size.is_object() && size.contains("height") && size.contains("width")) {
    p->resize = Resize::exact;
    p->resize_height = f.side(size["height"], "size");
    p->resize_width = f.side(size["width"], "size");
  } else {
    f.wrong("size", "shortest_edge alone, or height and width, are needed");
  }
}

void read_crop(const Fields& f, const Defaults& defaults, ImageProcessor* p) {
  p->crop_height = p->crop_width = defaults.crop_size;
  if (f.has("crop_size")) {
    const json& crop = f.config["crop_size"];
    const bool both = crop.is_object() && crop.contains("height") && crop.contains("width");
    if (crop.is_object() && !both) f.wrong("crop_size", "height and width are needed");
    p->crop_height = f.side(both ? crop["height"] : crop, "crop_size");
    p->crop_width = f.side(both ? crop["width"] : crop, "crop_size");
  }
  if (f.flag("do_center_crop", defaults.crops)) p->crop = Crop::floor;
}

// ConvNext: below 384 the image is resized to edge / crop_pct and cropped to the edge, else
// squashed.
void read_crop_pct(const Fields& f, ImageProcessor* p) {
  const double crop_pct = f.number("crop_pct", 224.0 / 256.0);
  if (!(crop_pct >= 0.1 && crop_pct <= 2)) f.wrong("crop_pct", "a share of 0.1 to 2 is needed");
  const int64_t edge = p->resize_height;
  if (edge >= 384) {
    p->resize = Resize::exact;
    return;
  }
  p->resize_height = p->resize_width = static_cast<int64_t>(static_cast<double>(edge) / crop_pct);
  p->crop_height = p->crop_width = edge;
  p->crop = Crop::floor;
}

}  // namespace

ImageProcessor ImageProcessor::from_transformers(const json& config, const std::string& file) {
  const Fields f(config, file);
  ImageProcessor p;
  const auto type = f.text("image_processor_type", f.text("feature_extractor_type", ""));
  const Defaults& defaults = defaults_of(type);
  read_size(f, defaults, &p);
  read_crop(f, defaults, &p);
  const bool shrinks_to_crop = type.starts_with("ConvNext") || f.has("crop_pct");
  if (shrinks_to_crop && p.resize == Resize::shortest && !f.has("crop_size")) read_crop_pct(f, &p);
  if (!f.flag("do_resize", true)) p.resize = Resize::none;
  const double filter = f.number("resample", static_cast<double>(defaults.filter));
  if (filter != std::floor(filter) || filter < 0 || filter > 5) {
    f.wrong("resample", "0 to 5 are Pillow's filters");
  }
  p.filter = static_cast<Filter>(static_cast<int>(filter));
  p.scale =
      f.flag("do_rescale", true) ? static_cast<float>(f.number("rescale_factor", 1.0 / 255)) : 1.0f;
  p.mean = f.triple("image_mean", defaults.mean);
  p.std = f.divisors("image_std", defaults.std);
  const bool efficientnet = type.starts_with("EfficientNet");
  const Triple again = p.std;  // EfficientNet's classifiers divide a second time
  if (!f.flag("do_normalize", true)) {
    p.mean = {0, 0, 0};
    p.std = {1, 1, 1};
  }
  for (size_t c = 0; efficientnet && c < 3; ++c) {
    if (f.flag("rescale_offset", false)) p.mean[c] += 1;
    if (f.flag("include_top", true)) p.std[c] *= again[c];
  }
  return p;
}

// timm.data.create_transform for evaluation.
ImageProcessor ImageProcessor::from_timm(const json& config, const std::string& file) {
  const Fields f(config, file);
  ImageProcessor p;
  if (f.has("input_size")) {
    const json& size = config["input_size"];
    if (!size.is_array() || size.size() != 3) f.wrong("input_size", "[3, height, width] is needed");
    p.crop_height = f.side(size[1], "input_size");
    p.crop_width = f.side(size[2], "input_size");
  }
  p.crop_pct = f.number("crop_pct", 0.875);
  if (!(p.crop_pct >= 0.1 && p.crop_pct <= 2)) f.wrong("crop_pct", "a share of 0.1 to 2 is needed");
  p.crop = Crop::round;
  p.filter = parse_filter(f.text("interpolation", "bicubic"));
  p.mean = f.triple("mean", kImagenetMean);
  p.std = f.divisors("std", kImagenetStd);
  const auto mode = f.text("crop_mode", "center");
  if (mode == "center") {
    p.resize = Resize::shortest;
  } else if (mode == "squash") {
    p.resize = Resize::exact;
  } else if (mode == "border") {
    p.resize = Resize::longest;
    for (size_t c = 0; c < 3; ++c) {
      p.border[c] = static_cast<uint8_t>(std::lrint(std::clamp(255.0 * p.mean[c], 0.0, 255.0)));
    }
  } else {
    f.wrong("crop_mode", "center, squash or border is needed");
  }
  return p.with_size(p.crop_height, p.crop_width);
}

ImageProcessor ImageProcessor::from_open_clip(const json& config, int64_t height, int64_t width,
                                              const std::string& file) {
  const Fields f(config, file);
  ImageProcessor p;
  p.resize_height = p.crop_height = height;
  p.resize_width = p.crop_width = width;
  p.crop = Crop::round;
  p.filter = parse_filter(f.text("interpolation", "bicubic"));
  p.mean = f.triple("mean", kClipMean);
  p.std = f.divisors("std", kClipStd);
  const auto mode = f.text("resize_mode", "shortest");
  if (mode == "shortest") {
    p.resize = Resize::shortest;
    if (height != width) p.filter = Filter::bicubic;  // open_clip forgets the other one there
  } else if (mode == "longest") {
    p.resize = Resize::longest;
    p.border.fill(static_cast<uint8_t>(std::clamp(f.number("fill_color", 0), 0.0, 255.0)));
  } else if (mode == "squash") {
    p.resize = Resize::exact;
    p.crop = Crop::none;
  } else {
    f.wrong("resize_mode", "shortest, longest or squash is needed");
  }
  return p;
}

}  // namespace ocelli
