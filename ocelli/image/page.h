// Parts of the pages that the program writes: one file, nothing loaded from elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "ocelli/image/image.h"

namespace ocelli::page {

// The style of cards in a grid, and what stands after them in <main>.
extern const std::string_view kCards, kEnd;

// What stands before <header> and <main>: the title, colours for light and dark, and `style`.
std::string head(std::string_view title, std::string_view style = kCards);

// Text as HTML shows it.
std::string escape(std::string_view text);

// A data: URL with the image as JPEG.
std::string inline_jpeg(const Image& image);

}  // namespace ocelli::page
