#include "ocelli/models/clip.h"

#include <algorithm>
#include <cmath>

#include "ocelli/base/log.h"
#include "ocelli/models/vit.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/reduce.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {

Tensor ImageTower::embed_patches(const Tensor&) const {
  fail(ErrorCode::unsupported, "this kind of image tower does not embed patches among texts");
}

namespace {

// A projection without bias: transformers keeps [embed, width] ("weight"), OpenAI [width, embed]
// ("matrix", applied as x @ W).
Linear projection(const Weights& w, int64_t width) {
  if (w.has("matrix")) {
    const Tensor matrix = w.get("matrix");
    check(matrix.rank() == 2 && matrix.size(0) == width, "{}: {}.matrix is {} for a width of {}",
          w.path(), w.prefix(), matrix.shape(), width);
    return Linear(matrix.transpose(0, 1), Tensor());
  }
  const auto shape = w.shape_of("weight");
  if (!shape) return {};
  return Linear(w, width, (*shape)[0], w.has("bias"));
}

class ClipVit final : public ImageTower {
 public:
  ClipVit(const Weights& w, ClipEncoderConfig c, int64_t patch, const Linear& proj, bool antialias)
      : antialias_(antialias), projection_(proj) {
    const Weights embeddings = w / "embeddings";
    const auto positions = embeddings.shape_of("position_embedding.weight");
    if (!positions)
      fail(ErrorCode::not_found, "{}: tensor {}.embeddings.position_embedding.weight is missing",
           w.path(), w.prefix());
    width_ = c.width;
    depth_ = c.depth;
    side_ = std::llround(std::sqrt(static_cast<double>((*positions)[0] - 1)));
    patch_ = patch;
    patch_embedding_ = PatchEmbed(embeddings / "patch_embedding", width_, patch,
                                  embeddings.has("patch_embedding.bias"));
    class_embedding_ = embeddings.get("class_embedding").view({1, 1, width_});
    positions_ =
        embeddings.get("position_embedding.weight", {1 + side_ * side_, width_}).unsqueeze(0);
    embeddings.ignore("position_ids");
    // The name's spelling is the checkpoint's.
    if (w.has("pre_layrnorm.weight")) pre_norm_ = LayerNorm(w / "pre_layrnorm", width_, c.eps);
    encoder_ = ClipEncoder(w / "encoder", c);
    post_norm_ = LayerNorm(w / "post_layernorm", width_, c.eps);
  }

  std::array<int64_t, 2> native_size() const override { return {side_ * patch_, side_ * patch_}; }
  int64_t embedding_size() const override {
    return projection_.weight.out_features() ? projection_.weight.out_features() : width_;
  }
  int64_t depth() const override { return depth_; }

  std::optional<TokenLayout> token_layout() const override { return TokenLayout{1, 0, patch_}; }

  Tensor operator()(const Tensor& pixels) const override {
    return project(encoder_.class_token(embed(pixels)));
  }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    refuse_mask(request);
    LayerTap tap(request.layers, depth_);
    encoder_(embed(pixels), {}, tap);
    std::vector<Tensor> layers = tap.take();
    for (Tensor& x : layers) x = request.norm ? post_norm_(x) : x;
    return layers;
  }
  Tensor embed_patches(const Tensor& pixels) const override {
    const Tensor x = encoder_.dense(embed(pixels));
    return project(x.slice(1, 1, x.size(1)));
  }

 private:
  Tensor embed(const Tensor& pixels) const {
    const int64_t batch = pixels.size(0);
    const Tensor positions = resize_position_embedding(
        positions_, 1, {side_, side_}, {pixels.size(1) / patch_, pixels.size(2) / patch_},
        {.mode = Interpolation::bicubic, .antialias = antialias_});
    const Tensor x =
        cat({class_embedding_.expand({batch, 1, width_}), patch_embedding_(pixels)}, 1) +
        positions;  // [B, 1 + h*w, C]
    return pre_norm_.weight.defined() ? pre_norm_(x) : x;
  }
  Tensor project(const Tensor& x) const {
    const Tensor pooled = post_norm_(x);
    return projection_.weight.out_features() ? projection_(pooled) : pooled;
  }

  bool antialias_;
  int64_t width_ = 0, depth_ = 0, side_ = 0, patch_ = 0;
  PatchEmbed patch_embedding_;
  Tensor class_embedding_, positions_;
  LayerNorm pre_norm_, post_norm_;
  ClipEncoder encoder_;
  Linear projection_;
};

// open_clip with a timm trunk: a ViT of the vit family and a linear head.
class TimmTower final : public ImageTower {
 public:
  TimmTower(const Weights& visual, const Config& vision)
      : trunk_(visual / "trunk", trunk_config(visual / "trunk", vision)),
        head_(projection(visual / "head.proj", trunk_.config().width)) {}

  std::array<int64_t, 2> native_size() const override { return trunk_.config().image; }
  int64_t embedding_size() const override {
    return head_.weight.out_features() ? head_.weight.out_features() : trunk_.config().width;
  }
  int64_t depth() const override { return trunk_.config().depth; }
  Tensor operator()(const Tensor& pixels) const override {
    const Tensor pooled = trunk_.pooled(pixels);
    return head_.weight.out_features() ? head_(pooled) : pooled;
  }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return trunk_.features(pixels, request);
  }
  std::optional<TokenLayout> token_layout() const override { return trunk_.layout(); }

 private:
  static VitConfig trunk_config(const Weights& trunk, const Config& vision) {
    if (!trunk.has("blocks.0.attn.qkv.weight"))
      fail(ErrorCode::unsupported, "{}: the timm trunk is not a ViT", trunk.path());
    VitConfig c = vit_config_from_shapes(trunk);
    apply_timm_name(vision.get<std::string>("timm_model_name", ""), c);
    const std::string pool = vision.get<std::string>("timm_pool", "");
    if (pool == "avg")
      c.pool = VitConfig::Pool::average;
    else if (pool == "token")
      c.pool = VitConfig::Pool::token;
    return c;
  }

  VitEncoder trunk_;
  Linear head_;
};

// Which token stands for a text, and whether a token sees those behind it.
struct TextPool {
  enum class Rule { largest_id, first_eos, last } rule = Rule::largest_id;
  int32_t eos = 0;
  bool causal = true;
};

struct ClipText {
  Embedding token_embedding;
  Tensor positions;  // [T, C]
  ClipEncoder encoder;
  LayerNorm final_layer_norm;
  Linear text_projection;
  TextPool pool;
  int64_t width = 0;

  ClipText(const Weights& w, const ClipEncoderConfig& c, const Linear& proj,
           const TextPool& pooling)
      : text_projection(proj), pool(pooling), width(c.width) {
    const Weights embeddings = w / "embeddings";
    const auto tokens = embeddings.shape_of("token_embedding.weight"),
               places = embeddings.shape_of("position_embedding.weight");
    if (!tokens || !places)
      fail(ErrorCode::not_found, "{}: the token or position embedding of the text tower is missing",
           w.path());
    token_embedding = Embedding(embeddings / "token_embedding", (*tokens)[0], width);
    positions = embeddings.get("position_embedding.weight", {(*places)[0], width});
    embeddings.ignore("position_ids");
    encoder = ClipEncoder(w / "encoder", c);
    final_layer_norm = LayerNorm(w / "final_layer_norm", width, c.eps);
  }

  int64_t embedding_size() const {
    return text_projection.weight.out_features() ? text_projection.weight.out_features() : width;
  }

  // Index of the token that stands for the text.
  Tensor place_of(const Tensor& ids) const {
    if (pool.rule == TextPool::Rule::largest_id) return argmax(ids);
    const Tensor at = Tensor::zeros({ids.size(0)}, DType::i32), rows = contiguous(ids);
    for (int64_t b = 0; b < ids.size(0); ++b) {
      const int32_t* row = rows.data<int32_t>() + b * ids.size(1);
      const int32_t* end = row + ids.size(1);
      const int32_t* found =
          pool.rule == TextPool::Rule::last ? end - 1 : std::find(row, end, pool.eos);
      if (found != end) at.data<int32_t>()[b] = static_cast<int32_t>(found - row);
    }
    return at;
  }

  // Padding needs no mask: it stands behind the pooled token, which sees only what is before it;
  // where tokens see all others (SigLIP), the model was trained to see padding.
  Tensor operator()(const Tensor& ids, const Tensor& context = {}) const {
    check(ids.rank() == 2 && ids.size(1) <= positions.size(0),
          "text: ids are {} for a context of {} tokens", ids.shape(), positions.size(0));
    Tensor x = words_with_context(token_embedding, ids, context) +
               positions.slice(0, 0, ids.size(1));  // [B, T, C]
    x = encoder(std::move(x), {.causal = pool.causal});
    const Tensor pooled = final_layer_norm(gather_rows(x, place_of(ids)));
    return text_projection.weight.out_features() ? text_projection(pooled) : pooled;
  }
};

class Clip final : public Model {
 public:
  Clip(std::unique_ptr<ImageTower> image, std::optional<ClipText> text, ImageProcessor processor,
       Similarity similarity, TextFormat format)
      : image_(std::move(image)),
        text_(std::move(text)),
        processor_(processor),
        similarity_(similarity),
        format_(format) {
    if (image_ && text_ && image_->embedding_size() != text_->embedding_size()) {
      fail(ErrorCode::corrupt_data, "clip: images become {} numbers but texts {}",
           image_->embedding_size(), text_->embedding_size());
    }
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override {
    return image_ ? image_->native_size() : std::array<int64_t, 2>{0, 0};
  }
  int64_t embedding_size() const override {
    return image_ ? image_->embedding_size() : text_->embedding_size();
  }
  int64_t depth() const override { return image_ ? image_->depth() : 0; }
  bool has_text() const override { return text_.has_value(); }
  TextFormat text_format() const override { return format_; }
  Similarity similarity() const override { return similarity_; }

  Tensor embed_image(const Tensor& pixels) const override { return tower()(pixels); }
  Tensor embed_text(const Tensor& ids, const Tensor&) const override {
    return text_ ? (*text_)(ids) : Model::embed_text(ids, {});
  }
  int64_t context_width() const override { return text_ ? text_->width : 0; }
  Tensor embed_prompt(const Tensor& ids, const Tensor& mask, const Tensor& context) const override {
    return text_ ? (*text_)(ids, context) : Model::embed_prompt(ids, mask, context);
  }
  std::vector<Tensor> features(const Tensor& pixels, const FeatureRequest& request) const override {
    return tower().features(pixels, request);
  }
  std::optional<TokenLayout> token_layout() const override {
    return image_ ? image_->token_layout() : std::nullopt;
  }
  Tensor embed_patches(const Tensor& pixels) const override {
    return tower().embed_patches(pixels);
  }

 private:
  const ImageTower& tower() const {
    if (!image_) fail(ErrorCode::unsupported, "this model has no image tower");
    return *image_;
  }

  std::unique_ptr<ImageTower> image_;
  std::optional<ClipText> text_;
  ImageProcessor processor_;
  Similarity similarity_;
  TextFormat format_;
};

bool is_native(const ModelFolder& folder) {
  return folder.has_tensor("visual.conv1.weight") ||
         folder.has_tensor("visual.trunk.patch_embed.proj.weight") ||
         folder.has_tensor("visual.attnpool.positional_embedding");
}

// One transformer of OpenAI's layout, below `from`, to transformers' names below `to`.
bool rename_tower(std::string& name, std::string_view from, std::string_view to) {
  if (!name.starts_with(from)) return false;
  name = std::string(to) + ".encoder.layers." + name.substr(from.size());
  static const std::pair<std::string_view, std::string_view> kParts[] = {
      {".ln_1.", ".layer_norm1."},
      {".ln_2.", ".layer_norm2."},
      {".mlp.c_fc.", ".mlp.fc1."},
      {".mlp.c_proj.", ".mlp.fc2."},
      {".attn.in_proj_", ".self_attn.in_proj."},
      {".attn.", ".self_attn."}};
  for (const auto& [part, other] : kParts) {
    const size_t at = name.find(part);
    if (at == std::string::npos) continue;
    name.replace(at, part.size(), other);
    break;
  }
  return true;
}

std::string from_native(std::string name) {
  if (name.starts_with("text.")) name = name.substr(5);  // open_clip's CustomTextCLIP
  if (rename_tower(name, "visual.transformer.resblocks.", "vision_model")) return name;
  if (rename_tower(name, "transformer.resblocks.", "text_model")) return name;
  static const std::pair<std::string_view, std::string_view> kNames[] = {
      {"visual.class_embedding", "vision_model.embeddings.class_embedding"},
      {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"},
      {"visual.proj", "visual_projection.matrix"},
      {"token_embedding.weight", "text_model.embeddings.token_embedding.weight"},
      {"positional_embedding", "text_model.embeddings.position_embedding.weight"},
      {"text_projection", "text_projection.matrix"},
      {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},
      {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias"},
      {"visual.ln_post.weight", "vision_model.post_layernorm.weight"},
      {"visual.ln_post.bias", "vision_model.post_layernorm.bias"},
      {"ln_final.weight", "text_model.final_layer_norm.weight"},
      {"ln_final.bias", "text_model.final_layer_norm.bias"}};
  for (const auto& [from, to] : kNames) {
    if (name == from) return std::string(to);
  }
  // The stem's convolution is a patch embedding only in a ViT: the ResNets keep their names.
  return name;
}

Weights::Rename rename(const ModelFolder& folder) {
  if (is_native(folder)) {
    const bool vit = folder.has_tensor("visual.class_embedding");
    return [vit](const std::string& name) {
      if (vit && name == "visual.conv1.weight")
        return std::string("vision_model.embeddings.patch_embedding.weight");
      return from_native(name);
    };
  }
  // CLIPVisionModel and CLIPTextModel may be saved without the tower's name.
  const std::string tower = folder.has_tensor("embeddings.class_embedding") ? "vision_model."
                            : folder.has_tensor("embeddings.token_embedding.weight") ? "text_model."
                                                                                     : "";
  if (tower.empty()) return {};
  return [tower](const std::string& name) {
    return name.find("projection") == std::string::npos ? tower + name : name;
  };
}

bool matches(const ModelFolder& folder) {
  const std::string type = folder.type();
  if (type == "clip" || type == "clip_vision_model" || type == "clip_text_model") return true;
  return !folder.config.has("model_type") && is_native(folder);
}

// OpenAI's weights were trained with QuickGELU. transformers says so in hidden_act. open_clip's
// configurations say "quick_gelu": true; some forget it, so it is also taken when the checkpoint
// carries the buffers of OpenAI's archive, or the configuration names "openai" as its origin, or
// there is no configuration at all (OpenAI's own build_model).
Unary native_activation(const ModelFolder& folder) {
  const Config model = folder.open_clip.at("model_cfg");
  if (model.has("quick_gelu"))
    return model.require<bool>("quick_gelu") ? Unary::quick_gelu : Unary::gelu;
  const bool openai = folder.has_tensor("input_resolution") || !folder.open_clip ||
                      folder.open_clip.json().dump().find("openai") != std::string::npos;
  if (openai && folder.open_clip) {
    log(LogLevel::warning, fmt::format("{}: the weights are OpenAI's, so QuickGELU is used "
                                       "although the configuration does not ask for it",
                                       folder.path.string()));
  }
  return openai ? Unary::quick_gelu : Unary::gelu;
}

struct Settings {
  ClipEncoderConfig vision, text;
  bool antialias = false;
  TextPool pool;
  int64_t context_length = 0;
};

Settings settings_of(const ModelFolder& folder, const Weights& w) {
  Settings s;
  const bool has_text = (w / "text_model.encoder").exists();
  if ((w / "vision_model.encoder").exists())
    s.vision = ClipEncoder::config_of(w / "vision_model.encoder");
  if (has_text) s.text = ClipEncoder::config_of(w / "text_model.encoder");
  if (const auto positions = w.shape_of("text_model.embeddings.position_embedding.weight"))
    s.context_length = (*positions)[0];
  if (is_native(folder)) {
    const Config model = folder.open_clip.at("model_cfg");
    const Config vision = model.at("vision_cfg"), text = model.at("text_cfg");
    s.vision.activation = s.text.activation = native_activation(folder);
    s.vision.heads = s.vision.width / vision.get<int64_t>("head_width", 64);
    s.text.heads = text.get<int64_t>("heads", std::max<int64_t>(s.text.width / 64, 1));
    s.antialias = true;
    const Config norm = text.at("norm_kwargs"), act = text.at("act_kwargs");
    s.text.eps = norm.get<float>("eps", s.text.eps);
    if (act.get<std::string>("approximate", "none") == "tanh") s.text.activation = Unary::gelu_tanh;
    s.pool.causal = !text.get<bool>("no_causal_mask", false);
    const std::string pool = text.get<std::string>("pool_type", "argmax");
    if (pool == "last")
      s.pool.rule = TextPool::Rule::last;
    else if (pool != "argmax")
      fail(ErrorCode::unsupported, "{}: pool_type '{}' of the text tower", text.place(), pool);
    return s;
  }
  const auto read = [&](const Config& c, ClipEncoderConfig& e) {
    e.heads = c.require<int64_t>("num_attention_heads");
    e.eps = c.get<float>("layer_norm_eps", 1e-5f);
    e.activation = parse_activation(c.get<std::string>("hidden_act", "quick_gelu"));
    for (const auto& [field, found] : {std::pair("hidden_size", e.width),
                                       {"num_hidden_layers", e.depth},
                                       {"intermediate_size", e.hidden}}) {
      const auto said = c.get<int64_t>(field, found);
      if (said != found)
        fail(ErrorCode::corrupt_data, "{}: '{}' is {} but the tensors of the checkpoint say {}",
             c.place(), field, said, found);
    }
  };
  // The towers' configurations may lack fields that have their class's defaults.
  const auto with_defaults = [&](const char* part, int64_t heads) {
    Config c = folder.config.has(part) ? folder.config.at(part) : folder.config;
    nlohmann::json json = c.json();
    if (!json.contains("num_attention_heads") && folder.config.has(part))
      json["num_attention_heads"] = heads;
    return Config(json, c.place());
  };
  if (s.vision.depth > 0) read(with_defaults("vision_config", 12), s.vision);
  if (has_text) {
    const Config text = with_defaults("text_config", 8);
    read(text, s.text);
    // Before transformers' PR 24773 the id was wrong (2), and the largest id was taken.
    s.pool.eos = text.get<int32_t>("eos_token_id", 49407);
    if (s.pool.eos != 2) s.pool.rule = TextPool::Rule::first_eos;
  }
  return s;
}

ImageProcessor processor_of(const ModelFolder& folder, std::array<int64_t, 2> size) {
  if (folder.processor)
    return ImageProcessor::from_transformers(folder.processor.json(), folder.processor.place());
  const Config own = folder.open_clip.at("preprocess_cfg");
  return ImageProcessor::from_open_clip(own ? own.json() : nlohmann::json::object(), size[0],
                                        size[1], own.place());
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  const Settings s = settings_of(folder, w);
  for (const char* name : {"input_resolution", "context_length", "vocab_size", "attn_mask"})
    w.ignore(name);
  std::unique_ptr<ImageTower> image;
  if (s.vision.depth > 0) {
    const auto patch = w.shape_of("vision_model.embeddings.patch_embedding.weight");
    image =
        std::make_unique<ClipVit>(w / "vision_model", s.vision, patch ? (*patch)[-1] : 0,
                                  projection(w / "visual_projection", s.vision.width), s.antialias);
  } else if ((w / "visual.trunk").exists()) {
    image = std::make_unique<TimmTower>(w / "visual",
                                        folder.open_clip.at("model_cfg").at("vision_cfg"));
  } else if ((w / "visual").exists()) {
    image = make_clip_resnet(w / "visual");
  }
  std::optional<ClipText> text;
  if (s.text.depth > 0)
    text.emplace(w / "text_model", s.text, projection(w / "text_projection", s.text.width), s.pool);
  // Where tokens see only those before them, nothing behind the pooled one counts.
  const TextFormat format{s.context_length, !s.pool.causal || s.pool.rule == TextPool::Rule::last};
  Similarity similarity;
  const auto number = [&](const char* name) { return contiguous(w.get(name)).data<float>()[0]; };
  if (w.has("logit_scale")) similarity.scale = std::exp(number("logit_scale"));
  // open_clip's models with a bias were trained with SigLIP's loss.
  if (w.has("logit_bias")) similarity = {similarity.scale, number("logit_bias"), true};
  const ImageProcessor processor =
      image ? processor_of(folder, image->native_size()) : ImageProcessor();
  return std::make_unique<Clip>(std::move(image), std::move(text), processor, similarity, format);
}

}  // namespace

const Family kClipFamily = {
    "clip", "CLIPModel and its parts, OpenAI's and open_clip's layout, ResNets, timm trunks",
    matches, rename, load};

}  // namespace ocelli
