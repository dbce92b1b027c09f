#include "ocelli/engine/linear_probe.h"

#include <Eigen/Dense>
#include <algorithm>
#include <limits>

#include "ocelli/base/error.h"
#include "ocelli/base/progress.h"

namespace ocelli {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using FloatMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int64_t kRowsAtOnce = 1024;  // rows held in double at once

class Ridge {
 public:
  Ridge(const Tensor& rows, const std::vector<int64_t>& class_of, int64_t classes)
      : rows_(rows), class_of_(class_of), count_(rows.size(0)), classes_(classes) {
    row_mean_ = Vector::Zero(rows.size(1));
    target_mean_ = Vector::Zero(classes);
    Vector row_sum = row_mean_, target_sum = target_mean_;
    for_blocks([&](const Matrix& x, const Matrix& y) {
      row_sum += x.colwise().sum();
      target_sum += y.colwise().sum();
    });
    row_mean_ = row_sum / static_cast<double>(count_);
    target_mean_ = target_sum / static_cast<double>(count_);
    Matrix gram = Matrix::Zero(rows.size(1), rows.size(1));
    products_ = Matrix::Zero(rows.size(1), classes);
    for_blocks([&](const Matrix& x, const Matrix& y) {
      gram.noalias() += x.transpose() * x;
      products_.noalias() += x.transpose() * y;
    });
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(gram);
    axes_ = solver.eigenvectors();
    squares_ = solver.eigenvalues().cwiseMax(0);
    products_ = axes_.transpose() * products_;
  }

  // A row left out is missed by (y - Xw) / (1 - h), h the diagonal of X (X^T X + alpha)^-1 X^T, and
  // 1 / N for the mean.
  double error(double alpha) const {
    const Vector scale = (squares_.array() + alpha).inverse();
    const Matrix weight = scale.asDiagonal() * products_;
    double sum = 0;
    for_blocks([&](const Matrix& x, const Matrix& y) {
      const Matrix z = x * axes_;
      const Vector h = (z.cwiseAbs2() * scale).array() + 1 / static_cast<double>(count_);
      const Vector missed = (y - z * weight).rowwise().squaredNorm();
      sum += (missed.array() / (1 - h.array()).square()).sum();
    });
    return sum;
  }

  LinearProbe solution(double alpha) const {
    const Vector scale = (squares_.array() + alpha).inverse();
    const Matrix weight = (axes_ * (scale.asDiagonal() * products_)).transpose();
    const Vector bias = target_mean_ - weight * row_mean_;
    const Tensor normals = Tensor::empty({classes_, rows_.size(1)});
    const Tensor offsets = Tensor::empty({classes_});
    Eigen::Map<FloatMatrix>(normals.data<float>(), weight.rows(), weight.cols()) =
        weight.cast<float>();
    Eigen::Map<Eigen::VectorXf>(offsets.data<float>(), bias.size()) = bias.cast<float>();
    return {LinearWeight(normals, offsets), alpha};
  }

 private:
  // Rows and targets, without the means that are known.
  template <typename Use>
  void for_blocks(const Use& use) const {
    const int64_t width = rows_.size(1);
    for (int64_t begin = 0; begin < count_; begin += kRowsAtOnce) {
      throw_if_cancelled();
      const int64_t n = std::min(kRowsAtOnce, count_ - begin);
      Matrix x = Eigen::Map<const FloatMatrix>(rows_.data<float>() + begin * width, n, width)
                     .cast<double>();
      Matrix y = Matrix::Constant(n, classes_, -1);
      for (int64_t i = 0; i < n; ++i) y(i, class_of_[static_cast<size_t>(begin + i)]) = 1;
      x.rowwise() -= row_mean_.transpose();
      y.rowwise() -= target_mean_.transpose();
      use(x, y);
    }
  }

  const Tensor& rows_;
  const std::vector<int64_t>& class_of_;
  const int64_t count_, classes_;
  Vector row_mean_, target_mean_;
  Matrix axes_, products_;  // of X^T X, [D, D]; axes^T X^T Y, [D, classes]
  Vector squares_;          // eigenvalues of X^T X
};

}  // namespace

LinearProbe fit_linear_probe(const Tensor& rows, const std::vector<int64_t>& class_of,
                             int64_t classes, const std::vector<double>& alphas) {
  check(rows.size(0) >= 2 && classes >= 2,
        "a linear probe learns from at least 2 images of 2 classes; here are {} of {}",
        rows.size(0), classes);
  const Ridge ridge(rows, class_of, classes);
  std::pair<double, double> best = {std::numeric_limits<double>::infinity(), alphas.at(0)};
  for (const double alpha : alphas) best = std::min(best, {ridge.error(alpha), alpha});
  return ridge.solution(best.second);
}

std::vector<int64_t> predict(const LinearProbe& probe, const Tensor& rows) {
  const Tensor scores = linear(rows, probe.planes);
  std::vector<int64_t> classes;
  for (int64_t i = 0; i < scores.size(0); ++i) {
    const auto row = scores.select(0, i);
    const auto values = row.values<float>();
    classes.push_back(std::ranges::max_element(values) - values.begin());
  }
  return classes;
}

}  // namespace ocelli
