// What the tests of images share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/image/decode.h"

namespace ocelli {

// Files of tests/image/data: tools/goldens/image.py.
std::filesystem::path golden(const std::string& name);
nlohmann::json golden_json(const std::string& name);

// Decodes bytes that lie in memory of exactly their size, so that a sanitizer sees reads beyond.
Image decode_bytes(const std::string& bytes, const DecodeOptions& options = {});

// The image of pseudo-random bytes that the golden script makes too.
Image noise_image(int64_t height, int64_t width, uint32_t seed);

uint32_t crc_of(const Image& image);

// `call` throws an Error of this code whose message has all the parts.
template <typename F>
void expect_error(ErrorCode code, std::initializer_list<std::string> parts, F&& call) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << error.what() << "\nlacks: " << part;
    }
  }
}

}  // namespace ocelli
