#include "ocelli/engine/probes.h"

#include <cmath>

#include "ocelli/engine/convert.h"
#include "ocelli/engine/few_shot.h"
#include "ocelli/models/trainable.h"
#include "ocelli/nn/init.h"
#include "ocelli/ops/norm.h"
#include "ocelli/train/neighbours.h"

namespace ocelli {
namespace {

// [classes, D], of length 1: the mean of each class's rows, which are of length 1.
Tensor prototypes(const Tensor& rows, const std::vector<int64_t>& class_of, int64_t classes) {
  const int64_t width = rows.size(1);
  const Tensor sums = Tensor::zeros({classes, width});
  for (size_t i = 0; i < class_of.size(); ++i) {
    const float* row = rows.data<float>() + static_cast<int64_t>(i) * width;
    float* sum = sums.data<float>() + class_of[i] * width;
    for (int64_t j = 0; j < width; ++j) sum[j] += row[j];
  }
  return normalize(sums);
}

// Learns from `known`; the share of `asked` that it answers rightly.
double answer(const LabelledRows& known, const LabelledRows& asked, const ProbeOptions& options,
              ProbeResult& result) {
  const int64_t classes = result.classes;
  int64_t right = 0;
  std::optional<LogisticRegression> planes;
  if (options.probe == Probe::linear) {
    planes = options.c > 0 ? fit_logistic_regression(known.rows, known.class_of, classes, options.c)
                           : fit_best_logistic_regression(known.rows, known.class_of, classes,
                                                          options.seed, {0.001, 0.01, 0.1, 1, 10});
    right = count_right(predict(*planes, asked.rows), asked.class_of);
  } else if (options.probe == Probe::prototype) {
    planes = {prototypes(known.rows, known.class_of, classes), Tensor::zeros({classes})};
    right = count_right(predict(*planes, asked.rows), asked.class_of);
  } else {
    right =
        count_knn(known.rows, known.class_of, asked.rows, asked.class_of, {.k = options.k}).top1;
  }
  if (!result.planes) result.planes = std::move(planes);
  result.train = std::ssize(known.class_of);
  result.count = std::ssize(asked.class_of);
  return static_cast<double>(right) / static_cast<double>(result.count);
}

}  // namespace

Probe parse_probe(const std::string& name) {
  if (name == "linear") return Probe::linear;
  if (name == "knn") return Probe::knn;
  if (name == "prototype") return Probe::prototype;
  fail(ErrorCode::invalid_argument, "probe '{}': linear, knn or prototype is needed", name);
}

ProbeResult run_probe(const OpenModel& opened, const ClassImages& train,
                      const std::optional<ClassImages>& test, const ProbeOptions& given) {
  ProbeOptions options = given;
  check(options.shots > 0 || test, "train: without --shots, images to test on are needed (--test)");
  check_shots(train, test, options.shots);
  if (options.shots > 0 && options.c == 0) options.c = 1;
  ProbeResult result;
  result.classes = std::ssize(train.classes);
  result.labels = train.classes;
  const bool normalized = options.probe != Probe::linear;  // planes take rows as they are
  const Forward forward = [&](const Tensor& pixels) {
    return options.features ? feature_pixels(opened, pixels, *options.features, {-1}, normalized)
                            : embed_pixels(opened, pixels, normalized);
  };
  const FewShotData data = few_shot_data(opened, train, test, forward, options.train, options.test,
                                         options.shots, result.errors);
  result.episodes = options.shots > 0 ? options.episodes : 1;
  std::vector<double> shares;
  for (int64_t i = 0; i < result.episodes; ++i) {
    throw_if_cancelled();
    const Episode episode = options.shots > 0 ? draw(data, options.shots, options.seed, i)
                                              : Episode{data.known, *data.asked};
    shares.push_back(answer(episode.known, episode.asked, options, result));
  }
  const Estimate top1 = estimate(shares);
  result.top1 = top1.mean;
  result.interval = top1.interval;
  return result;
}

void write_classifier(const OpenModel& opened, const LogisticRegression& planes,
                      const std::vector<std::string>& labels, const std::filesystem::path& output) {
  TrainableModel model(ModelFolder::open(opened.folder.path));
  model.set_classifier(labels, planes.weight, planes.bias);
  Rng rng(0);
  const Tensor pixels = random_normal({1, opened.input_size[0], opened.input_size[1], 3}, 1, rng);
  const auto built = model.build();
  const Tensor scores = built->classify(pixels),
               expected =
                   linear(built->embed_image(pixels), LinearWeight(planes.weight, planes.bias));
  for (int64_t i = 0; i < scores.numel(); ++i) {
    const float a = scores.data<float>()[i], b = expected.data<float>()[i];
    if (std::abs(a - b) > 1e-3f * (1 + std::abs(b)))
      fail(ErrorCode::unsupported, "{}: the classifier of {} does not read the embedding",
           opened.name, opened.family->name);
  }
  write_model_folder(opened.folder.path, output, "train", [&] { model.save(output); });
}

}  // namespace ocelli
