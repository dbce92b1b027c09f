#include "ocelli/train/ridge.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>

#include "ocelli/base/error.h"
#include "ocelli/nn/init.h"

namespace ocelli {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix eigen(const Tensor& x) {
  return Eigen::Map<const Matrix>(x.data<float>(), x.size(0), x.numel() / x.size(0));
}

constexpr double kPenalty = 0.5;

struct Ridge : testing::Test {
  Rng rng{1};
  Tensor images = random_normal({30, 6}, 2, rng), captions = random_normal({64, 4}, 1, rng);
  std::vector<std::vector<int64_t>> captions_of;
  Matrix f, y, c;  // about their means; c the covariance of captions, with what is added to it

  Ridge() {
    for (int64_t i = 0; i < 60; ++i)
      captions.data<float>()[i * 4] += images.data<float>()[i / 2 * 6];
    for (int64_t i = 0; i < 30; ++i)
      captions_of.push_back({2 * i, 2 * i + 1});  // the last four are nobody's
    const Matrix t = eigen(captions).topRows(60);
    f = eigen(images).rowwise() - eigen(images).colwise().mean();
    y = (t(Eigen::seqN(0, 30, 2), Eigen::all) + t(Eigen::seqN(1, 30, 2), Eigen::all)) / 2;
    const Matrix centred = t.rowwise() - y.colwise().mean();
    y.rowwise() -= y.colwise().mean().eval();
    c = centred.transpose() * centred / 60;
    c.diagonal().array() += 0.05f * c.trace() / 4;
  }
};

TEST_F(Ridge, FitsAndWhitensAsItsFormulasSay) {
  const RidgeProjections r = ridge_projections(images, captions, captions_of, kPenalty);
  const Matrix s = eigen(r.text_weight), image = eigen(r.image_weight);
  EXPECT_TRUE((s * s * s * s * c).isIdentity(1e-4f));
  // The gradient is zero: S W (F'F + penalty v I) = S Y'F.
  Matrix system = f.transpose() * f;
  system.diagonal().array() += static_cast<float>(kPenalty) * system.trace() / 6;
  EXPECT_TRUE((image * system).isApprox(s * y.transpose() * f, 1e-4f));
  // Means become zero.
  EXPECT_LT((image * eigen(images).colwise().mean().transpose() + eigen(r.image_bias)).norm(),
            1e-4f);
  const Matrix t = eigen(captions).topRows(60);
  EXPECT_LT((s * t.colwise().mean().transpose() + eigen(r.text_bias)).norm(), 1e-4f);
}

TEST_F(Ridge, RefusesWhatCannotBeFitted) {
  captions_of[3].clear();
  EXPECT_THROW(ridge_projections(images, captions, captions_of, kPenalty), Error);
  EXPECT_THROW(ridge_projections(images.slice(0, 0, 1), captions, {{0}}, kPenalty), Error);
}

}  // namespace
}  // namespace ocelli
