#include "ocelli/data/functional.h"

#include <gtest/gtest.h>

#include <map>

#include "ocelli/data/augment.h"
#include "tests/data/goldens.h"
#include "tests/support/expect_error.h"

namespace ocelli {
namespace {

using Arguments = std::vector<double>;
using Call = std::function<Image(const Image&, const Arguments&)>;

Window window_of(const Arguments& a) {
  return {static_cast<int64_t>(a[0]), static_cast<int64_t>(a[1]), static_cast<int64_t>(a[2]),
          static_cast<int64_t>(a[3])};
}

// By the names of the golden script.
const std::map<std::string, Call>& calls() {
  namespace f = functional;
  using I = const Image&;
  using A = const Arguments&;
  const auto number = [](double v) { return static_cast<float>(v); };
  static const std::map<std::string, Call> all = {
      {"adjust_brightness", [=](I i, A a) { return f::adjust_brightness(i, number(a[0])); }},
      {"adjust_contrast", [=](I i, A a) { return f::adjust_contrast(i, number(a[0])); }},
      {"adjust_saturation", [=](I i, A a) { return f::adjust_saturation(i, number(a[0])); }},
      {"adjust_sharpness", [=](I i, A a) { return f::adjust_sharpness(i, number(a[0])); }},
      {"adjust_hue", [](I i, A a) { return f::adjust_hue(i, a[0]); }},
      {"rgb_to_grayscale", [](I i, A) { return f::rgb_to_grayscale(i); }},
      {"horizontal_flip", [](I i, A) { return f::horizontal_flip(i); }},
      {"invert", [](I i, A) { return f::invert(i); }},
      {"autocontrast", [](I i, A) { return f::autocontrast(i); }},
      {"equalize", [](I i, A) { return f::equalize(i); }},
      {"solarize", [](I i, A a) { return f::solarize(i, a[0]); }},
      {"posterize", [](I i, A a) { return f::posterize(i, static_cast<int>(a[0])); }},
      {"gaussian_blur",
       [](I i, A a) { return f::gaussian_blur(i, static_cast<int64_t>(a[0]), a[1]); }},
      {"rotate", [](I i, A a) { return f::rotate(i, a[0]); }},
      {"resized_crop",
       [](I i, A a) {
         return f::resized_crop(i, window_of(a), static_cast<int64_t>(a[4]),
                                static_cast<int64_t>(a[5]), static_cast<Filter>(a[6]));
       }},
      {"augment_op",
       [](I i, A a) {
         return AugmentOp{static_cast<AugmentOp::Kind>(a[0]), a[1]}.apply(i);
       }},
  };
  return all;
}

// Byte for byte what torchvision makes of a PIL image; its blur works on tensors in f32, whose sums
// are in another order.
TEST(Functional, EqualsTorchvision) {
  const auto& cases = golden_json()["cases"];
  ASSERT_GT(cases.size(), 150u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string call = cases[i]["call"];
    const Image result = calls().at(call)(golden_image(cases[i]["image"]), cases[i]["arguments"]);
    const Tensor expected = golden_tensor("output." + std::to_string(i));
    ASSERT_EQ(result.pixels.shape(), expected.shape()) << cases[i];
    int worst = 0, different = 0;
    for (int64_t k = 0; k < expected.numel(); ++k) {
      const int off = std::abs(int{result.data()[k]} - int{expected.data<uint8_t>()[k]});
      worst = std::max(worst, off);
      different += off > 0;
    }
    EXPECT_LE(worst, call == "gaussian_blur" ? 1 : 0)
        << cases[i] << ": " << different << " of " << expected.numel();
  }
}

TEST(Functional, RefusesWhatItCannotDo) {
  const Image image = golden_image("photo");
  using namespace functional;
  constexpr auto kCode = ErrorCode::invalid_argument;
  expect_error(kCode, {"crop: 9 x 3", "23 x 17"}, [&] { crop(image, {0, 15, 3, 9}); });
  expect_error(kCode, {"hue_factor 0.6"}, [&] { adjust_hue(image, 0.6); });
  expect_error(kCode, {"kernel_size 4"}, [&] { gaussian_blur(image, 4, 1); });
  expect_error(kCode, {"0 bits"}, [&] { posterize(image, 0); });
}

// Where the blur reaches further than the image is wide.
TEST(Functional, BlursImagesOfOnePixel) {
  const Image image{Tensor::from<uint8_t>(std::vector<uint8_t>{10, 20, 30}, {1, 1, 3}), "one"};
  const Image blurred = functional::gaussian_blur(image, 9, 2);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(blurred.data()[c], image.data()[c]);
}

}  // namespace
}  // namespace ocelli
