#include "ocelli/train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "ocelli/base/file.h"
#include "ocelli/base/rng.h"
#include "ocelli/base/threads.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/parameter_groups.h"
#include "tests/support.h"
#include "tests/support/temp_folder.h"

namespace ocelli {
namespace {

const std::string kOptimizerGoldens = OCELLI_SOURCE_DIR "/tests/goldens/train/";
const std::vector<std::string> kNames = {"blocks.0.weight", "blocks.0.bias", "head.weight", "idle"};
constexpr int kSteps = 10;

Tensor copied(const Tensor& t) {
  return Tensor::from<float>(t.values<float>(), t.shape());
}

std::vector<Parameter> parameters(const Safetensors& goldens, const std::string& prefix) {
  std::vector<Parameter> out;
  for (const std::string& name : kNames) {
    const Tensor value = copied(goldens.load(prefix + name));
    out.push_back({.name = name, .value = value, .decay = value.rank() > 1});
  }
  return out;
}

std::vector<Tensor> gradients(const Safetensors& goldens, int step) {
  std::vector<Tensor> out;
  for (const std::string& name : kNames) {
    const std::string full = fmt::format("gradient.{}.{}", step, name);
    const bool there = std::ranges::count(goldens.tensors(), full, &TensorInfo::name) > 0;
    out.push_back(there ? copied(goldens.load(full)) : Tensor());
  }
  return out;
}

void expect_near(const Tensor& value, const Tensor& expected, const std::string& what) {
  ASSERT_EQ(value.shape(), expected.shape()) << what;
  for (int64_t i = 0; i < value.numel(); ++i) {
    const float x = value.values<float>()[i], y = expected.values<float>()[i];
    EXPECT_LE(std::abs(x - y), 1e-6f * std::abs(y)) << what << " " << i << ": " << x << " " << y;
  }
}

struct Case {
  std::string name;
  Method method;
};

const std::vector<Case> kCases = {
    {"adamw", AdamW{}},
    {"adamw_betas", AdamW{.beta1 = 0.4, .beta2 = 0.95, .eps = 1e-6}},
    {"sgd", Sgd{}},
    {"sgd_momentum", Sgd{.momentum = 0.9, .dampening = 0.3}},
    {"sgd_nesterov", Sgd{.momentum = 0.9, .nesterov = true}},
    {"lars", Lars{}},
    {"lars_clip", Lars{.sgd = {.momentum = 0.9, .nesterov = true}, .trust_clip = true}},
    {"lion", Lion{}},
};

void run_steps(Optimizer& optimizer, const Safetensors& goldens, int from, int to) {
  const Tensor lr = goldens.load("lr"), weight_decay = goldens.load("weight_decay");
  for (int step = from; step < to; ++step) {
    // As the script computes them: the goldens hold them in f32 only.
    optimizer.step(gradients(goldens, step),
                   {.lr = 1e-2 / (1 + step), .weight_decay = 0.05 + 0.01 * step});
  }
}

TEST(Optimizer, StepsAreThoseOfTheReference) {
  const Safetensors goldens(kOptimizerGoldens + "steps.safetensors");
  for (const Case& c : kCases) {
    Optimizer optimizer(parameters(goldens, "start."), c.method);
    const auto compare = [&](int step) {
      for (const Parameter& p : optimizer.parameters()) {
        const std::string name = fmt::format("{}.{}.{}", c.name, step, p.name);
        expect_near(p.value, goldens.load(name), name);
      }
    };
    run_steps(optimizer, goldens, 0, 1);
    compare(0);
    run_steps(optimizer, goldens, 1, kSteps);
    compare(kSteps - 1);
  }
}

TEST(Optimizer, GoesOnFromAFileAsIfNothingHadHappened) {
  const Safetensors goldens(kOptimizerGoldens + "steps.safetensors");
  const TempFolder folder;
  for (const Case& c : kCases) {
    Optimizer undisturbed(parameters(goldens, "start."), c.method);
    run_steps(undisturbed, goldens, 0, 5);
    undisturbed.save(folder / "state.safetensors");
    std::vector<Parameter> half;
    for (const Parameter& p : undisturbed.parameters()) {
      half.push_back(p);
      half.back().value = copied(p.value);
    }
    Optimizer resumed(half, c.method);
    resumed.load(folder / "state.safetensors");
    run_steps(undisturbed, goldens, 5, kSteps);
    run_steps(resumed, goldens, 5, kSteps);
    for (size_t i = 0; i < half.size(); ++i) {
      const auto a = undisturbed.parameters()[i].value.values<float>();
      const auto b = resumed.parameters()[i].value.values<float>();
      EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size_bytes()), 0) << c.name << " " << kNames[i];
    }
  }
}

TEST(Optimizer, RefusesAStateThatIsNotItsOwn) {
  const Safetensors goldens(kOptimizerGoldens + "steps.safetensors");
  const TempFolder folder;
  const std::string file = (folder / "state.safetensors").string();
  Optimizer adamw(parameters(goldens, "start."), AdamW{});
  run_steps(adamw, goldens, 0, 1);
  adamw.save(file);
  const auto load = [&](const Method& method, std::vector<Parameter> p) {
    return complaint([&] { Optimizer(std::move(p), method).load(file); });
  };
  EXPECT_EQ(load(Lion{}, parameters(goldens, "start.")),
            file + ": holds the state of adamw, not of lion");
  auto fewer = parameters(goldens, "start.");
  fewer.erase(fewer.begin());
  EXPECT_EQ(load(AdamW{}, fewer),
            file + ": 3 of its 9 tensors belong to no parameter of this model");
  auto other = parameters(goldens, "start.");
  other[0].value = Tensor::zeros({3, 3});
  EXPECT_EQ(load(AdamW{}, other),
            file + ": blocks.0.weight.exp_avg is f32 [7, 19], not f32 [3, 3]");
}

TEST(Optimizer, RefusesWhatItCannotStep) {
  const Tensor t = Tensor::zeros({4, 2});
  const auto make = [](std::vector<Parameter> p, const Method& m) {
    return complaint([&] { Optimizer(std::move(p), m); });
  };
  EXPECT_EQ(make({{.name = "w", .value = t}, {.name = "w", .value = t}}, AdamW{}),
            "optimizer: parameter w comes twice");
  EXPECT_EQ(make({{.name = "w", .value = t.transpose(0, 1)}}, AdamW{}),
            "optimizer: parameter w is not a contiguous f32 tensor");
  EXPECT_EQ(make({}, AdamW{.beta1 = 1}), "optimizer: beta1 is 1, not in [0, 1)");
  EXPECT_EQ(make({}, Sgd{.nesterov = true}), "optimizer: nesterov needs momentum and no dampening");
  Optimizer optimizer({{.name = "w", .value = t}}, Sgd{});
  const std::vector<Tensor> wrong = {Tensor::zeros({2, 4})};
  EXPECT_EQ(complaint([&] { optimizer.step(wrong, {.lr = 1}); }),
            "optimizer: the gradient of w is f32 [2, 4], the parameter f32 [4, 2]");
  EXPECT_EQ(complaint([&] { optimizer.step({}, {.lr = 1}); }),
            "optimizer: 0 gradients for 1 parameters");
}

TEST(Optimizer, LeavesFrozenParametersAndScalesTheRate) {
  const auto one = [] { return Tensor::full({3}, 1); };
  Optimizer optimizer({{.name = "a", .value = one(), .frozen = true},
                       {.name = "b", .value = one(), .lr_scale = 0.5},
                       {.name = "c", .value = one()}},
                      Sgd{});
  const std::vector<Tensor> g = {one(), one(), one()};
  optimizer.step(g, {.lr = 0.25});
  EXPECT_EQ(optimizer.parameters()[0].value.values<float>()[2], 1.0f);
  EXPECT_EQ(optimizer.parameters()[1].value.values<float>()[2], 0.875f);
  EXPECT_EQ(optimizer.parameters()[2].value.values<float>()[2], 0.75f);
}

// Sizes with every remainder, and more than one block of the sum.
Tensor noise(int64_t n) {
  const Tensor t = Tensor::empty({n});
  Rng rng(7);
  for (float& x : t.values<float>()) x = rng.normal();
  return t;
}

TEST(Optimizer, IsTheSameForAnyNumberOfThreads) {
  const int before = num_threads();
  std::vector<std::vector<float>> results;
  std::vector<double> norms;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const std::vector<Parameter> p = {{.name = "w", .value = noise(300'007)}};
    Optimizer optimizer(p, AdamW{});
    const std::vector<Tensor> g = {noise(300'007)};
    norms.push_back(clip_grad_norm(p, g, 1.0));
    optimizer.step(g, {.lr = 0.1, .weight_decay = 0.1});
    const auto values = p[0].value.values<float>();
    results.emplace_back(values.begin(), values.end());
  }
  set_num_threads(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(norms[0], norms[2]);
}

TEST(ClipGradNorm, IsTorchs) {
  const Safetensors goldens(kOptimizerGoldens + "steps.safetensors");
  const auto p = parameters(goldens, "start.");
  std::vector<Tensor> g;
  for (const std::string& name : kNames) g.push_back(copied(goldens.load("unclipped." + name)));
  const double norm = clip_grad_norm(p, g, 3.0);
  const double expected = goldens.load("norm").values<float>()[0];
  EXPECT_NEAR(norm, expected, 1e-6 * expected);
  for (size_t i = 0; i < g.size(); ++i) {
    expect_near(g[i], goldens.load("clipped." + kNames[i]), kNames[i]);
  }
  const std::vector<float> once(g[0].values<float>().begin(), g[0].values<float>().end());
  clip_grad_norm(p, g, 1000);  // never enlarges
  EXPECT_TRUE(std::ranges::equal(once, g[0].values<float>()));
}

TEST(ClipGradNorm, SumsEachSizeInDouble) {
  for (int64_t n = 0; n < 70; ++n) {
    const Tensor x = noise(n);
    double sum = 0;
    for (const float v : x.values<float>()) sum += static_cast<double>(v) * v;
    const std::vector<Parameter> p = {{.name = "x", .value = x}};
    EXPECT_NEAR(clip_grad_norm(p, std::vector<Tensor>{x}, 1e9), std::sqrt(sum), 1e-12 * n) << n;
  }
}

TEST(ClipGradNorm, NamesTheFirstGradientThatIsNoNumber) {
  const std::vector<Parameter> p = {{.name = "a", .value = Tensor::zeros({40})},
                                    {.name = "b", .value = Tensor::zeros({40})},
                                    {.name = "c", .value = Tensor::zeros({40})}};
  for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::vector<Tensor> g = {Tensor::full({40}, 3e38f), Tensor::zeros({40}), Tensor()};
    EXPECT_FALSE(first_non_finite(p, g));
    g[1].data<float>()[37] = bad;
    EXPECT_EQ(first_non_finite(p, g), "b");
    EXPECT_EQ(complaint([&] { clip_grad_norm(p, g, 1); }),
              "the gradient of b holds NaN or infinity");
  }
}

TEST(UpdateAverage, IsTorchs) {
  const Safetensors goldens(kOptimizerGoldens + "steps.safetensors");
  const Tensor start = copied(goldens.load("start.blocks.0.weight"));
  const std::vector<Parameter> average = {{.name = "w", .value = start}};
  const std::vector<Parameter> p = {
      {.name = "w", .value = copied(goldens.load("unclipped.blocks.0.weight"))}};
  update_average(average, p, 0.992);
  expect_near(start, goldens.load("average"), "average");
  const std::vector<Parameter> other = {{.name = "v", .value = start}};
  EXPECT_EQ(complaint([&] { update_average(average, other, 0.9); }),
            "update_average: w [7, 19] does not match v [7, 19]");
}

std::vector<Parameter> named(const std::vector<std::string>& names) {
  std::vector<Parameter> out;
  for (const std::string& name : names)
    out.push_back({.name = name, .value = Tensor::zeros({2, 2})});
  return out;
}

TEST(ParameterGroups, AreTimms) {
  const auto goldens = nlohmann::json::parse(read_file(kOptimizerGoldens + "groups.json"));
  for (const auto& [model, groups] : goldens.items()) {
    std::vector<Parameter> p;
    for (const auto& [name, group] : groups.items()) {
      const auto sizes = group[0].get<std::vector<int64_t>>();
      p.push_back({.name = name, .value = Tensor::zeros(Shape(std::span(sizes)))});
    }
    set_groups(p, {.layer_decay = 0.65});
    for (const Parameter& parameter : p) {
      const auto& group = groups[parameter.name];
      EXPECT_NEAR(parameter.lr_scale, group[1].get<double>(), 1e-12) << model << parameter.name;
      EXPECT_EQ(parameter.decay, group[2].get<bool>()) << model << " " << parameter.name;
    }
  }
}

TEST(ParameterGroups, FindLayersByTheNamesOfEachLibrary) {
  EXPECT_EQ(layers_of(named({"vit.embeddings.cls_token",
                             "vit.embeddings.patch_embeddings.projection.weight",
                             "vit.encoder.layer.0.attention.output.dense.weight",
                             "vit.encoder.layer.1.layernorm_before.weight", "vit.layernorm.weight",
                             "vit.pooler.dense.weight", "classifier.weight"})),
            (std::vector<int>{0, 0, 1, 2, 2, 3, 3}));
  EXPECT_EQ(
      layers_of(named({"visual.class_embedding", "visual.conv1.weight", "visual.ln_pre.weight",
                       "visual.transformer.resblocks.0.attn.in_proj_weight",
                       "visual.transformer.resblocks.1.ln_1.weight", "visual.ln_post.weight",
                       "visual.proj", "token_embedding.weight", "positional_embedding",
                       "transformer.resblocks.0.mlp.c_fc.weight", "ln_final.weight",
                       "text_projection", "logit_scale"})),
      (std::vector<int>{0, 0, 0, 1, 2, 2, 3, 0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(
      layers_of(named(
          {"vision_model.embeddings.position_embedding.weight", "vision_model.pre_layrnorm.weight",
           "vision_model.encoder.layers.0.layer_norm1.weight", "vision_model.post_layernorm.weight",
           "visual_projection.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
           "text_model.encoder.layers.1.mlp.fc1.weight", "text_model.final_layer_norm.weight"})),
      (std::vector<int>{0, 0, 1, 1, 2, 1, 2, 2}));
}

TEST(ParameterGroups, TakePatterns) {
  auto p = named({"patch_embed.proj.weight", "blocks.0.w", "blocks.1.w", "head.weight"});
  set_groups(
      p,
      {.freeze = {"blocks.[0-5].*"}, .no_decay = {"head.*"}, .lr_scale = {{"patch_embed*", 0.2}}});
  EXPECT_EQ(p[0].lr_scale, 0.2);
  EXPECT_TRUE(p[1].frozen && p[2].frozen && !p[3].frozen);
  EXPECT_TRUE(p[0].decay && !p[3].decay);
  EXPECT_EQ(complaint([&] { set_groups(p, {.freeze = {"block.*"}}); }),
            "no parameter matches 'block.*'; they are called patch_embed.proj.weight and so on");
  EXPECT_EQ(complaint([&] { set_groups(p, {.layer_decay = 0}); }),
            "layer_decay is 0, not in (0, 1]");
}

}  // namespace
}  // namespace ocelli
