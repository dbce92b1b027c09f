// Where the time of a forward goes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ocelli/backend/backend.h"
#include "ocelli/ops/flops.h"

namespace ocelli {

// A call from an op to the backend.
struct ProfiledCall {
  std::string op, shapes;       // "linear", "197x768 -> 197x3072"
  double start_us = 0, us = 0;  // since the profile began
  int64_t flops = 0;            // of linear, matmul, conv2d and attention; else 0
  int64_t bytes = 0;            // of inputs, outputs and, of products, weights, each once
};

// Times the backend's operations that ops call from this thread while it lives.
class Profile {
 public:
  Profile();
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  const std::vector<ProfiledCall>& calls() const;

 private:
  class Timed;
  FlopCounter flops_;
  std::unique_ptr<Timed> timed_;
  backend::UseBackend use_;
};

}  // namespace ocelli
