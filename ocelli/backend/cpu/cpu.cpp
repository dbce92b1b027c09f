#include "ocelli/backend/cpu/cpu.h"

#include <array>
#include <cmath>
#include <cstdlib>

#include "ocelli/backend/cpu/isa.h"

namespace ocelli::backend {

const Backend& cpu(Precision precision) {
  static const std::array<Cpu, 4> backends = [] {
    if (const char* isa = std::getenv("OCELLI_MAX_ISA")) limit_isa(isa);
    return std::array{Cpu(Precision::f32), Cpu(Precision::bf16), Cpu(Precision::int8),
                      Cpu(Precision::int4, 32)};
  }();
  return backends[static_cast<size_t>(precision)];
}

const Backend& cpu_int4(int64_t group) {
  check(group == 32 || group == 128, "int4: groups of {}; there are 32 and 128", group);
  static const Cpu wide(Precision::int4, 128);
  return group == 32 ? cpu(Precision::int4) : wide;
}

std::shared_ptr<const Backend> cpu_int8(float low, float high) {
  check(std::isfinite(low) && low < high && std::isfinite(high - low),
        "int8: activations from {} to {} are no range", low, high);
  return std::make_shared<const Cpu>(Precision::int8, 0, ByteScale{low, (high - low) / 255});
}

}  // namespace ocelli::backend
