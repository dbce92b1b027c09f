#include "ocelli/backend/cpu/cpu.h"

namespace ocelli::backend {

const Backend& cpu() {
  static const Cpu backend;
  return backend;
}

}  // namespace ocelli::backend
