#include "ocelli/train/dinov2_loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "ocelli/base/threads.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/across_ranks.h"

namespace ocelli {
namespace {

// Of which there may be none.
void check_rows(const char* what, const Tensor& logits) {
  check(logits.rank() == 2 && logits.dtype() == DType::f32 && logits.size(1) > 0,
        "{}: logits are {} {}", what, logits.dtype(), logits.shape());
}

void check_logits(const char* what, const Tensor& logits) {
  check_rows(what, logits);
  check(logits.numel() > 0, "{}: logits are {}", what, logits.shape());
}

Tensor divided_by(const Tensor& x, double temperature) {
  check(temperature > 0, "a temperature is {}, not above 0", temperature);
  return x * static_cast<float>(1 / temperature);
}

// 1 / (count x)
Tensor share(const Tensor& x, int64_t count) {
  return Tensor::full({}, 1) / (x * static_cast<float>(count));
}

Tensor column_mean(const Tensor& x, const Ranks& ranks) {
  const double rows = sum_over(ranks, static_cast<double>(x.size(0)));
  return column_sums(ranks, x) * static_cast<float>(1 / rows);
}

double entropy(const float* probabilities, int64_t count) {
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) {
    const double p = probabilities[k];
    if (p > 0) sum -= p * std::log(p);
  }
  return sum;
}

}  // namespace

// Q = diag(u) E diag(v) for E = exp(logits / temperature): v = 1 / (K E^T u), then u = 1 / (N E v).
// What is constant along a column leaves with the first v, so that each column may begin at 1.
Tensor sinkhorn_knopp(const Tensor& logits, double temperature, const Ranks& ranks,
                      int iterations) {
  check_rows("sinkhorn_knopp", logits);
  check(iterations >= 1, "sinkhorn_knopp: {} iterations", iterations);
  const NoTape pause;
  const int64_t mine = logits.size(0), prototypes = logits.size(1);
  const auto rows = static_cast<int64_t>(sum_over(ranks, static_cast<double>(mine)));
  const Tensor e = exp(divided_by(logits - column_maxima(ranks, logits), temperature));
  Tensor u = Tensor::full({mine, 1}, 1), v;
  for (int i = 0; i < iterations; ++i) {
    const Tensor sums = mine > 0 ? matmul(u.transpose(0, 1), e) : Tensor::zeros({1, prototypes});
    v = share(sum_over(ranks, sums), prototypes);                 // [1, K]
    if (mine > 0) u = share(matmul(e, v.transpose(0, 1)), rows);  // [N, 1]
  }
  return e * v * (u * static_cast<float>(rows));
}

Tensor centred_softmax(const Tensor& logits, const Tensor& centre, double temperature) {
  check_rows("centred_softmax", logits);
  const NoTape pause;
  return softmax(divided_by(logits - centre, temperature));
}

void update_centre(const Tensor& centre, const Tensor& logits, double momentum,
                   const Ranks& ranks) {
  check_rows("update_centre", logits);
  const NoTape pause;
  const Tensor mean = column_mean(logits, ranks);
  const Tensor moved =
      centre * static_cast<float>(momentum) + mean * static_cast<float>(1 - momentum);
  std::memcpy(centre.raw(), moved.raw(), moved.nbytes());
}

double mean_entropy(const Tensor& probabilities, const Ranks& ranks) {
  const Tensor p = contiguous(probabilities);
  const int64_t rows = p.size(0), prototypes = p.size(1);
  std::vector<double> each(static_cast<size_t>(rows));
  parallel_for(rows, 4096 / prototypes + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      each[i] = entropy(p.data<float>() + i * prototypes, prototypes);
    }
  });
  return sum_over(ranks, std::accumulate(each.begin(), each.end(), 0.0)) /
         sum_over(ranks, static_cast<double>(rows));
}

double marginal_entropy(const Tensor& probabilities, const Ranks& ranks) {
  const NoTape pause;
  return entropy(column_mean(probabilities, ranks).data<float>(), probabilities.size(1));
}

Tensor dino_loss(const Tensor& global, const Tensor& local, const Tensor& probabilities,
                 double temperature) {
  check_logits("dino_loss", global);
  const int64_t images = global.size(0) / 2;
  check(global.size(0) == 2 * images && probabilities.shape() == global.shape(),
        "dino_loss: global logits are {}, the teacher's probabilities {}", global.shape(),
        probabilities.shape());
  const auto view = [=](const Tensor& x, int64_t i) {
    return x.slice(0, i * images, (i + 1) * images);
  };
  const Tensor first = view(probabilities, 0), second = view(probabilities, 1);
  const Tensor s = divided_by(global, temperature);
  Tensor sum = cross_entropy(view(s, 0), second) + cross_entropy(view(s, 1), first);
  if (!local.defined()) return sum * 0.5f;
  check(local.rank() == 2 && local.size(0) % images == 0, "dino_loss: local logits are {} for {}",
        local.shape(), global.shape());
  const int64_t count = local.size(0) / images;
  const Tensor l = divided_by(local, temperature), both = first + second;
  for (int64_t i = 0; i < count; ++i) sum = sum + cross_entropy(view(l, i), both);
  return sum * (1 / static_cast<float>(2 + 2 * count));
}

Tensor ibot_loss(const Tensor& logits, const Tensor& probabilities, const Tensor& masks,
                 double temperature) {
  check_logits("ibot_loss", logits);
  check(masks.rank() == 2 && masks.dtype() == DType::u8, "ibot_loss: masks are {} {}",
        masks.dtype(), masks.shape());
  const int64_t views = masks.size(0), patches = masks.size(1), rows = logits.size(0);
  // cross_entropy is the mean over rows; a row's weight goes with its probabilities.
  std::vector<float> weights;
  for (int64_t i = 0; i < views; ++i) {
    const uint8_t* mask = masks.data<uint8_t>() + i * patches;
    const auto masked = std::count(mask, mask + patches, uint8_t{1});
    weights.insert(weights.end(), static_cast<size_t>(masked),
                   static_cast<float>(rows) / static_cast<float>(masked * views));
  }
  check(std::ssize(weights) == rows && probabilities.shape() == logits.shape(),
        "ibot_loss: {} masked patches, but logits {} and probabilities {}", weights.size(),
        logits.shape(), probabilities.shape());
  return cross_entropy(divided_by(logits, temperature),
                       probabilities * Tensor::from<float>(weights, {rows, 1}));
}

Tensor koleo_loss(const Tensor& tokens, const Ranks& ranks) {
  check(tokens.rank() == 2 && tokens.size(0) % 2 == 0, "koleo_loss: tokens are {}", tokens.shape());
  constexpr float kEps = 1e-8f;
  const int64_t images = tokens.size(0) / 2;
  const Tensor x = normalize(tokens, kEps);
  return koleo(gather(ranks, x.slice(0, 0, images)), kEps) +
         koleo(gather(ranks, x.slice(0, images, 2 * images)), kEps);
}

}  // namespace ocelli
