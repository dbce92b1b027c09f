// The losses of DINOv2 (Oquab et al., arXiv 2304.07193): DINO's of class tokens (Caron et al.,
// arXiv 2104.14294), iBOT's of masked patches (Zhou et al., arXiv 2111.07832), KoLeo (Sablayrolles
// et al., arXiv 1806.03198). Logits [N, K] are what a head says of N tokens to its K prototypes.
#pragma once

#include "ocelli/base/ranks.h"
#include "ocelli/tensor/tensor.h"

namespace ocelli {

// With several ranks each calls these with its rows, and N, sums, means and the nearest row are of
// the rows of all. What a rank gives to the teacher's side may have no rows.

// The teacher's side: probabilities [N, K] from logits, of which nothing is recorded.

// exp(logits / temperature), its columns scaled to sum to N / K and its rows to sum to 1, in turn,
// `iterations` times: Sinkhorn-Knopp, as in SwAV (Caron et al., arXiv 2006.09882).
Tensor sinkhorn_knopp(const Tensor& logits, double temperature, const Ranks& ranks = Ranks(),
                      int iterations = 3);

// softmax((logits - centre) / temperature), centre [K].
Tensor centred_softmax(const Tensor& logits, const Tensor& centre, double temperature);

// centre <- momentum centre + (1 - momentum) mean of the logits, in place.
void update_centre(const Tensor& centre, const Tensor& logits, double momentum,
                   const Ranks& ranks = Ranks());

// The mean over rows of the entropy, and the entropy of the mean row, in nats. Of a collapsed
// teacher's probabilities the first is log K, or both are 0.
double mean_entropy(const Tensor& probabilities, const Ranks& ranks = Ranks());
double marginal_entropy(const Tensor& probabilities, const Ranks& ranks = Ranks());

// The student's side: one number each, of which the mean over ranks is that of all rows.

// The mean over 2 + 2n pairs of views, and over the B images, of -sum_k p_k log softmax(s / t)_k:
// p of a global view, s of the other one and of the n local ones. global [2B, K], local [nB, K]
// (or undefined: none), probabilities [2B, K]; all first views come first.
Tensor dino_loss(const Tensor& global, const Tensor& local, const Tensor& probabilities,
                 double temperature);

// The same sum over k for each masked patch of a view, by the teacher's view of the same patch;
// the mean over the masked patches of a view, then over all V views. masks [V, P] u8; logits and
// probabilities [M, K], a row for each 1 in it, in order.
Tensor ibot_loss(const Tensor& logits, const Tensor& probabilities, const Tensor& masks,
                 double temperature);

// koleo() of each view's class tokens, summed: tokens [2B, C], of any length; two images or
// more in all.
Tensor koleo_loss(const Tensor& tokens, const Ranks& ranks = Ranks());

}  // namespace ocelli
