// How a model learns, as TOML: recipes/*.toml, `--set key=value`, a run's config.toml.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ocelli/formats/settings.h"
#include "ocelli/train/optimizer.h"
#include "ocelli/train/parameter_groups.h"
#include "ocelli/train/schedule.h"

namespace ocelli {

// docs/training.md explains each key.
struct TrainRecipe {
  uint64_t seed = 0;
  int64_t epochs = 30, batch = 64;
  int64_t accumulate = 1;     // batches of a step
  double clip_grad_norm = 0;  // 0: not clipped
  double average = 0;         // momentum of averaged weights; 0: none are kept
  double label_smoothing = 0;
  double drop_path = 0;             // share of images that skip a residual branch
  bool grad_checkpointing = false;  // blocks are computed again for their gradients
  int64_t grad_cache = 0;  // of contrastive: images that go through a tower at a time; 0: all
  struct {
    std::string name = "adamw";
    double lr = 1e-3, weight_decay = 0.05;
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
    double momentum = 0.9, dampening = 0;
    bool nesterov = false;
    double trust_coefficient = 0.001;
  } optimizer;
  struct {
    double layer_decay = 1;
    std::vector<std::string> freeze, no_decay;
    std::vector<std::string> lr_scale;  // "pattern=factor"
  } groups;
  struct {
    int64_t rank = 0;  // 0: all weights learn
    double alpha = 8;
    std::vector<std::string> targets;
  } lora;
  struct {
    std::string model;  // a teacher's folder; empty: none
    double weight = 1, temperature = 1;
    bool hard = false;  // learn the teacher's largest class
  } distill;
  struct {
    std::string name = "cosine";
    double warmup_epochs = 0, warmup_start = 0, last = 0;  // learning rates
    double step_epochs = 10, gamma = 0.1;
  } schedule;
  struct {
    double crop_scale = 0.08;  // the smallest share of the area that a crop has
    double flip = 0.5;         // how often
    double color_jitter = 0;   // brightness, contrast, saturation
    bool trivial_augment = false;
    int64_t rand_augment_ops = 0, rand_augment_magnitude = 9;
    double erasing = 0;            // how often
    double mixup = 0, cutmix = 0;  // alpha of Beta(alpha, alpha); 0: not at all
  } augment;
  struct {  // of a new model over two towers (models/dual_encoder.h), and of what goes into them
    int64_t width = 384, hidden = 0, image_size = 0;
    double image_dropout = 0, text_dropout = 0;
    double caption_mix = 0;      // most of another caption of the image in a caption's features
    double ridge = 0;            // the penalty of a ridge regression beside them (ridge.h); 0: none
    double ridge_weight = 0.75;  // of its cosine
    int64_t ridge_captions = 1;  // it is fitted to images with so many captions or more
  } projections;
  struct {
    double weight = 0;                // of the loss over the image tower's own classes; 0: none
    bool as_hidden = false;           // the images' hidden layer begins as the tower's classifier
    std::vector<std::string> images;  // datasets without captions
    std::vector<std::string> templates = {"{}", "a photo of a {}."};
  } classes;
  struct {                   // of domain adaptation
    double threshold = 0.9;  // of the teacher's probability
    double target_weight = 1, coral_weight = 1;
    double momentum = 0.99;                         // of the teacher
    int64_t strong_ops = 2, strong_magnitude = 10;  // of RandAugment
  } adapt;
  struct {  // of self-supervised training; the values of DINOv2's ssl_default_config.yaml
    int64_t head_hidden = 2048, head_bottleneck = 256, head_prototypes = 65536;
    bool separate_heads = false;
    std::string centring = "centring";
    double dino_weight = 1, ibot_weight = 1, koleo_weight = 0.1;
    double student_temperature = 0.1, teacher_temperature = 0.07, teacher_temperature_start = 0.04;
    double teacher_temperature_epochs = 30;  // from start to end
    double momentum = 0.992, momentum_last = 1;
    double weight_decay_last = 0.4;
    double freeze_last_layer_epochs = 1;
    int64_t global_crops_size = 224, local_crops_size = 96, local_crops_number = 8;
    // Shares of the area: global crops from this one on, local ones between these.
    double global_crops_from = 0.32, local_crops_from = 0.05, local_crops_to = 0.32;
    double blur = 1;  // how often a view is blurred, of DINO's share; images of 32 pixels bear none
    double mask_probability = 0.5, mask_from = 0.1, mask_to = 0.5;  // of images, of patches
  } selfsup;
  struct {
    double every_epochs = 1;
    int64_t keep = 3;
  } checkpoints;
};

// The fields of `recipe`, which must outlive them.
std::vector<Setting> recipe_settings(TrainRecipe& recipe);

// The file, then each "key=value". Throws as read_settings and override_setting.
TrainRecipe read_train_recipe(const std::filesystem::path& file,
                              std::span<const std::string> overrides = {});
// Every key as TOML, for config.toml.
std::string train_recipe_text(const TrainRecipe& recipe);

Method method_of(const TrainRecipe& recipe);
GroupOptions groups_of(const TrainRecipe& recipe);
// Of the learning rate, over all steps.
Schedule schedule_of(const TrainRecipe& recipe, int64_t steps_per_epoch);

}  // namespace ocelli
