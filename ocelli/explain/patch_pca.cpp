#include "ocelli/explain/patch_pca.h"

#include <Eigen/Dense>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows along their first `count` principal components, which are turned so that the entry largest
// in absolute value is positive.
Matrix project(Matrix rows, int count) {
  rows.rowwise() -= rows.colwise().mean().eval();
  const Eigen::MatrixXd covariance = (rows.transpose() * rows).cast<double>();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(covariance);
  Matrix components = solver.eigenvectors().rightCols(count).rowwise().reverse().cast<float>();
  for (int c = 0; c < count; ++c) {
    Eigen::Index largest = 0;
    components.col(c).cwiseAbs().maxCoeff(&largest);
    if (components(largest, c) < 0) components.col(c) *= -1;
  }
  return rows * components;
}

bool on_border(int64_t i, const Tensor& patches) {
  const int64_t rows = patches.size(0), columns = patches.size(1);
  const int64_t y = i / columns, x = i % columns;
  return y == 0 || x == 0 || y == rows - 1 || x == columns - 1;
}

}  // namespace

std::vector<Tensor> patch_pca(std::span<const Tensor> patches, bool whole) {
  check(!patches.empty(), "patch_pca: no images");
  const int64_t width = patches[0].size(-1);
  int64_t count = 0;
  for (const Tensor& p : patches) {
    check(p.rank() == 3 && p.is_contiguous() && p.size(-1) == width,
          "patch_pca: patches are {}, not [rows, columns, {}]", p.shape(), width);
    count += p.size(0) * p.size(1);
  }
  check(width >= 3 && count >= 1, "patch_pca: {} patches of {} features", count, width);
  Matrix all(count, width);
  std::vector<bool> border;
  for (int64_t row = 0; const Tensor& p : patches) {
    const int64_t n = p.size(0) * p.size(1);
    all.middleRows(row, n) = Eigen::Map<const Matrix>(p.data<float>(), n, width);
    for (int64_t i = 0; i < n; ++i) border.push_back(on_border(i, p));
    row += n;
  }
  Matrix first = project(all, 1);
  double edge = 0;
  for (int64_t i = 0; i < count; ++i) edge += border[static_cast<size_t>(i)] ? first(i, 0) : 0;
  if (edge > 0) first *= -1;
  std::vector<Eigen::Index> kept;
  for (int64_t i = 0; i < count; ++i)
    if (whole || first(i, 0) > 0) kept.push_back(i);
  Matrix spread = Matrix::Zero(count, 3);
  if (!kept.empty()) {
    Matrix colours = project(all(kept, Eigen::all), 3);
    for (int c = 0; c < 3; ++c) {
      const float low = colours.col(c).minCoeff(), high = colours.col(c).maxCoeff();
      colours.col(c) = (colours.col(c).array() - low) / std::max(high - low, 1e-12f);
    }
    spread(kept, Eigen::all) = colours;
  }
  std::vector<Tensor> out;
  for (int64_t row = 0; const Tensor& p : patches) {
    const int64_t n = p.size(0) * p.size(1);
    out.push_back(Tensor::empty({p.size(0), p.size(1), 3}));
    Eigen::Map<Matrix>(out.back().data<float>(), n, 3) = spread.middleRows(row, n);
    row += n;
  }
  return out;
}

}  // namespace ocelli
