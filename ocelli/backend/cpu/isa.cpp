#include "ocelli/backend/cpu/isa.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>

#include "ocelli/base/error.h"

namespace ocelli::backend {
namespace {

struct Isa {
  const char* name;
  int64_t target;  // Highway's bit; better targets have lower bits
  bool bf16 = false, bytes = false;
};

constexpr Isa kIsas[] = {
    {"avx512_bf16", HWY_AVX3, true, true},
    {"avx512_vnni", HWY_AVX3, false, true},
    {"avx512", HWY_AVX3},
    {"avx2", HWY_AVX2},
    {"sse4", HWY_SSE4},
    {"baseline", HWY_SCALAR},
};

// Not set while the best one is used.
const Isa* limit = nullptr;

bool supports(const Isa& isa, int64_t targets) {
#if HWY_ARCH_X86
  static const bool bf16 = __builtin_cpu_supports("avx512bf16");
  static const bool bytes = __builtin_cpu_supports("avx512vnni");
#else
  constexpr bool bf16 = false, bytes = false;
#endif
  return (targets & isa.target) && (!isa.bf16 || bf16) && (!isa.bytes || bytes);
}

const Isa& best() {
  static const int64_t all = hwy::SupportedTargets();
  static const Isa& found = *std::ranges::find_if(
      kIsas, [](const Isa& isa) { return supports(isa, all) || isa.target == HWY_SCALAR; });
  return found;
}

const Isa& current() {
  return limit ? *limit : best();
}

}  // namespace

std::vector<std::string> supported_isas() {
  static const int64_t all = hwy::SupportedTargets();  // before any limit
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) {
    if (supports(isa, all)) names.emplace_back(isa.name);
  }
  return names;
}

std::string current_isa() {
  return current().name;
}

bool has_bf16_dots() {
  return current().bf16;
}

bool has_byte_dots() {
  return current().bytes;
}

void limit_isa(const std::string& name) {
  best();
  const std::vector<std::string> names = supported_isas();
  for (const Isa& isa : kIsas) {
    if (name != isa.name || std::find(names.begin(), names.end(), name) == names.end()) continue;
    hwy::SetSupportedTargetsForTest(0);
    // Everything better than `isa` goes; the baseline always stays.
    hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(isa.target - 1));
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    limit = &isa;
    return;
  }
  std::string list;
  for (const std::string& one : names) list += " " + one;
  fail(ErrorCode::invalid_argument, "instruction set '{}' is not one of this processor's:{}", name,
       list);
}

}  // namespace ocelli::backend
