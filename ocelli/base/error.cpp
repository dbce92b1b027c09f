#include "ocelli/base/error.h"

namespace ocelli {

const ErrorInfo& error_info(ErrorCode code) {
  // Exit statuses follow sysexits.h where it has a fitting entry.
  static constexpr ErrorInfo kTable[] = {
      {ErrorCode::invalid_argument, "invalid_argument", 64, 400, 1, "ValueError"},
      {ErrorCode::not_found, "not_found", 66, 404, 2, "FileNotFoundError"},
      {ErrorCode::corrupt_data, "corrupt_data", 65, 422, 3, "ValueError"},
      {ErrorCode::unsupported, "unsupported", 69, 501, 4, "NotImplementedError"},
      {ErrorCode::out_of_memory, "out_of_memory", 71, 507, 5, "MemoryError"},
      {ErrorCode::cancelled, "cancelled", 130, 499, 6, "KeyboardInterrupt"},
      {ErrorCode::io, "io", 74, 503, 7, "OSError"},
      {ErrorCode::internal, "internal", 70, 500, 8, "RuntimeError"},
  };
  for (const ErrorInfo& info : kTable) {
    if (info.code == code) return info;
  }
  return kTable[std::size(kTable) - 1];
}

}  // namespace ocelli
