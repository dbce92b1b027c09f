#include "ocelli/image/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ocelli {
namespace {

struct Size {
  int64_t height, width;
};

// Size of the resized image, before cropping.
Size resized_size(const ImageProcessor& p, int64_t height, int64_t width) {
  using Resize = ImageProcessor::Resize;
  if (p.resize == Resize::none) return {height, width};
  if (p.resize == Resize::exact) return {p.resize_height, p.resize_width};
  if (p.resize == Resize::shortest &&
      p.resize_height == p.resize_width) {  // torchvision: truncated
    const int64_t edge = p.resize_height, shorter = std::min(height, width);
    const auto other =
        std::max<int64_t>(static_cast<int64_t>(static_cast<double>(edge * std::max(height, width)) /
                                               static_cast<double>(shorter)),
                          1);
    return height <= width ? Size{edge, other} : Size{other, edge};
  }
  const double tall = static_cast<double>(height) / static_cast<double>(p.resize_height);
  const double wide = static_cast<double>(width) / static_cast<double>(p.resize_width);
  const double ratio = p.resize == Resize::longest ? std::max(tall, wide) : std::min(tall, wide);
  // Python's round: halves to even.
  return {std::max<int64_t>(std::lrint(static_cast<double>(height) / ratio), 1),
          std::max<int64_t>(std::lrint(static_cast<double>(width) / ratio), 1)};
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

struct Plan {
  Size resized, out;
  int64_t top, left;  // of the crop in the resized image; may be negative
};

Plan plan(const ImageProcessor& p, int64_t height, int64_t width) {
  Plan result{resized_size(p, height, width), {}, 0, 0};
  result.out = result.resized;
  if (p.crop != ImageProcessor::Crop::none) {
    result.out = {p.crop_height, p.crop_width};
    result.top = crop_offset(p.crop, result.resized.height, p.crop_height);
    result.left = crop_offset(p.crop, result.resized.width, p.crop_width);
  }
  return result;
}

Tensor cut(const ImageProcessor& p, const Image& image, const Plan& plan) {
  const int64_t top = std::max<int64_t>(plan.top, 0), left = std::max<int64_t>(plan.left, 0);
  const Window window{top, left, std::min(plan.top + plan.out.height, plan.resized.height) - top,
                      std::min(plan.left + plan.out.width, plan.resized.width) - left};
  const Tensor part =
      resize_window(image, plan.resized.height, plan.resized.width, p.filter, window);
  if (window.height == plan.out.height && window.width == plan.out.width) return part;
  const Tensor framed = Tensor::empty({plan.out.height, plan.out.width, 3}, DType::u8);
  for (int64_t i = 0; i < plan.out.height * plan.out.width; ++i) {
    std::memcpy(framed.data<uint8_t>() + 3 * i, p.border.data(), 3);
  }
  for (int64_t y = 0; y < window.height; ++y) {
    std::memcpy(
        framed.data<uint8_t>() + ((y + top - plan.top) * plan.out.width + left - plan.left) * 3,
        part.data<uint8_t>() + y * window.width * 3, static_cast<size_t>(window.width) * 3);
  }
  return framed;
}

void run(const ImageProcessor& p, const Image& image, const Plan& plan, float* out) {
  const Tensor pixels = cut(p, image, plan);
  normalise_into(p, pixels.data<uint8_t>(), plan.out.height * plan.out.width, out);
}

}  // namespace

std::array<int64_t, 2> ImageProcessor::output_size() const {
  if (crop != Crop::none) return {crop_height, crop_width};
  return {resize_height, resize_width};
}

ImageProcessor ImageProcessor::with_size(int64_t height, int64_t width) const {
  if (resize == Resize::none && crop == Crop::none) {
    fail(ErrorCode::unsupported, "the model takes images at the size they have, not at {} x {}",
         height, width);
  }
  const auto scaled = [&](int64_t edge, int64_t now, int64_t before) {
    if (crop == Crop::none) return now;
    if (crop_pct > 0) return static_cast<int64_t>(static_cast<double>(now) / crop_pct);
    return std::max<int64_t>(edge * now / std::max<int64_t>(before, 1), 1);
  };
  ImageProcessor p = *this;
  p.resize_height = scaled(resize_height, height, crop_height);
  p.resize_width = scaled(resize_width, width, crop_width);
  p.crop_height = height;
  p.crop_width = width;
  return p;
}

SeenPart seen_part(const ImageProcessor& processor, int64_t height, int64_t width) {
  const Plan steps = plan(processor, height, width);
  const double down = static_cast<double>(height) / static_cast<double>(steps.resized.height),
               across = static_cast<double>(width) / static_cast<double>(steps.resized.width);
  return {static_cast<double>(steps.top) * down, static_cast<double>(steps.left) * across,
          static_cast<double>(steps.out.height) * down,
          static_cast<double>(steps.out.width) * across};
}

Image resize_and_crop(const ImageProcessor& processor, const Image& image) {
  return {cut(processor, image, plan(processor, image.height(), image.width())), image.format};
}

void normalise_into(const ImageProcessor& p, const uint8_t* from, int64_t pixels, float* into) {
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

Tensor preprocess(const ImageProcessor& processor, const Image& image) {
  const Plan steps = plan(processor, image.height(), image.width());
  const Tensor out = Tensor::empty({steps.out.height, steps.out.width, 3});
  run(processor, image, steps, out.data<float>());
  return out;
}

void preprocess_into(const ImageProcessor& processor, const Image& image, float* out) {
  const Plan steps = plan(processor, image.height(), image.width());
  const auto size = processor.output_size();
  check(steps.out.height == size[0] && steps.out.width == size[1],
        "preprocess: an image of {} x {} becomes {} x {}, not the {} x {} of its batch",
        image.width(), image.height(), steps.out.width, steps.out.height, size[1], size[0]);
  run(processor, image, steps, out);
}

}  // namespace ocelli
