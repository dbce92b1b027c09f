// Seeded random numbers, the same on every machine. Salmon et al., "Parallel random numbers: as
// easy as 1, 2, 3" (Philox 4x32-10): the n-th number is a function of (seed, n) alone.
#pragma once

#include <array>
#include <cstdint>

namespace ocelli {

class Rng {
 public:
  explicit Rng(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next_u32();
  float uniform();  // [0, 1)
  float normal();   // mean 0, variance 1 (Box-Muller)
  // Normal cut to two standard deviations, as torch.nn.init.trunc_normal_ does.
  float truncated_normal();

 private:
  uint64_t seed_, stream_, block_ = 0;
  std::array<uint32_t, 4> buffer_{};
  int used_ = 4;
};

}  // namespace ocelli
