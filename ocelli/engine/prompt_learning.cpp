#include "ocelli/engine/prompt_learning.h"

#include "ocelli/data/random.h"
#include "ocelli/nn/init.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/train/prompts.h"

namespace ocelli {

void check_learns_prompts(const OpenModel& opened) {
  check_has_text(opened);
  const auto refuse = [&](const std::string& what) {
    fail(ErrorCode::unsupported, "{}: {}", opened.name, what);
  };
  if (opened.input_size[0] == 0)
    refuse("prompts are learnt from images; the image tower is missing");
  if (opened.model->similarity().sigmoid)
    refuse(
        "prompts are learnt with a softmax over the classes; this model has a sigmoid a pair "
        "(SigLIP's loss)");
  if (opened.model->context_width() == 0)
    refuse(fmt::format("the texts of {} take no learnt context; those of clip and bert do",
                       opened.family->name));
}

namespace {

Tensor classes_of(const LabelledRows& known) {
  const Tensor classes = Tensor::empty({std::ssize(known.class_of)}, DType::i32);
  for (size_t i = 0; i < known.class_of.size(); ++i)
    classes.data<int32_t>()[i] = static_cast<int32_t>(known.class_of[i]);
  return classes;
}

double share_right(const Tensor& logits, const std::vector<int64_t>& truth) {
  const Tensor best = argmax(logits);
  const std::span<const int32_t> answers = best.values<int32_t>();
  return static_cast<double>(count_right({answers.begin(), answers.end()}, truth)) /
         static_cast<double>(truth.size());
}

class Episodes {
 public:
  Episodes(const OpenModel& opened, const PromptOptions& options,
           const std::vector<std::string>& labels)
      : opened_(opened),
        options_(options),
        scale_(opened.model->similarity().scale),
        ids_(prompt_ids(*opened.model, opened.tokenizer(), labels, options.context)),
        single_(embed_prompts(opened, labels, {kSingleTemplate})),
        ensemble_(embed_prompts(opened, labels, options.templates)),
        learner_(open_for_context(opened.folder)) {}

  void operator()(int64_t episode, const LabelledRows& known, const LabelledRows& asked,
                  PromptResult& result) {
    const Shots shots{known.rows, classes_of(known)};
    const Tensor zero_shot = similar(asked.rows, ensemble_);
    single.push_back(share_right(similar(asked.rows, single_), asked.class_of));
    ensemble.push_back(share_right(zero_shot, asked.class_of));
    const Learnt learnt = learn(episode, shots);
    context.push_back(share_right(context_logits(*opened_.model, ids_, learnt.value, asked.rows),
                                  asked.class_of));
    const Tensor known_zero_shot = similar(known.rows, ensemble_);
    ImageCache images = make_cache(shots, std::ssize(result.labels));
    choose_sharpness(images, shots, known_zero_shot);
    cache.push_back(share_right(cache_logits(asked.rows, zero_shot, images), asked.class_of));
    const Tensor keys =
        learn_keys(
            images, shots, known_zero_shot,
            {.epochs = kKeyEpochs, .batch = kKeyBatch, .lr = kKeyRate, .seed = options_.seed})
            .value;
    ImageCache adapted = images;
    adapted.keys = keys;
    learnt_cache.push_back(
        share_right(cache_logits(asked.rows, zero_shot, adapted), asked.class_of));
    result.train = std::ssize(known.class_of);
    result.count = std::ssize(asked.class_of);
    if (episode > 0) return;
    result.context_vectors = learnt.value;
    result.first_loss = learnt.losses.front();
    result.last_loss = learnt.losses.back();
    result.texts = ensemble_;
    result.keys = images.keys;
    result.learnt_keys = keys;
    result.values = images.values;
    result.alpha = images.alpha;
    result.beta = images.beta;
  }

  std::vector<double> single, ensemble, context, cache, learnt_cache;

 private:
  Tensor similar(const Tensor& images, const Tensor& texts) const {
    return matmul(images, texts.transpose(0, 1), scale_);
  }

  Learnt learn(int64_t episode, const Shots& shots) const {
    Learning learning{.epochs = options_.epochs ? options_.epochs : context_epochs(options_.shots),
                      .batch = kContextBatch,
                      .lr = kContextRate,
                      .seed = options_.seed};
    if (options_.progress) {
      learning.progress = [&](int64_t done, int64_t total) {
        options_.progress(episode * total + done, options_.episodes * total);
      };
    }
    Rng rng = keyed_rng({options_.seed, static_cast<uint64_t>(episode)});
    const Tensor start =
        random_normal({options_.context, opened_.model->context_width()}, 0.02f, rng);
    return learn_context(*learner_, ids_, start, shots, learning);
  }

  const OpenModel& opened_;
  const PromptOptions& options_;
  float scale_;
  PromptIds ids_;
  Tensor single_, ensemble_;
  std::unique_ptr<Model> learner_;
};

}  // namespace

PromptResult learn_prompts(const OpenModel& opened, const ClassImages& train,
                           const std::optional<ClassImages>& test, const PromptOptions& options) {
  check_learns_prompts(opened);
  check_shots(train, test, options.shots);
  PromptResult result;
  result.labels = train.classes;
  Episodes run(opened, options, train.classes);
  const Forward forward = [&](const Tensor& pixels) { return embed_pixels(opened, pixels); };
  const FewShotData data = few_shot_data(opened, train, test, forward, options.train, options.test,
                                         options.shots, result.errors);
  for (int64_t i = 0; i < options.episodes; ++i) {
    const Episode episode = draw(data, options.shots, options.seed, i);
    run(i, episode.known, episode.asked, result);
  }
  result.single = estimate(run.single);
  result.ensemble = estimate(run.ensemble);
  result.context = estimate(run.context);
  result.cache = estimate(run.cache);
  result.learnt_cache = estimate(run.learnt_cache);
  return result;
}

}  // namespace ocelli
