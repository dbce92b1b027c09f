#include "ocelli/models/bert.h"

#include "ocelli/base/file.h"
#include "ocelli/nn/transformer.h"
#include "ocelli/ops/elementwise.h"
#include "ocelli/ops/norm.h"
#include "ocelli/ops/recompute.h"
#include "ocelli/ops/shape.h"
#include "ocelli/tensor/convert.h"

namespace ocelli {
namespace {

struct BertConfig {
  // `pooler`: tanh of a linear layer over the first token, as transformers' BertModel; `cls`: that
  // token; `mean`: of all that are no padding.
  enum class Pool { pooler, cls, mean };

  int64_t width = 0, hidden = 0, heads = 0;
  Unary activation = Unary::gelu;
  float eps = 1e-12f;
  int64_t context_length = 0;
  Pool pool = Pool::pooler;
  bool normalize = false;
};

struct Embeddings {
  Embedding word_embeddings;
  Tensor positions;  // [T, C], the first token type added: texts stand alone
  LayerNorm norm;

  Embeddings(const Weights& w, const BertConfig& c)
      : word_embeddings(w / "word_embeddings", w.get("word_embeddings.weight").size(0), c.width),
        positions(w.get("position_embeddings.weight") +
                  w.get("token_type_embeddings.weight").slice(0, 0, 1)),
        norm(w / "LayerNorm", c.width, c.eps) {
    w.ignore("position_ids");
    w.ignore("token_type_ids");
  }

  Tensor operator()(const Tensor& ids, const Tensor& context) const {
    check(ids.rank() == 2 && ids.size(1) <= positions.size(0),
          "text: ids are {} for a context of {} tokens", ids.shape(), positions.size(0));
    return norm(words_with_context(word_embeddings, ids, context) +
                positions.slice(0, 0, ids.size(1)));  // [B, T, C]
  }
};

struct Layer {
  SelfAttention attention;
  LayerNorm attention_norm;
  Mlp mlp;
  LayerNorm norm;

  Layer(const Weights& w, const BertConfig& c)
      : attention{qkv(w / "attention.self", c.width),
                  Linear(w / "attention.output.dense", c.width, c.width), c.heads},
        attention_norm(w / "attention.output.LayerNorm", c.width, c.eps),
        mlp{Linear(w / "intermediate.dense", c.width, c.hidden),
            Linear(w / "output.dense", c.hidden, c.width), c.activation},
        norm(w / "output.LayerNorm", c.width, c.eps) {}

  static Linear qkv(const Weights& w, int64_t width) {
    static constexpr std::string_view kParts[] = {"query", "key", "value"};
    return Linear(w, kParts, width, width);
  }

  Tensor operator()(Tensor x, const AttentionOptions& options) const {
    x = attention_norm(attention(x, x, options));
    return norm(mlp(x, x));
  }
};

class Bert final : public Model {
 public:
  Bert(const Weights& w, const BertConfig& c) : config_(c), embeddings_(w / "embeddings", c) {
    const int64_t depth = w.count("encoder.layer");
    for (int64_t i = 0; i < depth; ++i)
      layers_.push_back(std::make_shared<Layer>(w / "encoder.layer" / i, c));
    if (c.pool == BertConfig::Pool::pooler)
      pooler_ = Linear(w / "pooler.dense", c.width, c.width);
    else
      w.ignore("pooler");
    // Heads of pre-training and of tasks.
    w.ignore("cls");
    w.ignore("classifier");
  }

  const ImageProcessor& image_processor() const override { return processor_; }
  std::array<int64_t, 2> native_size() const override { return {0, 0}; }
  int64_t embedding_size() const override { return config_.width; }
  int64_t depth() const override { return 0; }
  bool has_text() const override { return true; }
  TextFormat text_format() const override { return {config_.context_length, false}; }
  Similarity similarity() const override { return {}; }

  Tensor embed_image(const Tensor&) const override {
    fail(ErrorCode::unsupported, "this model has no image tower");
  }

  Tensor embed_text(const Tensor& ids, const Tensor& mask) const override {
    return embed(ids, mask, {});
  }
  int64_t context_width() const override { return config_.width; }
  Tensor embed_prompt(const Tensor& ids, const Tensor& mask, const Tensor& context) const override {
    return embed(ids, mask, context);
  }

 private:
  Tensor embed(const Tensor& ids, const Tensor& mask, const Tensor& context) const {
    Tensor x = embeddings_(ids, context);
    for (const auto& layer : layers_) {
      x = recompute(std::move(x),
                    [layer, mask](Tensor h) { return (*layer)(std::move(h), {.key_mask = mask}); });
    }
    x = pool(x, mask);
    return config_.normalize ? normalize(x) : x;
  }

  Tensor pool(const Tensor& x, const Tensor& mask) const {
    if (config_.pool == BertConfig::Pool::mean) {
      const int64_t batch = x.size(0), length = x.size(1);
      const Tensor shares =
          mask.defined() ? to(mask, DType::f32) : Tensor::full({batch, length}, 1);  // [B, T]
      for (int64_t b = 0; b < batch; ++b) {
        const std::span<float> row = shares.select(0, b).values<float>();
        float count = 0;
        for (const float share : row) count += share;
        for (float& share : row) share /= std::max(count, 1.0f);
      }
      return matmul(shares.unsqueeze(1), x).select(1, 0);
    }
    const Tensor first = x.select(1, 0);
    return config_.pool == BertConfig::Pool::cls ? first : tanh(pooler_(first));
  }

  BertConfig config_;
  Embeddings embeddings_;
  std::vector<std::shared_ptr<Layer>> layers_;
  Linear pooler_;
  ImageProcessor processor_;
};

constexpr std::string_view kPrefix = "bert.";  // of models with a head

bool matches(const ModelFolder& folder) {
  return folder.type() == "bert";
}

Weights::Rename rename(const ModelFolder& folder) {
  if (!folder.has_tensor("bert.embeddings.word_embeddings.weight")) return {};
  return [](const std::string& name) {
    return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
  };
}

BertConfig::Pool pool_of(const Config& pooling) {
  const auto on = [&](const char* mode) { return pooling.get<bool>(mode, false); };
  const bool cls = on("pooling_mode_cls_token"), mean = on("pooling_mode_mean_tokens");
  for (const char* mode : {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                           "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"}) {
    if (on(mode)) fail(ErrorCode::unsupported, "{}: {} is not supported", pooling.place(), mode);
  }
  if (cls == mean) {
    fail(ErrorCode::unsupported, "{}: either the first token or the mean is needed",
         pooling.place());
  }
  return cls ? BertConfig::Pool::cls : BertConfig::Pool::mean;
}

// sentence-transformers: what is done to the tokens, one module after the other.
void apply_modules(const ModelFolder& folder, BertConfig& c) {
  for (const SentenceModule& module : sentence_modules(folder.path)) {
    const std::filesystem::path place = folder.path / module.path;
    if (module.kind == "Transformer") {
      const Config own = read_config(place / "sentence_bert_config.json");
      c.context_length =
          std::min(c.context_length, own.get<int64_t>("max_seq_length", c.context_length));
    } else if (module.kind == "Pooling") {
      const Config pooling = read_config(place / "config.json");
      if (!pooling) fail(ErrorCode::not_found, "{}/config.json is missing", place.string());
      c.pool = pool_of(pooling);
    } else if (module.kind == "Normalize") {
      c.normalize = !folder.is_tower;  // a projection would not see how long the mean was
    } else {
      fail(ErrorCode::unsupported, "{}: the module {} is not supported", folder.path.string(),
           module.kind);
    }
  }
}

std::unique_ptr<Model> load(const ModelFolder& folder, const Weights& w) {
  const Config& config = folder.config;
  BertConfig c;
  const auto fc1 = w.shape_of("encoder.layer.0.intermediate.dense.weight"),
             positions = w.shape_of("embeddings.position_embeddings.weight");
  if (!fc1 || fc1->rank() != 2 || !positions || positions->rank() != 2)
    fail(ErrorCode::corrupt_data, "{}: the layers or positions of a BERT are missing", w.path());
  c.hidden = (*fc1)[0];
  c.width = (*fc1)[1];
  c.heads = config.get<int64_t>("num_attention_heads", 12);
  if (c.heads < 1 || c.width % c.heads != 0) {
    fail(ErrorCode::corrupt_data, "{}: {} attention heads do not divide a width of {}", w.path(),
         c.heads, c.width);
  }
  c.activation = parse_activation(config.get<std::string>("hidden_act", "gelu"));
  c.eps = config.get<float>("layer_norm_eps", c.eps);
  c.context_length = (*positions)[0];
  const auto type = config.get<std::string>("position_embedding_type", "absolute");
  if (type != "absolute" || config.get<bool>("is_decoder", false)) {
    fail(ErrorCode::unsupported, "{}: decoders and relative positions are not supported",
         config.place());
  }
  if (!w.has("pooler.dense.weight")) c.pool = BertConfig::Pool::cls;
  apply_modules(folder, c);
  return std::make_unique<Bert>(w, c);
}

}  // namespace

const Family kBertFamily = {"bert", "BertModel, sentence-transformers' models of it", matches,
                            rename, load};

}  // namespace ocelli
