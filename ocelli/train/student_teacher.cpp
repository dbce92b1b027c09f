#include "ocelli/train/student_teacher.h"

#include <cstring>

#include "ocelli/formats/memory_source.h"
#include "ocelli/formats/safetensors.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"
#include "ocelli/train/across_ranks.h"
#include "ocelli/train/dinov2_loss.h"
#include "ocelli/train/parameter_groups.h"

namespace ocelli {
namespace fs = std::filesystem;

namespace {

constexpr char kHeadsFile[] = "heads.safetensors", kCentresFile[] = "centres.safetensors";

NamedTensors copy_of(const NamedTensors& tensors) {
  const NoTape pause;
  NamedTensors copies;
  for (const auto& [name, tensor] : tensors) copies[name] = clone(tensor);
  return copies;
}

// dinov2 clips the gradients of the backbone and of each head apart.
std::vector<Parameter> parameters_of(const NamedTensors& heads) {
  std::vector<Parameter> parameters;
  for (const auto& [name, tensor] : heads) {
    const int group = name.starts_with("dino_head.") ? 1 : 2;
    parameters.push_back({.name = name, .value = tensor, .clip_group = group});
  }
  return parameters;
}

void save_tensors(const fs::path& file, const NamedTensors& tensors) {
  std::vector<NamedTensor> list;
  for (const auto& [name, tensor] : tensors) list.push_back({name, tensor});
  fs::create_directories(file.parent_path());
  write_safetensors(file, list, {{"format", "pt"}});
}

// In place. Throws corrupt_data where the file holds others.
void load_tensors(const fs::path& file, const NamedTensors& tensors) {
  const Safetensors stored(file);
  for (const auto& [name, tensor] : tensors) {
    const Tensor value = contiguous(stored.load(name));
    if (value.shape() != tensor.shape() || value.dtype() != tensor.dtype()) {
      fail(
          ErrorCode::corrupt_data,
          "{}: the tensor {} is {} {}, but the heads of this recipe need {}; set selfsup.head_* as "
          "they were, or leave the file out to begin with new heads",
          file.string(), name, value.dtype(), value.shape(), tensor.shape());
    }
    std::memcpy(tensor.raw(), value.raw(), value.nbytes());
  }
}

// The heads of DINO and iBOT, one and the same where there is one.
struct Heads {
  explicit Heads(const NamedTensors& tensors)
      : weights(std::make_shared<MemorySource>(tensors, "the heads")), dino(weights / "dino_head") {
    if ((weights / "ibot_head").exists()) separate.emplace(weights / "ibot_head");
  }
  const DinoHead& ibot() const { return separate ? *separate : dino; }

  Weights weights;
  DinoHead dino;
  std::optional<DinoHead> separate;
};

// After the final norm: [B, N, C].
Tensor tokens_of(const Model& model, const Tensor& images, const Tensor& masks = {}) {
  return model.features(images, {.layers = {-1}, .norm = true, .mask = masks}).at(0);
}

// The places of masked patches among all tokens [V * N] of the views, i32.
Tensor masked_rows(const Tensor& masks, int64_t prefix) {
  const int64_t patches = masks.size(1);
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < masks.numel(); ++i) {
    if (masks.values<uint8_t>()[i] == 0) continue;
    rows.push_back(static_cast<int32_t>(i / patches * (prefix + patches) + prefix + i % patches));
  }
  return Tensor::from<int32_t>(rows, {std::ssize(rows)});
}

Tensor rows_of(const Tensor& tokens, const Tensor& rows) {
  return embedding(rows, reshape(tokens, {-1, tokens.size(2)}));
}

}  // namespace

StudentTeacher::StudentTeacher(const TrainableModel& student, const StudentTeacherOptions& options)
    : options_(options), teacher_(student.folder()) {
  const std::unique_ptr<Model> model = student.build();
  if (!model->token_layout() || student.name_of("mask_token").empty()) {
    fail(ErrorCode::unsupported,
         "{}: self-supervised training needs a transformer over patches with a mask token, such as "
         "dinov2",
         student.folder().path.string());
  }
  const int64_t width = model->embedding_size();
  student_heads_ = new_dino_head("dino_head", width, options.head, options.seed);
  if (options.separate_heads) {
    student_heads_.merge(new_dino_head("ibot_head", width, options.head, options.seed + 1));
  }
  const fs::path saved = student.folder().path / "training" / kHeadsFile;
  if (fs::exists(saved)) load_tensors(saved, student_heads_);
  teacher_heads_ = copy_of(student_heads_);
  for (const char* name : {"dino", "ibot"}) {
    centres_[name] = Tensor::zeros({options.head.prototypes});
  }
}

std::vector<Parameter> StudentTeacher::parameters() const {
  return parameters_of(student_heads_);
}

Tensor StudentTeacher::probabilities(const Tensor& logits, const Tensor& centre,
                                     double temperature) const {
  if (options_.sinkhorn_knopp) return ocelli::sinkhorn_knopp(logits, temperature, options_.ranks);
  const Tensor p = centred_softmax(logits, centre, temperature);
  update_centre(centre, logits, options_.centre_momentum, options_.ranks);
  return p;
}

// What the student is to say: of the class token of each view, and of masked patches.
struct StudentTeacher::Targets {
  // [2B, K], [M, K]; patches undefined where none is masked on any rank.
  Tensor classes, patches;
};

StudentTeacher::Targets StudentTeacher::teach(const Batch& batch, const Tensor& masked,
                                              double temperature) {
  const NoTape pause;
  const Heads heads(teacher_heads_);
  const Tensor tokens = tokens_of(*teacher_.build(), batch.images);
  Targets targets;
  targets.classes =
      probabilities(heads.dino(clone(tokens.select(1, 0))), centres_.at("dino"), temperature);
  if (sum_over(options_.ranks, static_cast<double>(masked.numel())) > 0) {
    const Tensor logits = masked.numel() > 0 ? heads.ibot()(rows_of(tokens, masked))
                                             : Tensor::empty({0, options_.head.prototypes});
    targets.patches = probabilities(logits, centres_.at("ibot"), temperature);
  }
  return targets;
}

StudentTeacher::Losses StudentTeacher::losses(const Model& student, const Batch& batch,
                                              double teacher_temperature) {
  check(batch.masks.defined(), "self-supervised training: the batch has no masks");
  const StudentTeacherOptions& o = options_;
  const Tensor masked = masked_rows(batch.masks, student.token_layout()->prefix());
  const Targets targets = teach(batch, masked, teacher_temperature);
  const Heads heads(student_heads_);
  const Tensor tokens = tokens_of(student, batch.images, batch.masks);
  const Tensor classes = clone(tokens.select(1, 0));  // [2B, C]
  Tensor local;
  if (batch.local_crops.defined()) {
    local = heads.dino(clone(tokens_of(student, batch.local_crops).select(1, 0)));
  }
  const Tensor dino = dino_loss(heads.dino(classes), local, targets.classes, o.student_temperature);
  const Tensor koleo = koleo_loss(classes, o.ranks);
  const auto number = [](const Tensor& x) { return double{x.data<float>()[0]}; };
  Losses losses{dino * static_cast<float>(o.dino_weight) +
                koleo * static_cast<float>(o.koleo_weight)};
  losses.metrics = {{"dino_loss", number(dino)},
                    {"koleo_loss", number(koleo)},
                    {"teacher_entropy", mean_entropy(targets.classes, o.ranks)},
                    {"teacher_marginal_entropy", marginal_entropy(targets.classes, o.ranks)}};
  if (!targets.patches.defined()) return losses;
  Tensor ibot = Tensor::zeros({});
  if (masked.numel() > 0) {
    ibot = ibot_loss(heads.ibot()(rows_of(tokens, masked)), targets.patches, batch.masks,
                     o.student_temperature);
    losses.total = losses.total + ibot * static_cast<float>(o.ibot_weight);
  }
  losses.metrics.emplace_back("ibot_loss", number(ibot));
  losses.metrics.emplace_back("teacher_patch_entropy", mean_entropy(targets.patches, o.ranks));
  return losses;
}

void StudentTeacher::update_teacher(const TrainableModel& student, double momentum) {
  update_average(teacher_, student, momentum);
  update_average(parameters_of(teacher_heads_), parameters_of(student_heads_), momentum);
}

void StudentTeacher::save(const fs::path& folder) const {
  save_tensors(folder / "training" / kHeadsFile, student_heads_);
  save_tensors(folder / "training" / kCentresFile, centres_);
  fs::create_directories(folder / "teacher");
  teacher_.save(folder / "teacher");
  save_tensors(folder / "teacher" / "training" / kHeadsFile, teacher_heads_);
}

void StudentTeacher::load(const fs::path& folder) {
  load_tensors(folder / "training" / kHeadsFile, student_heads_);
  load_tensors(folder / "training" / kCentresFile, centres_);
  teacher_.load(folder / "teacher");
  load_tensors(folder / "teacher" / "training" / kHeadsFile, teacher_heads_);
}

}  // namespace ocelli
