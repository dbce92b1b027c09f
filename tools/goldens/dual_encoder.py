"""Goldens of the vision-text-dual-encoder family: transformers' VisionTextDualEncoderModel over image and text families."""
from transformers import (BertConfig, BertModel, CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model,
                          VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig, ViTModel)

from common import folder, ids, pixels, randomise, save_expected

SIZE = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
IMAGE = dict(SIZE, image_size=32, patch_size=8)
BERT = BertConfig(**SIZE, intermediate_size=48, vocab_size=99, max_position_embeddings=16)
CLIP_TEXT = CLIPTextConfig(**SIZE, intermediate_size=48, vocab_size=99, max_position_embeddings=16, bos_token_id=97, eos_token_id=98, pad_token_id=98)


def pooled(y):
    return y.pooler_output if hasattr(y, "pooler_output") else y


def golden(case, vision, text):
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision.config, text.config, projection_dim=24)
    model = randomise(VisionTextDualEncoderModel(config, vision_model=vision, text_model=text))
    path = folder(case)
    model.save_pretrained(path)
    out = {"text.scale": model.logit_scale.exp()[None], "native.pixels": pixels(2, 32, 32)}
    out["native.embedding"] = pooled(model.get_image_features(pixel_values=out["native.pixels"]))
    if text.config.model_type == "bert":
        out["text.ids"] = ids(0)
        out["text.attention_mask"] = (out["text.ids"] != 0).long()
        embedded = model.get_text_features(input_ids=out["text.ids"], attention_mask=out["text.attention_mask"])
    else:
        out["text.ids"] = ids(98)
        embedded = model.get_text_features(input_ids=out["text.ids"])
    out["text.text_embedding"] = pooled(embedded)
    save_expected(path, **out)


golden("dual_vit_bert", ViTModel(ViTConfig(**IMAGE, intermediate_size=48)), BertModel(BERT))
golden("dual_clip_bert", CLIPVisionModel(CLIPVisionConfig(**IMAGE, intermediate_size=48)), BertModel(BERT))
golden("dual_dinov2_clip", Dinov2Model(Dinov2Config(**IMAGE, mlp_ratio=2)), CLIPTextModel(CLIP_TEXT))
