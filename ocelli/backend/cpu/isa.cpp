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
};

constexpr Isa kIsas[] = {
    {"avx512", HWY_AVX3},
    {"avx2", HWY_AVX2},
    {"sse4", HWY_SSE4},
    {"baseline", HWY_SCALAR},
};

}  // namespace

std::vector<std::string> supported_isas() {
  static const int64_t all = hwy::SupportedTargets();  // before any limit
  std::vector<std::string> names;
  for (const Isa& isa : kIsas) {
    if (all & isa.target) names.emplace_back(isa.name);
  }
  return names;
}

std::string current_isa() {
  const int64_t targets = hwy::SupportedTargets();
  for (const Isa& isa : kIsas) {
    if (targets & isa.target) return isa.name;
  }
  return "baseline";
}

void limit_isa(const std::string& name) {
  const std::vector<std::string> names = supported_isas();
  for (const Isa& isa : kIsas) {
    if (name != isa.name || std::find(names.begin(), names.end(), name) == names.end()) continue;
    hwy::SetSupportedTargetsForTest(0);
    // Everything better than `isa` goes; the baseline always stays.
    hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(isa.target - 1));
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return;
  }
  std::string list;
  for (const std::string& one : names) list += " " + one;
  fail(ErrorCode::invalid_argument, "instruction set '{}' is not one of this processor's:{}", name,
       list);
}

}  // namespace ocelli::backend
