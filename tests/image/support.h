// What the tests of images share.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ocelli/image/decode.h"
#include "tests/support/expect_error.h"
#include "tests/support/noise_image.h"

namespace ocelli {

// Files of tests/image/data: tools/goldens/image.py.
std::filesystem::path golden(const std::string& name);
nlohmann::json golden_json(const std::string& name);

// Decodes bytes that lie in memory of exactly their size, so that a sanitizer sees reads beyond.
Image decode_bytes(const std::string& bytes, const DecodeOptions& options = {});

uint32_t crc_of(const Image& image);

}  // namespace ocelli
