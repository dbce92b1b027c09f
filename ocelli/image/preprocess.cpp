#include "ocelli/image/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ocelli {
namespace {

using nlohmann::json;

struct Size {
  int64_t height, width;
};

template <typename T>
T field(const json& config, const char* name, T fallback, const std::string& file) {
  const auto entry = config.find(name);
  if (entry == config.end() || entry->is_null()) return fallback;
  try {
    return entry->get<T>();
  } catch (const json::exception&) {
    fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}, which has the wrong type", file, name,
         entry->dump().substr(0, 80));
  }
}

std::array<float, 3> triple(const json& config, const char* name, std::array<float, 3> fallback,
                            const std::string& file) {
  if (!config.contains(name) || config[name].is_null()) return fallback;
  const json& value = config[name];
  if (!value.is_array() || value.size() != 3 ||
      !std::ranges::all_of(value, [](const json& x) { return x.is_number(); })) {
    fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}; three numbers are needed", file, name,
         value.dump().substr(0, 80));
  }
  return {value[0].get<float>(), value[1].get<float>(), value[2].get<float>()};
}

int64_t side(const json& value, const char* name, const std::string& file) {
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > (1 << 16)) {
    fail(ErrorCode::corrupt_data, "{}: the field '{}' holds {}, which is no image size", file, name,
         value.dump().substr(0, 80));
  }
  return value.get<int64_t>();
}

// Size of the resized image, before cropping.
Size resized_size(const ImageProcessor& p, int64_t height, int64_t width) {
  using Resize = ImageProcessor::Resize;
  switch (p.resize) {
    case Resize::none:
      return {height, width};
    case Resize::exact:
      return {p.resize_height, p.resize_width};
    case Resize::shortest: {
      const int64_t edge = p.resize_height, shorter = std::min(height, width),
                    longer = std::max(height, width);
      const auto other = std::max<int64_t>(
          static_cast<int64_t>(static_cast<double>(edge * longer) / static_cast<double>(shorter)),
          1);
      return height <= width ? Size{edge, other} : Size{other, edge};
    }
    case Resize::longest: {
      const double ratio =
          std::max(static_cast<double>(height) / static_cast<double>(p.resize_height),
                   static_cast<double>(width) / static_cast<double>(p.resize_width));
      // Python's round: halves to even.
      return {std::max<int64_t>(std::lrint(static_cast<double>(height) / ratio), 1),
              std::max<int64_t>(std::lrint(static_cast<double>(width) / ratio), 1)};
    }
  }
  return {height, width};
}

// Where the crop begins; negative when the image is smaller and gets borders.
int64_t crop_offset(ImageProcessor::Crop crop, int64_t size, int64_t wanted) {
  const int64_t spare = size - wanted;
  if (crop == ImageProcessor::Crop::floor) {
    // transformers pads so that the left border is the larger half.
    return spare >= 0 ? spare / 2 : -((-spare + 1) / 2);
  }
  return spare >= 0 ? std::lrint(static_cast<double>(spare) / 2.0) : -(-spare / 2);
}

void normalise(const ImageProcessor& p, const uint8_t* from, int64_t pixels, float* into) {
  // A byte has 256 values: each channel is a table.
  float table[256][3];
  for (int v = 0; v < 256; ++v) {
    for (size_t c = 0; c < 3; ++c) {
      table[v][c] = (static_cast<float>(v) * p.scale - p.mean[c]) / p.std[c];
    }
  }
  for (int64_t i = 0; i < pixels; ++i, from += 3, into += 3) {
    into[0] = table[from[0]][0];
    into[1] = table[from[1]][1];
    into[2] = table[from[2]][2];
  }
}

struct Plan {
  Size resized, out;
  int64_t top, left;  // of the crop in the resized image; may be negative
};

Plan plan(const ImageProcessor& p, const Image& image) {
  Plan result{resized_size(p, image.height(), image.width()), {}, 0, 0};
  result.out = result.resized;
  if (p.crop != ImageProcessor::Crop::none) {
    result.out = {p.crop_height, p.crop_width};
    result.top = crop_offset(p.crop, result.resized.height, p.crop_height);
    result.left = crop_offset(p.crop, result.resized.width, p.crop_width);
  }
  return result;
}

void run(const ImageProcessor& p, const Image& image, const Plan& plan, float* out) {
  const int64_t top = std::max<int64_t>(plan.top, 0), left = std::max<int64_t>(plan.left, 0);
  const Window window{top, left, std::min(plan.top + plan.out.height, plan.resized.height) - top,
                      std::min(plan.left + plan.out.width, plan.resized.width) - left};
  const Tensor part =
      resize_window(image, plan.resized.height, plan.resized.width, p.filter, window);
  if (window.height == plan.out.height && window.width == plan.out.width) {
    return normalise(p, part.data<uint8_t>(), window.height * window.width, out);
  }
  const Tensor framed = Tensor::zeros({plan.out.height, plan.out.width, 3}, DType::u8);
  for (int64_t y = 0; y < window.height; ++y) {
    std::memcpy(
        framed.data<uint8_t>() + ((y + top - plan.top) * plan.out.width + left - plan.left) * 3,
        part.data<uint8_t>() + y * window.width * 3, static_cast<size_t>(window.width) * 3);
  }
  normalise(p, framed.data<uint8_t>(), plan.out.height * plan.out.width, out);
}

}  // namespace

std::array<int64_t, 2> ImageProcessor::output_size() const {
  if (crop != Crop::none) return {crop_height, crop_width};
  return {resize_height, resize_width};
}

ImageProcessor ImageProcessor::with_size(int64_t height, int64_t width) const {
  ImageProcessor p = *this;
  if (crop == Crop::none) {
    p.resize_height = height;
    p.resize_width = width;
    return p;
  }
  const auto scaled = [](int64_t edge, int64_t now, int64_t before) {
    return std::max<int64_t>(edge * now / std::max<int64_t>(before, 1), 1);
  };
  p.resize_height = scaled(resize_height, height, crop_height);
  p.resize_width = scaled(resize_width, width, crop_width);
  if (resize == Resize::shortest)
    p.resize_height = scaled(resize_height, std::max(height, width), crop_height);
  p.crop_height = height;
  p.crop_width = width;
  return p;
}

ImageProcessor ImageProcessor::from_transformers(const json& config, const std::string& file) {
  ImageProcessor p;
  const std::string type =
      field<std::string>(config, "image_processor_type",
                         field<std::string>(config, "feature_extractor_type", "", file), file);
  const bool clip_like =
      type.starts_with("CLIP") || type.starts_with("ChineseCLIP") || type.starts_with("BitImage");
  if (config.contains("size") && !config["size"].is_null()) {
    const json& size = config["size"];
    if (size.is_number()) {  // before transformers 4.26: CLIP meant the shorter edge, ViT a square
      p.resize_height = p.resize_width = side(size, "size", file);
      const bool shortest = clip_like || (config.contains("crop_size") &&
                                          !type.starts_with("ViT") && !type.starts_with("DeiT"));
      p.resize = shortest ? Resize::shortest : Resize::exact;
    } else if (size.is_array() && size.size() == 2) {
      p.resize_width = side(size[0], "size", file);
      p.resize_height = side(size[1], "size", file);
    } else if (size.is_object() && size.contains("shortest_edge")) {
      p.resize_height = p.resize_width = side(size["shortest_edge"], "size", file);
      p.resize = Resize::shortest;
    } else if (size.is_object() && size.contains("height") && size.contains("width")) {
      p.resize_height = side(size["height"], "size", file);
      p.resize_width = side(size["width"], "size", file);
    } else {
      fail(ErrorCode::corrupt_data,
           "{}: the field 'size' is {}; shortest_edge, or height and width, are needed", file,
           size.dump().substr(0, 80));
    }
  }
  // ConvNext: below 384 the image is resized to edge / crop_pct and cropped to the edge.
  const auto crop_pct = field<double>(config, "crop_pct", 0.0, file);
  bool crops =
      field<bool>(config, "do_center_crop", config.contains("crop_size") && clip_like, file);
  if (crop_pct > 0 && p.resize == Resize::shortest && !config.contains("crop_size")) {
    p.crop_height = p.crop_width = p.resize_height;
    if (p.resize_height < 384) {
      p.resize_height = p.resize_width =
          static_cast<int64_t>(static_cast<double>(p.resize_height) / crop_pct);
      crops = true;
    } else {
      p.resize = Resize::exact;
    }
  } else if (config.contains("crop_size") && !config["crop_size"].is_null()) {
    const json& crop = config["crop_size"];
    if (crop.is_object() && crop.contains("height") && crop.contains("width")) {
      p.crop_height = side(crop["height"], "crop_size", file);
      p.crop_width = side(crop["width"], "crop_size", file);
    } else {
      p.crop_height = p.crop_width = side(crop, "crop_size", file);
    }
  }
  if (crops) p.crop = Crop::floor;
  if (!field<bool>(config, "do_resize", true, file)) p.resize = Resize::none;
  const int filter = field<int>(config, "resample", type.starts_with("ViT") ? 2 : 3, file);
  if (filter < 0 || filter > 5) {
    fail(ErrorCode::corrupt_data, "{}: the field 'resample' is {}; 0 to 5 are Pillow's filters",
         file, filter);
  }
  p.filter = static_cast<Filter>(filter);
  p.scale = field<bool>(config, "do_rescale", true, file)
                ? static_cast<float>(field<double>(config, "rescale_factor", 1.0 / 255, file))
                : 1.0f;
  p.mean = triple(config, "image_mean", p.mean, file);
  p.std = triple(config, "image_std", p.std, file);
  if (!field<bool>(config, "do_normalize", true, file)) {
    p.mean = {0, 0, 0};
    p.std = {1, 1, 1};
  }
  return p;
}

// timm.data.create_transform for evaluation.
ImageProcessor ImageProcessor::from_timm(const json& config, const std::string& file) {
  ImageProcessor p;
  int64_t height = 224, width = 224;
  const char* key = config.contains("test_input_size") ? "test_input_size" : "input_size";
  if (config.contains(key)) {
    const json& size = config[key];
    if (!size.is_array() || size.size() != 3) {
      fail(ErrorCode::corrupt_data, "{}: the field '{}' is {}; [3, height, width] is needed", file,
           key, size.dump().substr(0, 80));
    }
    height = side(size[1], key, file);
    width = side(size[2], key, file);
  }
  const auto crop_pct = field<double>(
      config, config.contains("test_crop_pct") ? "test_crop_pct" : "crop_pct", 0.875, file);
  if (!(crop_pct > 0 && crop_pct <= 2))
    fail(ErrorCode::corrupt_data, "{}: the field 'crop_pct' is {}", file, crop_pct);
  const auto mode = field<std::string>(config, "crop_mode", "center", file);
  p.crop_height = height;
  p.crop_width = width;
  p.resize_height = static_cast<int64_t>(std::floor(static_cast<double>(height) / crop_pct));
  p.resize_width = static_cast<int64_t>(std::floor(static_cast<double>(width) / crop_pct));
  p.crop = Crop::round;
  p.resize = mode == "squash"   ? Resize::exact
             : mode == "border" ? Resize::longest
                                : Resize::shortest;
  p.filter = parse_filter(field<std::string>(config, "interpolation", "bicubic", file));
  p.mean = triple(config, "mean", {0.485f, 0.456f, 0.406f}, file);
  p.std = triple(config, "std", {0.229f, 0.224f, 0.225f}, file);
  return p;
}

ImageProcessor ImageProcessor::from_open_clip(const json& config, int64_t height, int64_t width,
                                              const std::string& file) {
  ImageProcessor p;
  p.resize_height = p.crop_height = height;
  p.resize_width = p.crop_width = width;
  const auto mode = field<std::string>(config, "resize_mode", "shortest", file);
  p.resize = mode == "squash"    ? Resize::exact
             : mode == "longest" ? Resize::longest
                                 : Resize::shortest;
  p.crop = mode == "squash" ? Crop::none : Crop::round;
  p.filter = parse_filter(field<std::string>(config, "interpolation", "bicubic", file));
  p.mean = triple(config, "mean", {0.48145466f, 0.4578275f, 0.40821073f}, file);
  p.std = triple(config, "std", {0.26862954f, 0.26130258f, 0.27577711f}, file);
  return p;
}

Tensor preprocess(const ImageProcessor& processor, const Image& image) {
  const Plan steps = plan(processor, image);
  const Tensor out = Tensor::empty({steps.out.height, steps.out.width, 3});
  run(processor, image, steps, out.data<float>());
  return out;
}

void preprocess_into(const ImageProcessor& processor, const Image& image, float* out) {
  const Plan steps = plan(processor, image);
  const auto size = processor.output_size();
  check(steps.out.height == size[0] && steps.out.width == size[1],
        "preprocess: an image of {} x {} becomes {} x {}, not the {} x {} of its batch",
        image.width(), image.height(), steps.out.width, steps.out.height, size[1], size[0]);
  run(processor, image, steps, out);
}

}  // namespace ocelli
