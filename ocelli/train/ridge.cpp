#include "ocelli/train/ridge.h"

#include <Eigen/Dense>

#include "ocelli/base/error.h"

namespace ocelli {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::MatrixXd matrix(const Tensor& x) {
  return Eigen::Map<const Rows>(x.data<float>(), x.size(0), x.size(1)).cast<double>();
}

Tensor tensor(const Eigen::MatrixXd& m) {
  const Tensor x = Tensor::empty({m.rows(), m.cols()});
  Eigen::Map<Rows>(x.data<float>(), m.rows(), m.cols()) = m.cast<float>();
  return x;
}

Tensor tensor(const Eigen::VectorXd& v) {
  const Tensor x = Tensor::empty({v.size()});
  Eigen::Map<Eigen::VectorXf>(x.data<float>(), v.size()) = v.cast<float>();
  return x;
}

Eigen::MatrixXd self_product(const Eigen::MatrixXd& rows) {
  Eigen::MatrixXd product = Eigen::MatrixXd::Zero(rows.cols(), rows.cols());
  product.selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
  return product.selfadjointView<Eigen::Lower>();
}

}  // namespace

RidgeProjections ridge_projections(const Tensor& images, const Tensor& captions,
                                   const std::vector<std::vector<int64_t>>& captions_of,
                                   double penalty) {
  constexpr double kShrinkage = 0.05;
  check(images.rank() == 2 && captions.rank() == 2 && images.size(0) >= 2 &&
            std::ssize(captions_of) == images.size(0),
        "ridge_projections: {} images with the captions of {}; two at least are needed",
        images.size(0), captions_of.size());
  Eigen::MatrixXd f = matrix(images);
  const Eigen::MatrixXd t = matrix(captions);
  Eigen::MatrixXd y = Eigen::MatrixXd::Zero(f.rows(), t.cols());
  int64_t count = 0;
  for (Eigen::Index i = 0; i < y.rows(); ++i) {
    const auto& own = captions_of[static_cast<size_t>(i)];
    check(!own.empty(), "ridge_projections: image {} has no caption", i);
    for (const int64_t caption : own) y.row(i) += t.row(caption);
    y.row(i) /= static_cast<double>(own.size());
    count += std::ssize(own);
  }
  const Eigen::RowVectorXd f_bar = f.colwise().mean(), y_bar = y.colwise().mean();
  f.rowwise() -= f_bar;
  y.rowwise() -= y_bar;

  Eigen::MatrixXd system = self_product(f);
  system.diagonal().array() += penalty * system.diagonal().mean();
  const Eigen::MatrixXd w = system.llt().solve(f.transpose() * y).transpose();

  Eigen::MatrixXd centred(count, t.cols());
  for (Eigen::Index row = 0; const auto& own : captions_of) {
    for (const int64_t caption : own) centred.row(row++) = t.row(caption) - y_bar;
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> c(self_product(centred) /
                                                         static_cast<double>(count));
  const Eigen::ArrayXd spread = c.eigenvalues().array().max(0);
  const Eigen::VectorXd roots = (spread + kShrinkage * spread.mean()).pow(-0.25);
  const Eigen::MatrixXd s = c.eigenvectors() * roots.asDiagonal() * c.eigenvectors().transpose();

  const Eigen::MatrixXd image = s * w;
  return {tensor(image), tensor(Eigen::VectorXd(-image * f_bar.transpose())), tensor(s),
          tensor(Eigen::VectorXd(-s * y_bar.transpose()))};
}

}  // namespace ocelli
