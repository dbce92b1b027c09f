// The processes that do one job together: those that mpirun started, each with its rank. MPI is in
// a module of its own (mpi_ranks.cpp) that is loaded only then, so nothing else depends on it.
#pragma once

#include <span>
#include <string>

namespace ocelli {

// One process alone; see ranks(). All ranks make the same calls in the same order.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  // In place: the sums over all ranks, on each.
  virtual void sum(std::span<float> values) const { (void)values; }
  // What all ranks have, in their order; as much of each.
  virtual void gather(std::span<const float> mine, std::span<float> all) const;
  // What that rank has.
  virtual std::string broadcast(std::string text, int from = 0) const {
    (void)from;
    return text;
  }
  // Ends all ranks with this exit status.
  [[noreturn]] virtual void abort(int status) const;
};

// Of this process. Throws unsupported where mpirun started several and the module is not there.
const Ranks& ranks();

}  // namespace ocelli
