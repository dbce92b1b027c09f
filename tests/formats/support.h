// What the tests of the formats share.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "ocelli/base/error.h"
#include "ocelli/formats/memory_source.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace ocelli {

// Files written by the libraries that own the formats: tools/goldens/formats.py.
std::filesystem::path golden(const std::string& name);

// Opens bytes as the format they begin like, and loads every tensor. The bytes lie in memory of
// exactly their size, so that a sanitizer sees any read beyond.
std::shared_ptr<TensorSource> open_bytes(const std::string& bytes);
void load_all(const TensorSource& source);

// A header and data as a safetensors file.
std::string safetensors_bytes(const std::string& header, const std::string& data = "");

// A pickle inside the zip archive of torch.save, with one storage "0" of 16 bytes.
std::string torch_zip(const std::string& pickle);

class TempFolderTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& bytes) const;
  TempFolder temp_;
  const std::filesystem::path folder_ = temp_.path();
};

}  // namespace ocelli
