// Checksums that name a file on the hub: sha256 for large (LFS) files, git's blob sha1 for others.
#pragma once

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>

namespace ocelli::hub {

// 64 hexadecimal digits mean a sha256, 40 a git blob; other names say nothing about the contents.
bool is_digest(const std::string& name);

// The digest of a file, of the kind that `like` is. Can be cancelled.
std::string digest_of(const std::filesystem::path& file, const std::string& like);

// The sha256 of bytes, one part after the other.
std::string sha256_of(std::initializer_list<std::span<const std::byte>> parts);

}  // namespace ocelli::hub
