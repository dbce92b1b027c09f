#include <fmt/format.h>

#include "cli/common.h"
#include "ocelli/base/file.h"
#include "ocelli/base/log.h"
#include "ocelli/base/progress.h"
#include "ocelli/models/dual_encoder.h"
#include "ocelli/models/new_weights.h"
#include "ocelli/train/adapt.h"
#include "ocelli/train/classify.h"
#include "ocelli/train/contrastive.h"
#include "ocelli/train/selfsup.h"

namespace ocelli::cli {
namespace {

const std::vector<std::string> kTasks = {"classify", "contrastive", "selfsup", "adapt"};
const std::vector<std::string> kLosses = {"clip", "siglip"};

struct Train {
  std::string task, data, test, output, recipe_file;
  std::string target;       // of adapt
  std::string image, text;  // towers of a new model
  bool lock_image = false, lock_text = false;
  std::string loss = "clip";  // of a new model
  std::vector<std::string> overrides;
  bool resume = false;
  TrainRecipe recipe;
};

// config.toml: what was typed, and the recipe.
std::vector<Setting> settings_of(Train& train, Common& common) {
  std::vector<Setting> settings = recipe_settings(train.recipe);
  settings.push_back({"run.task", &train.task, 0, 0, kTasks});
  settings.push_back({"run.data", &train.data});
  settings.push_back({"run.test", &train.test});
  settings.push_back({"run.target", &train.target});
  settings.push_back({"run.model", &common.model});
  settings.push_back({"run.image", &train.image});
  settings.push_back({"run.text", &train.text});
  settings.push_back({"run.lock_image", &train.lock_image});
  settings.push_back({"run.lock_text", &train.lock_text});
  settings.push_back({"run.loss", &train.loss, 0, 0, kLosses});
  settings.push_back({"run.precision", &common.precision, 0, 0, {"f32", "bf16"}});
  return settings;
}

std::filesystem::path config_file(const std::string& run) {
  return std::filesystem::path(run) / "config.toml";
}

void read_recipe(Train& train, Common& common) {
  const auto config = config_file(train.output);
  if (train.resume) {
    check(train.task.empty(), "train: --resume goes on as {} says; leave out the task and data",
          config.string());
    return read_settings(settings_of(train, common), read_file(config), config.string());
  }
  check(!train.task.empty(),
        "train: a task and data are needed, as in 'ocelli train classify photos/ -o run/'");
  if (train.task == "contrastive") {  // open_clip's: captions speak of the whole image
    train.recipe.augment.crop_scale = 0.9;
    train.recipe.augment.flip = 0;
  }
  if (!train.recipe_file.empty()) train.recipe = read_train_recipe(train.recipe_file);
  const auto settings = recipe_settings(train.recipe);
  for (const std::string& assignment : train.overrides) override_setting(settings, assignment);
}

void print(const Trained& trained, bool json) {
  if (json) {
    auto metrics = nlohmann::ordered_json::object();
    for (const auto& [name, value] : trained.last) metrics[name] = value;
    return print_json({{"steps", trained.steps},
                       {"metrics", metrics},
                       {"checkpoint", trained.checkpoint.string()},
                       {"bad_samples", trained.bad.size()}});
  }
  hide_progress_bar();
  for (const auto& [name, value] : trained.last) fmt::print("{:<12} {:.5g}\n", name, value);
  fmt::print("{}\n", trained.checkpoint.string());
}

// Of `classify`, and of `adapt`, whose target has no labels.
Trained learn_classes(const Train& train, const Common& common, TrainableModel& model,
                      const TrainOptions& options) {
  const ClassifierData data = open_classifier_data(train.data, train.test);
  const auto& classes = data.train->classes();
  if (model.set_classes(classes, train.recipe.seed)) {
    log(LogLevel::info,
        fmt::format("{}: a new classifier for {} classes", common.model, classes.size()));
  }
  if (train.task == "classify") return train_classifier(model, data, train.recipe, options);
  return train_adapt(model, data, open_unlabelled(train.target), train.recipe, options);
}

Trained learn_captions(const Train& train, TrainableModel& model, const TrainOptions& options) {
  CaptionData data{open_dataset(train.data, {.target = Target::caption}), nullptr};
  if (!train.test.empty()) data.test = open_dataset(train.test, {.target = Target::caption});
  const auto tokenizer = open_tokenizer(model.folder().tokenizer_folder());
  return train_contrastive(model, data, *tokenizer, train.recipe, options);
}

Trained learn_alone(const Train& train, TrainableModel& model, const TrainOptions& options) {
  SelfsupData data{open_unlabelled(train.data), nullptr};
  if (!train.test.empty()) data.test = open_dataset(train.test, {.target = Target::label});
  return train_selfsup(model, data, train.recipe, options);
}

Trained learn(const Train& train, const Common& common, TrainableModel& model,
              const TrainOptions& options) {
  try {
    if (train.task == "selfsup") return learn_alone(train, model, options);
    if (train.task == "contrastive") return learn_captions(train, model, options);
    return learn_classes(train, common, model, options);
  } catch (const Error&) {
    if (cancel_requested() && ranks().rank() == 0 &&
        std::filesystem::exists(config_file(train.output)))
      log(LogLevel::info, fmt::format("go on with: ocelli train --resume {}", train.output));
    throw;
  }
}

TrainableModel begin_with(const Train& train, const Common& common) {
  const uint64_t seed = train.recipe.seed;
  if (train.image.empty() && train.text.empty())
    return TrainableModel(open_or_begin(common.resolve(common.model), seed));
  check(!train.image.empty() && !train.text.empty() && train.task == "contrastive",
        "train: --image and --text go together, and with contrastive");
  const auto& p = train.recipe.projections;
  const ProjectionSizes sizes = {p.width, p.hidden, p.image_size, p.ridge > 0 ? p.ridge_weight : 0};
  const bool sigmoid = train.loss == "siglip";
  const auto image = common.resolve(train.image), text = common.resolve(train.text);
  if (train.lock_image && train.lock_text) {  // they stay in their folders
    return TrainableModel(
        new_projections(ModelFolder::open(image), ModelFolder::open(text), sizes, sigmoid, seed));
  }
  return TrainableModel(new_dual_encoder(open_or_begin(image, seed), open_or_begin(text, seed),
                                         sizes, sigmoid, seed));
}

// The tensors of the towers that are locked. As open_clip has it, what is not the image tower's is
// the text tower's.
void lock_towers(Train& train, const TrainableModel& model) {
  if (!model.folder().towers.empty()) return;  // these do not learn
  const std::string layout = model.folder().layout();
  const bool native = layout == "open_clip" || layout == "openai";
  for (const std::string& name : model.parameters()) {
    const bool image = name.starts_with(native ? "visual." : "vision_model.");
    const bool text =
        native ? !image && !name.starts_with("logit_") : name.starts_with("text_model.");
    if ((image && train.lock_image) || (text && train.lock_text))
      train.recipe.groups.freeze.push_back(name);
  }
}

void run(Train& train, Common& common) {
  if (common.precision.empty()) common.precision = "f32";
  read_recipe(train, common);
  TrainableModel model = begin_with(train, common);
  const TrainOptions options{.output = train.output,
                             .resume = train.resume,
                             .precision = *backend::parse_precision(common.precision),
                             .config = settings_text(settings_of(train, common)),
                             .progress = common.progress("training")};
  lock_towers(train, model);
  std::string& teacher = train.recipe.distill.model;
  if (!teacher.empty()) teacher = common.resolve(teacher);
  const Trained trained = learn(train, common, model, options);
  for (const BadSample& bad : trained.bad) {
    const std::string place = bad.error.starts_with(bad.id) ? "" : bad.id + ": ";
    const auto text = fmt::format("{}{}; learnt without it", place, bad.error);
    if (ranks().rank() == 0)
      log(LogLevel::warning, text);
    else
      print_message(fmt::format("ocelli: warning: rank {}: {}", ranks().rank(), text));
  }
  if (ranks().rank() == 0) print(trained, common.json);
}

// --epochs N is --set epochs=N.
void add_shorthand(CLI::App& command, const std::string& name, const std::string& key, Train& train,
                   const std::string& description) {
  command
      .add_option_function<std::string>(
          name,
          [key, &train](const std::string& value) { train.overrides.push_back(key + "=" + value); },
          description)
      ->take_last()
      ->type_name(kNumber)
      ->group("Recipe");
}

// One task that trains by gradients.
void add_task(CLI::App& parent, const std::string& task, const std::string& summary,
              const std::string& data, const std::string& examples, std::shared_ptr<Train> train,
              Common& common) {
  auto* command = parent.add_subcommand(task, summary);
  command->add_option("data", train->data, data)->type_name(kFile)->required();
  if (task == "adapt") {
    command->add_option("target", train->target, "Images without labels, to work on")
        ->type_name(kFile)
        ->required();
  }
  command->add_option("--test", train->test, "Images to measure on after each epoch")
      ->type_name(kFile);
  command->add_option("-o,--output", train->output, "The run's folder (docs/training.md)")
      ->type_name(kFolder)
      ->required();
  command
      ->add_option(
          "-m,--model", common.model,
          "The model to begin with: a folder, a checkpoint file, a hub id, or 'default'; a "
          "folder with config.json alone begins anew")
      ->type_name(kModel)
      ->group("Model");
  if (task == "contrastive") {
    command
        ->add_option(
            "--image", train->image,
            "A new model over this image tower; a folder with config.json alone begins anew")
        ->type_name(kModel)
        ->group("Model");
    command->add_option("--text", train->text, "And this text tower")
        ->type_name(kModel)
        ->group("Model");
    command->add_flag("--lock-image", train->lock_image, "The image tower does not learn")
        ->group("Model");
    command->add_flag("--lock-text", train->lock_text, "The text tower does not learn")
        ->group("Model");
    add_choice(*command, "--loss", train->loss, kLosses,
               "Loss of a new model (default: clip); others have their own")
        ->group("Model");
  }
  add_choice(*command, "--precision", common.precision, {"f32", "bf16"},
             "Numbers that matrix products multiply (default: f32)")
      ->group("Model");
  command->add_option("--recipe", train->recipe_file, "How to learn: a TOML file (recipes/)")
      ->type_name(kFile)
      ->group("Recipe");
  command
      ->add_option("--set", train->overrides,
                   "A key of the recipe and its value, optimizer.lr=1e-4")
      ->type_name("KEY=VALUE")
      ->group("Recipe");
  add_shorthand(*command, "--epochs", "epochs", *train, "Times through the data (default: 30)");
  add_shorthand(*command, "--lr", "optimizer.lr", *train, "Learning rate (default: 0.001)");
  add_shorthand(*command, "-b,--batch", "batch", *train, "Images in a step (default: 64)");
  add_shorthand(*command, "--lora", "lora.rank", *train,
                "Learn by low-rank factors of this rank, and the classifier (default: 0, all)");
  if (task == "classify" || task == "contrastive") {
    command
        ->add_option_function<std::string>(
            "--distill",
            [train](const std::string& model) {
              train->overrides.push_back("distill.model=" + model);
            },
            "Learn from this model besides")
        ->type_name(kModel)
        ->group("Recipe");
  }
  command
      ->add_option_function<std::vector<std::string>>(
          "--freeze",
          [train](const std::vector<std::string>& patterns) {
            train->overrides.push_back(
                fmt::format("groups.freeze=['{}']", fmt::join(patterns, "', '")));
          },
          "What does not learn: patterns of parameters, 'blocks.[0-5].*'")
      ->type_name("PATTERN")
      ->group("Recipe");
  common.add_output(*command);
  command->footer("Example:\n" + examples);
  command->callback([train, task, &common] {
    train->task = task;
    common.run_ranks([&] { run(*train, common); });
  });
}

}  // namespace

void add_train(CLI::App& app, Common& common) {
  auto* command = app.add_subcommand("train", "Train a model on images");
  auto train = std::make_shared<Train>();
  command->require_subcommand(0, 1);
  command
      ->add_option_function<std::string>(
          "--resume",
          [train](const std::string& run) {
            train->output = run;
            train->resume = true;
          },
          "Go on with the run in this folder, as its config.toml says")
      ->type_name(kFolder);
  common.add_output(*command);
  const std::string labelled =
      "Images with classes: a folder with a sub-folder a class (or with train/ and val/), a "
      "table, tar shards, CIFAR or MNIST files";
  add_task(*command, "classify", "Learn classes: fine-tune a classifier", labelled,
           "  ocelli train classify photos/ -m vit-folder -o run/ --epochs 5 --lr 1e-4", train,
           common);
  add_task(*command, "contrastive", "Learn images and their captions: CLIP, SigLIP, LiT",
           "Images with captions: a table of paths and captions, or tar shards",
           "  ocelli train contrastive captions.csv -m clip-folder -o run/ --set "
           "\"groups.freeze=['vision_model.*']\"",
           train, common);
  add_task(*command, "selfsup", "Learn from images alone: DINOv2",
           "Any folder of images, table, or tar shards",
           "  ocelli train selfsup photos/ -m recipes/dinov2-s14 --recipe "
           "recipes/dinov2-s14.toml -o run/",
           train, common);
  add_task(*command, "adapt", "Learn to classify other images than the labelled ones", labelled,
           "  ocelli train adapt drawings/ photos/ -m vit-folder -o run/ --epochs 5 --lr 1e-4",
           train, common);
  add_train_probes(*command, common);
  add_train_prompts(*command, common);
  command->footer(
      "A checkpoint is a model folder that every command opens.\n"
      "Examples:\n"
      "  ocelli train classify photos/ -m vit-folder -o run/ --epochs 5 --lr 1e-4\n"
      "  ocelli train --resume run/\n"
      "  ocelli classify photo.jpg -m run/checkpoints/step-00000500");
  command->callback([command, train, &common] {
    if (command->get_subcommands().empty()) common.run_ranks([&] { run(*train, common); });
  });
}

}  // namespace ocelli::cli
