// What a model wants done to an image before it sees it: resize, crop, scale, normalise, with the
// rounding of the library that published the model. Matched are Pillow and the image processors
// built on it ("slow", in transformers 5 the classes ...Pil), with which accuracies were measured.
#pragma once

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

#include "ocelli/image/image.h"
#include "ocelli/image/resize.h"

namespace ocelli {

struct ImageProcessor {
  enum class Resize {
    none,
    shortest,  // the image covers resize_height x resize_width, its aspect kept
    longest,   // the image fits into resize_height x resize_width
    exact,     // to resize_height x resize_width, whatever the aspect
  };
  enum class Crop {
    none,
    floor,  // offset (n - crop) // 2: transformers
    round,  // offset round((n - crop) / 2), half to even: torchvision, timm, open_clip
  };

  Resize resize = Resize::exact;
  int64_t resize_height = 224, resize_width = 224;
  Filter filter = Filter::bicubic;
  Crop crop = Crop::none;
  int64_t crop_height = 224, crop_width = 224;  // smaller images get borders
  double crop_pct = 0;                          // of timm: crop / resize; 0 elsewhere
  std::array<uint8_t, 3> border = {0, 0, 0};
  float scale = 1.0f / 255;
  std::array<float, 3> mean = {0.5f, 0.5f, 0.5f}, std = {0.5f, 0.5f, 0.5f};

  // Height and width of what the model gets (unless resize is none or keeps the aspect uncropped).
  std::array<int64_t, 2> output_size() const;
  // The same processor for another input size, the ratio of resize and crop kept. Throws
  // unsupported when it takes images at whatever size they have.
  ImageProcessor with_size(int64_t height, int64_t width) const;

  // preprocessor_config.json of transformers; `file` is for messages.
  static ImageProcessor from_transformers(const nlohmann::json& config, const std::string& file);
  // The pretrained_cfg of timm; test_input_size is left alone, as timm's own default is.
  static ImageProcessor from_timm(const nlohmann::json& config, const std::string& file);
  // The preprocess_cfg of open_clip with the image size of its vision_cfg.
  static ImageProcessor from_open_clip(const nlohmann::json& config, int64_t height, int64_t width,
                                       const std::string& file);
};

// What the model sees of an image, in the image's own pixels (of 1 x 1, edge to edge); it reaches
// beyond the image where the processor adds borders.
struct SeenPart {
  double top = 0, left = 0, height = 0, width = 0;
};
SeenPart seen_part(const ImageProcessor& processor, int64_t height, int64_t width);

// The two halves of what follows: resized and cropped in 8 bits; `pixels` of three bytes scaled and
// normalised.
Image resize_and_crop(const ImageProcessor& processor, const Image& image);
void normalise_into(const ImageProcessor& processor, const uint8_t* rgb, int64_t pixels,
                    float* out);

// Normalised pixels [H, W, 3]; processors that keep the aspect uncropped give any size.
Tensor preprocess(const ImageProcessor& processor, const Image& image);
// The same into output_size() * 3 floats of a batch.
void preprocess_into(const ImageProcessor& processor, const Image& image, float* out);

}  // namespace ocelli
