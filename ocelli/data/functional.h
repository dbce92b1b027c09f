// torchvision.transforms.v2.functional on 8-bit RGB images: the same names, the same bytes as
// torchvision gives for PIL images, whose arithmetic (Pillow's, in 8 bits) these follow.
// https://github.com/pytorch/vision,
// https://github.com/python-pillow/Pillow/tree/main/src/libImaging
#pragma once

#include <array>

#include "ocelli/image/image.h"
#include "ocelli/image/resize.h"

namespace ocelli::functional {

// The part `window` of the image, which must lie within it. Throws invalid_argument.
Image crop(const Image& image, const Window& window);
Image resized_crop(const Image& image, const Window& window, int64_t height, int64_t width,
                   Filter interpolation = Filter::bilinear);
Image horizontal_flip(const Image& image);

// Factors are >= 0; 1 changes nothing. Colours grow from black, from the mean grey, from grey, and
// from a smoothed image; what leaves [0, 255] is clipped.
Image adjust_brightness(const Image& image, float brightness_factor);
Image adjust_contrast(const Image& image, float contrast_factor);
Image adjust_saturation(const Image& image, float saturation_factor);
Image adjust_sharpness(const Image& image, float sharpness_factor);
// Turns the hue by a part of the circle in [-0.5, 0.5], in Pillow's 8-bit HSV.
Image adjust_hue(const Image& image, double hue_factor);

// ITU-R 601 luma in all three channels.
Image rgb_to_grayscale(const Image& image);
// Convolution with a Gaussian of kernel_size x kernel_size (odd), borders reflected.
Image gaussian_blur(const Image& image, int64_t kernel_size, double sigma);

Image invert(const Image& image);
Image solarize(const Image& image, double threshold);  // inverts values >= threshold
Image posterize(const Image& image, int bits);         // keeps the upper 1 to 8 bits
// Each channel stretched to [0, 255], and to a uniform histogram.
Image autocontrast(const Image& image);
Image equalize(const Image& image);

// Nearest neighbours at matrix * (x, y, 1), black outside: Image.transform(AFFINE).
Image affine(const Image& image, const std::array<double, 6>& matrix);
// The matrices of torchvision's affine(shear in degrees, about the upper left corner),
// affine(translate) and rotate(angle in degrees, counter-clockwise about the centre).
std::array<double, 6> shear_matrix(double shear_x, double shear_y);
std::array<double, 6> translate_matrix(double x, double y);
Image rotate(const Image& image, double angle);

}  // namespace ocelli::functional
