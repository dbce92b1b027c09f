// RFC 4648.
#pragma once

#include <string>
#include <string_view>

namespace ocelli {

// Throws corrupt_data naming `place`.
std::string decode_base64(std::string_view text, const std::string& place);

}  // namespace ocelli
