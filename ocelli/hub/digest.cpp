#include "ocelli/hub/digest.h"

#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

namespace ocelli::hub {
namespace {

std::string hexadecimal(std::span<const unsigned char> bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

}  // namespace

bool is_digest(const std::string& name) {
  return (name.size() == 40 || name.size() == 64) && std::ranges::all_of(name, [](unsigned char c) {
           return std::isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

std::string digest_of(const std::filesystem::path& file, const std::string& like) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(ErrorCode::io, "{}: cannot be read", file.string());
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  const bool git = like.size() == 40;
  bool good = context && EVP_DigestInit_ex(context.get(), git ? EVP_sha1() : EVP_sha256(), nullptr);
  if (git) {
    const std::string header = fmt::format("blob {}", std::filesystem::file_size(file));
    good = good && EVP_DigestUpdate(context.get(), header.c_str(), header.size() + 1);
  }
  std::vector<char> buffer(1 << 20);
  while (good && in) {
    throw_if_cancelled();
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    good = EVP_DigestUpdate(context.get(), buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) fail(ErrorCode::io, "{}: cannot be read", file.string());
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!good || !EVP_DigestFinal_ex(context.get(), digest, &size)) {
    fail(ErrorCode::internal, "OpenSSL cannot compute a checksum");
  }
  return hexadecimal({digest, size});
}

std::string sha256_of(std::span<const std::byte> bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (!EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr)) {
    fail(ErrorCode::internal, "OpenSSL cannot compute a checksum");
  }
  return hexadecimal({digest, size});
}

}  // namespace ocelli::hub
