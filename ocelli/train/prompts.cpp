#include "ocelli/train/prompts.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "ocelli/base/threads.h"
#include "ocelli/data/random.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/linear.h"
#include "ocelli/ops/loss.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/ops/tape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/optimizer.h"
#include "ocelli/train/schedule.h"

namespace ocelli {
namespace {

// What the text tower keeps of more tokens for their gradients is gigabytes.
constexpr int64_t kManyTokens = 4096;

// How one tensor learns: the logits it gives the images of a batch, and the step sizes.
struct Fit {
  std::function<Tensor(const Tensor& value, const Tensor& rows)> logits;
  std::function<StepSizes(int64_t step)> sizes;
  Method method;
};

int64_t steps_an_epoch(const Shots& shots, const Learning& learning) {
  return (shots.images.size(0) + learning.batch - 1) / learning.batch;
}

Learnt fit(const Tensor& start, const Tensor& classes, const Fit& how, const Learning& learning) {
  Learnt learnt{clone(start), {}};
  Optimizer optimizer({{.name = "value", .value = learnt.value}}, how.method);
  const int64_t count = classes.size(0);
  for (int64_t epoch = 0; epoch < learning.epochs; ++epoch) {
    Rng rng = keyed_rng({learning.seed, static_cast<uint64_t>(epoch)});
    const auto order = random_permutation(rng, count);
    for (int64_t begin = 0; begin < count; begin += learning.batch) {
      throw_if_cancelled();
      const int64_t size = std::min(learning.batch, count - begin);
      const Tensor rows = Tensor::empty({size}, DType::i32);
      std::copy_n(order.begin() + begin, size, rows.data<int32_t>());
      const Tensor own = Tensor::empty({size}, DType::i32);
      for (int64_t i = 0; i < size; ++i)
        own.data<int32_t>()[i] = classes.data<int32_t>()[rows.data<int32_t>()[i]];
      Tape tape;
      tape.watch(learnt.value);
      const Tensor loss = cross_entropy(how.logits(learnt.value, rows), own);
      const Tensor gradient = tape.backward(loss)(learnt.value);
      const auto step = std::ssize(learnt.losses);
      learnt.losses.push_back(loss.data<float>()[0]);
      optimizer.step({&gradient, 1}, how.sizes(step));
    }
    if (learning.progress) learning.progress(epoch + 1, learning.epochs);
  }
  return learnt;
}

// Pairs of alpha and beta, the given pair last, with the number of shots each answers rightly.
struct Grid {
  static constexpr int kSteps = 20;
  std::vector<float> alphas, betas;
  std::vector<std::vector<int64_t>> right;  // [beta][alpha]

  Grid(float alpha, float beta) {
    for (int i = 0; i < kSteps; ++i) {
      const float share = static_cast<float>(i) / kSteps;
      alphas.push_back(0.1f + share * (3 - 0.1f));
      betas.push_back(0.1f + share * (7 - 0.1f));
    }
    alphas.push_back(alpha);
    betas.push_back(beta);
    right.assign(betas.size(), std::vector<int64_t>(alphas.size()));
  }

  // The shot i, whose affinities to all keys are given, without its own key.
  void ask(size_t b, int64_t i, const Tensor& affinity, const Shots& shots,
           const Tensor& zero_shot) {
    const Tensor zero = zero_shot.select(0, i);
    const std::span<const float> logits = zero.values<float>();
    const int32_t* own = shots.classes.data<int32_t>();
    std::vector<float> sums(logits.size());
    for (int64_t j = 0; j < affinity.numel(); ++j) {
      if (j != i)
        sums[static_cast<size_t>(own[j])] += std::exp(betas[b] * (affinity.data<float>()[j] - 1));
    }
    for (size_t a = 0; a < alphas.size(); ++a) {
      const auto logit = [&](size_t c) { return logits[c] + alphas[a] * sums[c]; };
      size_t answer = 0;
      for (size_t c = 1; c < sums.size(); ++c) {
        if (logit(c) > logit(answer)) answer = c;
      }
      right[b][a] += static_cast<int32_t>(answer) == own[i];
    }
  }

  std::pair<float, float> best() const {
    int64_t most = right.back().back();
    std::pair found(alphas.back(), betas.back());
    for (size_t b = 0; b < betas.size(); ++b) {
      for (size_t a = 0; a < alphas.size(); ++a) {
        if (right[b][a] > most) most = right[b][a], found = {alphas[a], betas[b]};
      }
    }
    return found;
  }
};

}  // namespace

std::unique_ptr<Model> open_for_context(const ModelFolder& folder) {
  const Tape unpacked;  // packed weights keep nothing that a gradient needs
  const Family& family = find_family(folder);
  return family.load(folder, Weights(folder.checkpoint, {.rename = family.rename(folder)}));
}

PromptIds prompt_ids(const Model& model, const Tokenizer& tokenizer,
                     const std::vector<std::string>& names, int64_t count) {
  const TextFormat format = model.text_format();
  const auto ends = std::ssize(tokenizer.encode(""));
  if (ends != 2) {
    fail(ErrorCode::unsupported,
         "prompts: the tokenizer puts {} tokens round a text; a beginning and an end are needed",
         ends);
  }
  std::vector<std::vector<int32_t>> rows;
  int64_t longest = format.pad_to_length ? format.context_length : 0;
  for (const std::string& name : names) {
    auto ids = tokenizer.encode(name + ".");
    const int64_t length = std::ssize(ids) + count;
    check(
        length <= format.context_length,
        "prompts: the class '{}' has {} tokens, {} with the context of {} and both ends; the text "
        "tower takes {}",
        name, std::ssize(ids) - ends, length, count, format.context_length);
    // A token of the name holds the places: an ordinary one, never the end that pooling looks for.
    const int32_t ordinary = ids[1];
    ids.insert(ids.begin() + 1, static_cast<size_t>(count), ordinary);
    longest = std::max(longest, length);
    rows.push_back(std::move(ids));
  }
  const Shape shape = {std::ssize(rows), longest};
  PromptIds result{Tensor::empty(shape, DType::i32), Tensor::zeros(shape, DType::u8)};
  std::ranges::fill(result.ids.values<int32_t>(), tokenizer.info().pad_id);
  for (int64_t i = 0; i < shape[0]; ++i) {
    const auto& row = rows[static_cast<size_t>(i)];
    std::ranges::copy(row, result.ids.data<int32_t>() + i * longest);
    std::fill_n(result.mask.data<uint8_t>() + i * longest, row.size(), 1);
  }
  return result;
}

Tensor context_texts(const Model& model, const PromptIds& prompts, const Tensor& context) {
  return normalize(model.embed_prompt(prompts.ids, prompts.mask, context));
}

Tensor context_logits(const Model& model, const PromptIds& prompts, const Tensor& context,
                      const Tensor& images) {
  return matmul(images, context_texts(model, prompts, context).transpose(0, 1),
                model.similarity().scale);
}

Learnt learn_context(const Model& model, const PromptIds& prompts, const Tensor& start,
                     const Shots& shots, const Learning& learning) {
  const Schedule cosine{.base = learning.lr, .total = learning.epochs};
  const int64_t steps = steps_an_epoch(shots, learning);
  const Recompute recompute(prompts.ids.numel() > kManyTokens);
  return fit(start, shots.classes,
             {.logits =
                  [&](const Tensor& context, const Tensor& rows) {
                    return context_logits(model, prompts, context, embedding(rows, shots.images));
                  },
              .sizes = [&](int64_t step) -> StepSizes {
                const int64_t epoch = step / steps;
                return {.lr = epoch == 0 ? 1e-5 : cosine(epoch), .weight_decay = 5e-4};
              },
              .method = Sgd{.momentum = 0.9}},
             learning);
}

int64_t context_epochs(int64_t shots) {
  return shots == 1 ? 50 : shots <= 4 ? 100 : 200;
}

ImageCache make_cache(const Shots& shots, int64_t classes) {
  const int64_t count = shots.classes.size(0);
  ImageCache cache{shots.images, Tensor::zeros({count, classes})};
  for (int64_t i = 0; i < count; ++i)
    cache.values.data<float>()[i * classes + shots.classes.data<int32_t>()[i]] = 1;
  return cache;
}

Tensor cache_logits(const Tensor& images, const Tensor& zero_shot, const ImageCache& cache) {
  const Tensor affinity = matmul(images, cache.keys.transpose(0, 1));  // [B, N]
  return zero_shot + matmul(exp((affinity + -1.0f) * cache.beta), cache.values, cache.alpha);
}

void choose_sharpness(ImageCache& cache, const Shots& shots, const Tensor& zero_shot) {
  constexpr int64_t kRows = 1024;
  Grid grid(cache.alpha, cache.beta);
  const int64_t count = cache.keys.size(0);
  for (int64_t begin = 0; begin < count; begin += kRows) {
    throw_if_cancelled();
    const int64_t end = std::min(begin + kRows, count);
    const Tensor affinity =
        matmul(shots.images.slice(0, begin, end), cache.keys.transpose(0, 1));  // [rows, N]
    parallel_for(std::ssize(grid.betas), 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        for (int64_t i = begin; i < end; ++i)
          grid.ask(static_cast<size_t>(b), i, affinity.select(0, i - begin), shots, zero_shot);
      }
    });
  }
  const auto best = grid.best();
  cache.alpha = best.first;
  cache.beta = best.second;
}

Learnt learn_keys(const ImageCache& cache, const Shots& shots, const Tensor& zero_shot,
                  const Learning& learning) {
  const Schedule cosine{.base = learning.lr,
                        .total = learning.epochs * steps_an_epoch(shots, learning)};
  return fit(cache.keys, shots.classes,
             {.logits =
                  [&](const Tensor& keys, const Tensor& rows) {
                    ImageCache changed = cache;
                    changed.keys = keys;
                    return cache_logits(embedding(rows, shots.images), embedding(rows, zero_shot),
                                        changed);
                  },
              .sizes = [&](int64_t step) -> StepSizes {
                return {.lr = cosine(step), .weight_decay = 0.01};
              },
              .method = AdamW{.eps = 1e-4}},
             learning);
}

}  // namespace ocelli
