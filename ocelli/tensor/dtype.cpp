#include "ocelli/tensor/dtype.h"

#include <algorithm>
#include <array>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

struct DTypeInfo {
  DType dtype;
  size_t size;
  const char* name;
  std::array<std::string_view, 3> aliases;
};

constexpr DTypeInfo kTable[] = {
    {DType::f32, 4, "f32", {"float32", "fp32", "F32"}},
    {DType::f16, 2, "f16", {"float16", "fp16", "F16"}},
    {DType::bf16, 2, "bf16", {"bfloat16", "BF16", ""}},
    {DType::i8, 1, "i8", {"int8", "I8", ""}},
    {DType::u8, 1, "u8", {"uint8", "U8", ""}},
    {DType::i32, 4, "i32", {"int32", "I32", ""}},
    {DType::i64, 8, "i64", {"int64", "I64", ""}},
};

}  // namespace

size_t dtype_size(DType dtype) {
  return kTable[static_cast<size_t>(dtype)].size;
}
const char* dtype_name(DType dtype) {
  return kTable[static_cast<size_t>(dtype)].name;
}

DType parse_dtype(std::string_view name) {
  for (const DTypeInfo& info : kTable) {
    if (name == info.name ||
        (!name.empty() && std::ranges::find(info.aliases, name) != info.aliases.end())) {
      return info.dtype;
    }
  }
  fail(ErrorCode::invalid_argument, "unknown dtype '{}'; one of f32, f16, bf16, i8, u8, i32, i64",
       name);
}

bool is_floating_point(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

}  // namespace ocelli
