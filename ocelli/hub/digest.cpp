#include "ocelli/hub/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <vector>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

namespace ocelli::hub {

bool is_digest(const std::string& name) {
  return (name.size() == 40 || name.size() == 64) && std::ranges::all_of(name, [](unsigned char c) {
           return std::isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

namespace {

class Digest {
 public:
  explicit Digest(const EVP_MD* kind) : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    good_ = context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr);
  }
  void add(const void* data, size_t size) {
    good_ = good_ && EVP_DigestUpdate(context_.get(), data, size);
  }
  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!good_ || !EVP_DigestFinal_ex(context_.get(), digest, &size)) {
      fail(ErrorCode::internal, "OpenSSL cannot compute a checksum");
    }
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
  bool good_;
};

}  // namespace

std::string digest_of(const std::filesystem::path& file, const std::string& like) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail(ErrorCode::io, "{}: cannot be read", file.string());
  const bool git = like.size() == 40;
  Digest digest(git ? EVP_sha1() : EVP_sha256());
  if (git) {
    const std::string header = fmt::format("blob {}", std::filesystem::file_size(file));
    digest.add(header.c_str(), header.size() + 1);
  }
  std::vector<char> buffer(1 << 20);
  while (in) {
    throw_if_cancelled();
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    digest.add(buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) fail(ErrorCode::io, "{}: cannot be read", file.string());
  return digest.hex();
}

std::string sha256_of(std::initializer_list<std::span<const std::byte>> parts) {
  Digest digest(EVP_sha256());
  for (const auto part : parts) digest.add(part.data(), part.size());
  return digest.hex();
}

}  // namespace ocelli::hub
