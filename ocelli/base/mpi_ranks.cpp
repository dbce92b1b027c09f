// The module libocelli_mpi.so: ranks by MPI.
#include <mpi.h>

#include <cstdlib>

#include "ocelli/base/ranks.h"

namespace ocelli {
namespace {

// MPI's own handler ends the job where a call fails.
class MpiRanks final : public Ranks {
 public:
  MpiRanks() {
    MPI_Init(nullptr, nullptr);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }
  ~MpiRanks() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  void sum(std::span<float> values) const override {
    MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_FLOAT, MPI_SUM,
                  MPI_COMM_WORLD);
  }

  void gather(std::span<const float> mine, std::span<float> all) const override {
    const int count = static_cast<int>(mine.size());
    MPI_Allgather(mine.data(), count, MPI_FLOAT, all.data(), count, MPI_FLOAT, MPI_COMM_WORLD);
  }

  std::string broadcast(std::string text) const override {
    auto size = static_cast<unsigned long>(text.size());
    MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
    text.resize(size);
    MPI_Bcast(text.data(), static_cast<int>(size), MPI_CHAR, 0, MPI_COMM_WORLD);
    return text;
  }

  void abort(int status) const override {
    MPI_Abort(MPI_COMM_WORLD, status);
    std::abort();
  }

 private:
  int rank_ = 0, size_ = 1;
};

}  // namespace
}  // namespace ocelli

extern "C" ocelli::Ranks* ocelli_mpi_ranks() {
  return new ocelli::MpiRanks();
}
