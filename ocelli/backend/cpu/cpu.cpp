#include "ocelli/backend/cpu/cpu.h"

#include <cstdlib>

#include "ocelli/backend/cpu/isa.h"

namespace ocelli::backend {

const Backend& cpu() {
  static const Cpu backend = [] {
    if (const char* isa = std::getenv("OCELLI_MAX_ISA")) limit_isa(isa);
    return Cpu();
  }();
  return backend;
}

}  // namespace ocelli::backend
