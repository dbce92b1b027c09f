// The fast backend for processors: oneDNN and Highway kernels chosen at run time for the
// instruction set at hand. What is not overridden here is rare enough for the reference loops.
#pragma once

#include "ocelli/backend/reference/reference.h"

namespace ocelli::backend {

class Cpu final : public Reference {
 public:
  const char* name() const override { return "cpu"; }
};

}  // namespace ocelli::backend
