#include "ocelli/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>

#include "ocelli/base/log.h"
#include "ocelli/data/random.h"
#include "ocelli/nn/drop_path.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/across_ranks.h"
#include "ocelli/train/run.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kDropPath = 1;  // a stream of random numbers

class Training {
 public:
  Training(TrainableModel& model, Objective& objective, std::shared_ptr<const Dataset> dataset,
           LoaderOptions loading, const TrainRecipe& recipe, const TrainOptions& options)
      : model_(with_lora(model, recipe)),
        objective_(objective),
        recipe_(recipe),
        options_(options),
        parameters_(grouped(model, objective, recipe)),
        optimizer_(parameters_, method_of(recipe)),
        steps_per_epoch_((steps_per_epoch(*dataset, loading) + recipe.accumulate - 1) /
                         recipe.accumulate),
        total_(recipe.epochs * steps_per_epoch_),
        schedule_(schedule_of(recipe, steps_per_epoch_)),
        every_(std::max<int64_t>(1, std::llround(recipe.checkpoints.every_epochs *
                                                 static_cast<double>(steps_per_epoch_)))),
        ranks_(options.ranks) {
    if (ranks_.size() > 1) hold_.emplace();
    if (ranks_.rank() == 0) {
      run_.emplace(options.output,
                   RunConfig{.text = options.config,
                             .total_steps = total_,
                             .keep = recipe.checkpoints.keep,
                             .metric = objective.best()},
                   options.resume);
    }
    if (recipe.average > 0) {
      average_ = std::make_unique<TrainableModel>(model.folder());
      with_lora(*average_, recipe);
    }
    fixed_ = model_.fixed_weights();
    std::ranges::copy(objective.fixed_weights(), std::back_inserter(fixed_));
    say_what_learns();
    const LoaderState state = restore();
    loader_ = std::make_unique<Loader>(std::move(dataset), std::move(loading), state);
  }

  Trained operator()() {
    try {
      if (!evaluated_) {
        evaluate();
        checkpoint();
      }
      while (step_ < total_) advance();
      if (run_) {
        run_->write_report();
        run_->end("finished");
      }
    } catch (const Error& error) {
      stop(error);
      throw;
    }
    Trained result{step_, {last_.begin(), last_.end()}, loader_->bad_samples(), {}};
    if (run_) result.checkpoint = run_->best_checkpoint().value_or(run_->last_checkpoint().value());
    return result;
  }

 private:
  static std::vector<Parameter> grouped(const TrainableModel& model, const Objective& objective,
                                        const TrainRecipe& recipe) {
    std::vector<Parameter> parameters = parameters_of(model);
    std::ranges::copy(objective.parameters(), std::back_inserter(parameters));
    set_groups(parameters, groups_of(recipe));
    return parameters;
  }

  static TrainableModel& with_lora(TrainableModel& model, const TrainRecipe& recipe) {
    const auto& l = recipe.lora;
    if (l.rank > 0) model.add_lora({l.rank, l.alpha, l.targets}, recipe.seed);
    return model;
  }

  void say_what_learns() const {
    int64_t learning = 0, all = 0;
    for (const auto& [name, tensor] : model_.tensors()) all += tensor.numel();
    for (const Parameter& parameter : parameters_) {
      if (!model_.tensors().contains(parameter.name)) all += parameter.value.numel();
      if (!parameter.frozen) learning += parameter.value.numel();
    }
    if (recipe_.lora.rank == 0 && recipe_.groups.freeze.empty()) return;
    ocelli::log(LogLevel::info,
                fmt::format("{} of {} parameters learn ({:.2f} %)", learning, all,
                            100 * static_cast<double>(learning) / static_cast<double>(all)));
  }

  LoaderState restore() {
    nlohmann::json found;
    if (run_ && run_->last_checkpoint()) {
      found = {{"folder", run_->last_checkpoint()->string()},
               {"step", run_->step()},
               {"state", run_->state()}};
    }
    found = nlohmann::json::parse(ranks_.broadcast(found.dump()));
    if (found.is_null()) return {};
    check_fixed_weights(found.at("state"));
    const fs::path checkpoint = found.at("folder").get<std::string>();
    model_.load(checkpoint);
    objective_.load(checkpoint);
    optimizer_.load(checkpoint / "training" / "optimizer.safetensors");
    if (average_) average_->load(checkpoint / "training" / "average");
    step_ = found.at("step").get<int64_t>();
    const nlohmann::json& state = found.at("state");
    evaluated_ = state.value("evaluated", true);
    return {state.at("epoch").get<int64_t>(), state.at("batch").get<int64_t>()};
  }

  std::vector<std::string> checksums() const {
    std::vector<std::string> sums;
    for (const FixedWeights& weights : fixed_) sums.push_back(weights.checksum);
    return sums;
  }

  // Against those of when the checkpoint was written.
  void check_fixed_weights(const nlohmann::json& state) const {
    const std::vector<std::string> now = checksums(), then = state.value("fixed_weights", now);
    for (size_t i = 0; i < std::min(now.size(), then.size()); ++i) {
      check(now[i] == then[i],
            "{}: its weights are not those that the run learnt upon; put them back, or begin a new "
            "run",
            fixed_[i].folder.string());
    }
  }

  // A step, or what follows the last one of an epoch.
  void advance() {
    throw_if_cancelled();
    if (hold_) stop_together();
    const auto begin = Clock::now();
    std::optional<Batch> batch = loader_->next();
    if (!batch) return;
    Mean mean;
    for (int64_t i = 0; batch; ++i) {
      differentiate(*batch, i, mean);
      batch.reset();
      if (i + 1 < recipe_.accumulate) batch = loader_->next();  // none: the epoch ends
    }
    const double loss = mean.loss;
    learn(ranks_.size() > 1 ? mean_over_ranks(mean.gradients) : mean.gradients);
    ++step_;
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::vector<Metric> values = {
        {"loss", loss}, {"lr", sizes(step_ - 1).lr}, {"grad_norm", norm_}};
    for (const auto& [name, part] : objective_.parts()) {
      values.emplace_back(name, mean_over(ranks_, part));
    }
    const int64_t images = mean.images * (objective_.takes_whole_batches() ? 1 : ranks_.size());
    log(values, {{"images_per_second", static_cast<double>(images) / took.count()}});
    if (options_.progress) options_.progress(step_, total_);
    if (step_ % steps_per_epoch_ == 0) evaluate();
    if (step_ % every_ == 0 || step_ == total_) checkpoint();
  }

  // All ranks, after the same step, where one was asked to.
  void stop_together() const {
    float asked = hold_->requested() ? 1 : 0;
    ranks_.sum({&asked, 1});
    if (asked > 0) fail(ErrorCode::cancelled, "cancelled");
  }

  // Over the images of a step.
  struct Mean {
    int64_t images = 0;
    double loss = 0;
    std::vector<Tensor> gradients = {};

    void add(int64_t count, double of_loss, const std::vector<Tensor>& of_gradients) {
      images += count;
      const double share = static_cast<double>(count) / static_cast<double>(images);
      loss += (of_loss - loss) * share;
      if (gradients.empty()) {
        gradients = of_gradients;
        return;
      }
      for (size_t i = 0; i < gradients.size(); ++i) {
        Tensor& mean = gradients[i];
        if (!mean.defined()) continue;  // no batch has one
        mean = mean + (of_gradients[i] - mean) * static_cast<float>(share);
      }
    }
  };

  // Batch `number` of the step.
  void differentiate(const Batch& batch, int64_t number, Mean& mean) {
    std::optional<backend::UseBackend> products;
    if (options_.precision != backend::Precision::f32) {
      products.emplace(backend::cpu(options_.precision));
    }
    std::vector<Tensor> gradients;
    double loss = 0;
    {
      Tape tape;
      for (const Parameter& parameter : parameters_) {
        if (!parameter.frozen) tape.watch(parameter.value);
      }
      const std::unique_ptr<Model> built = model_.build();
      const Tensor value = loss_of(*built, batch, number);
      loss = mean_over(ranks_, value.data<float>()[0]);
      if (!std::isfinite(loss)) {
        const auto bad = first_non_finite(parameters_, values());
        fail(ErrorCode::corrupt_data, "step {}: the loss is {}; {}", step_ + 1, loss,
             bad ? fmt::format("the first tensor that is not finite is {}", *bad)
                 : std::string("all weights are finite: a smaller learning rate may help"));
      }
      const Gradients found = tape.backward(value);
      for (const Parameter& parameter : parameters_) gradients.push_back(found(parameter.value));
    }
    mean.add(batch.size(), loss, gradients);
  }

  void learn(const std::vector<Tensor>& gradients) {
    const double most = recipe_.clip_grad_norm > 0 ? recipe_.clip_grad_norm
                                                   : std::numeric_limits<double>::infinity();
    try {
      norm_ = clip_grad_norm(parameters_, gradients, most);
    } catch (const Error& error) {
      fail(error.code(), "step {}: {}", step_ + 1, error.what());
    }
    optimizer_.step(gradients, sizes(step_));
    objective_.after_step(model_, step_);
    if (average_) update_average(*average_, model_, recipe_.average);
  }

  // A gradient that a rank does not have, while another does, is zero there.
  std::vector<Tensor> mean_over_ranks(const std::vector<Tensor>& gradients) const {
    std::vector<float> having;
    for (const Tensor& gradient : gradients) having.push_back(gradient.defined() ? 1 : 0);
    ranks_.sum(having);
    std::vector<Tensor> means(gradients.size());
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (having[i] == 0) continue;
      means[i] = gradients[i].defined()
                     ? contiguous(gradients[i]) * (1 / static_cast<float>(ranks_.size()))
                     : Tensor::zeros(parameters_[i].value.shape());
      ranks_.sum(means[i].values<float>());
    }
    return means;
  }

  Tensor loss_of(const Model& built, const Batch& batch, int64_t number) {
    const auto batches = static_cast<uint64_t>(step_ * recipe_.accumulate + number);
    DropPath drop(recipe_.drop_path, keyed_rng({recipe_.seed, kDropPath, batches}));
    const Recompute recompute(recipe_.grad_checkpointing);
    const Tensor loss = objective_.loss(model_, built, batch, step_);
    if (recipe_.drop_path > 0 && !drop.was_used()) {
      fail(ErrorCode::unsupported, "drop_path: the blocks of {} have none; leave it 0",
           model_.family().name);
    }
    if (recipe_.grad_checkpointing && !recompute.was_used()) {
      fail(ErrorCode::unsupported, "grad_checkpointing: {} cannot do it; leave it false",
           model_.family().name);
    }
    return loss;
  }

  StepSizes sizes(int64_t step) const {
    return objective_.sizes(step, {schedule_(step), recipe_.optimizer.weight_decay});
  }

  std::vector<Tensor> values() const {
    std::vector<Tensor> tensors;
    for (const Parameter& parameter : parameters_) tensors.push_back(parameter.value);
    return tensors;
  }

  void evaluate() {
    if (!run_) return;
    evaluated_ = false;  // a stop here is made up for after --resume
    const std::unique_ptr<Model> built = (average_ ? *average_ : model_).build();
    log(objective_.evaluate(*built), {});
    evaluated_ = true;
  }

  void log(const std::vector<Metric>& values, const std::vector<Metric>& passing) {
    if (values.empty() || !run_) return;
    run_->log(step_, values, passing);
    for (const auto& [name, value] : values) last_[name] = value;
  }

  void checkpoint() {
    if (!run_) return;
    const LoaderState at = loader_->state();
    run_->checkpoint(step_,
                     {{"epoch", at.epoch},
                      {"batch", at.batch},
                      {"evaluated", evaluated_},
                      {"fixed_weights", checksums()}},
                     [&](const fs::path& folder) {
                       const fs::path training = folder / "training";
                       fs::create_directories(training);
                       model_.save(folder);
                       objective_.save(folder);
                       optimizer_.save(training / "optimizer.safetensors");
                       if (!average_) return;
                       fs::create_directories(training / "average");
                       average_->save(training / "average");
                     });
  }

  void stop(const Error& error) {
    if (error.code() != ErrorCode::cancelled) {
      if (run_) run_->end("failed", error.what());
      return;
    }
    if (run_) {
      // Writing a checkpoint would stop, too; a second request ends it.
      clear_cancel();
      if (step_ > run_->step()) checkpoint();
      run_->end("cancelled");
      request_cancel();
    }
    ranks_.broadcast("");  // a rank that ends before rank 0 has written would end it
  }

  TrainableModel& model_;
  Objective& objective_;
  const TrainRecipe& recipe_;
  const TrainOptions& options_;
  std::vector<Parameter> parameters_;
  Optimizer optimizer_;
  int64_t steps_per_epoch_, total_;
  Schedule schedule_;
  int64_t every_;
  const Ranks& ranks_;
  std::optional<HoldCancel> hold_;  // with several ranks
  std::vector<FixedWeights> fixed_;
  std::optional<RunFolder> run_;  // of rank 0
  std::unique_ptr<TrainableModel> average_;
  std::unique_ptr<Loader> loader_;
  int64_t step_ = 0;
  bool evaluated_ = true;  // the latest epoch that is over
  double norm_ = 0;
  std::map<std::string, double> last_;
};

}  // namespace

int64_t steps_per_epoch(const Dataset& dataset, const LoaderOptions& loading) {
  const std::optional<int64_t> size =
      loading.sampling.epoch_size > 0 ? loading.sampling.epoch_size : dataset.size();
  check(size.has_value(), "train: how many samples an epoch has is not known: set epoch_size");
  const int64_t each = epoch_size(loading.sampling, *size);
  check(loading.batch_size <= each,
        "train: a batch of {} is larger than the {} samples of an epoch", loading.batch_size, each);
  return loading.sampling.drop_last ? each / loading.batch_size
                                    : (each + loading.batch_size - 1) / loading.batch_size;
}

LoaderOptions part_of_rank(LoaderOptions loading, const Ranks& ranks) {
  const int64_t world = ranks.size();
  check(loading.batch_size % world == 0, "train: a batch of {} does not divide among {} ranks",
        loading.batch_size, world);
  loading.batch_size /= world;
  loading.sampling.rank = ranks.rank();
  loading.sampling.world = world;
  return loading;
}

Trained train(TrainableModel& model, Objective& objective, std::shared_ptr<const Dataset> dataset,
              LoaderOptions loading, const TrainRecipe& recipe, const TrainOptions& options) {
  LoaderOptions part = part_of_rank(loading, options.ranks);
  return Training(model, objective, std::move(dataset),
                  objective.takes_whole_batches() ? std::move(loading) : std::move(part), recipe,
                  options)();
}

}  // namespace ocelli
