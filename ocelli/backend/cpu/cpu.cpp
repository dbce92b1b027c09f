#include "ocelli/backend/cpu/cpu.h"

#include <array>
#include <cstdlib>

#include "ocelli/backend/cpu/isa.h"

namespace ocelli::backend {

const Backend& cpu(Precision precision) {
  static const std::array<Cpu, 3> backends = [] {
    if (const char* isa = std::getenv("OCELLI_MAX_ISA")) limit_isa(isa);
    return std::array{Cpu(Precision::f32), Cpu(Precision::bf16), Cpu(Precision::int8)};
  }();
  return backends[static_cast<size_t>(precision)];
}

}  // namespace ocelli::backend
