"""Goldens of the vit family: transformers' ViT and DeiT, timm's vision_transformer."""
import json
import os

import torch
from safetensors.torch import save_file
from timm.layers import SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from transformers import (DeiTConfig, DeiTForImageClassification, DeiTForImageClassificationWithTeacher, ViTConfig,
                          ViTForImageClassification, ViTModel)
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from common import folder, photo, pixels, randomise, save_expected

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=32, patch_size=8)


def hidden(case, model, sizes, logits):
    """Every layer's tokens, the logits or the class token, at each size."""
    path = folder(case)
    model.save_pretrained(path)
    model.set_attn_implementation("eager")
    out = {}
    for name, (h, w) in sizes.items():
        x = pixels(2, h, w)
        y = model(x, output_hidden_states=True, output_attentions=True, interpolate_pos_encoding=(h, w) != (32, 32))
        out[f"{name}.pixels"] = x
        for i in range(2):
            out[f"{name}.features.{i}"] = y.hidden_states[i + 1]
            out[f"{name}.attention.{i}"] = y.attentions[i]
        out[f"{name}.logits" if logits else f"{name}.embedding"] = y.logits if logits else y.last_hidden_state[:, 0]
    return path, out


SIZES = {"native": (32, 32), "wide": (24, 56)}

# Photo to logits, with the processor's file beside the model.
model = randomise(ViTForImageClassification(ViTConfig(**SMALL, num_labels=5, id2label={i: f"label {i}" for i in range(5)})))
path, out = hidden("vit_hf_classifier", model, SIZES, True)
processor = ViTImageProcessorPil(size={"height": 32, "width": 32}, resample=3)
processor.save_pretrained(path)
image = photo(path)
out["photo.logits"] = model(**processor(image, return_tensors="pt")).logits
wide = processor(image, size={"height": 24, "width": 56}, return_tensors="pt")
out["photo24x56.logits"] = model(**wide, interpolate_pos_encoding=True).logits
save_expected(path, **out)

model = randomise(ViTModel(ViTConfig(**SMALL, hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6)))
path, out = hidden("vit_hf_model", model, SIZES, False)
save_expected(path, **out)

for case, kind in (("vit_hf_deit", DeiTForImageClassification), ("vit_hf_deit_teacher", DeiTForImageClassificationWithTeacher)):
    path, out = hidden(case, randomise(kind(DeiTConfig(**SMALL, num_labels=4))), SIZES, True)
    save_expected(path, **out)


def timm_case(case, cls=VisionTransformer, lone=False, **kw):
    args = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, mlp_ratio=1.5, num_classes=5, dynamic_img_size=True)
    model = randomise(cls(**{**args, **kw}))
    path = folder(case)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    if lone:
        torch.save({"model": state}, os.path.join(path, "checkpoint.pth"))
    else:
        save_file(state, os.path.join(path, "model.safetensors"))
        config = {"architecture": "vit_tiny_patch16_224", "num_classes": 5, "num_features": 32,
                  "global_pool": kw.get("global_pool", "token"),
                  "model_args": {k: v for k, v in {**args, **kw}.items() if not callable(v)},
                  "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 0.9, "interpolation": "bicubic",
                                     "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "num_classes": 5}}
        json.dump(config, open(os.path.join(path, "config.json"), "w"), indent=1)
    out = {}
    for name, (h, w) in SIZES.items():
        if lone and name == "wide" and cls is VisionTransformerDistilled:
            continue
        x = pixels(2, h, w)
        out[f"{name}.pixels"] = x
        out[f"{name}.logits"] = model(x)
        prefix, spatial = [], None
        tokens = model.forward_intermediates(x, output_fmt="NLC", intermediates_only=True, return_prefix_tokens=True)
        for i, pair in enumerate(tokens):
            spatial, prefix = pair if isinstance(pair, tuple) else (pair, None)
            out[f"{name}.features.{i}"] = torch.cat([prefix, spatial], 1) if prefix is not None and prefix.shape[1] else spatial
    save_expected(path, **out)
    return path, model


timm_case("vit_timm_token")
timm_case("vit_timm_avg", global_pool="avg", fc_norm=True, class_token=True, qkv_bias=False)
timm_case("vit_timm_avg_no_class", global_pool="avg", class_token=False, fc_norm=False)
timm_case("vit_timm_reg4", reg_tokens=4, init_values=0.1, no_embed_class=True, global_pool="avg", fc_norm=True)
# As vit_giant_patch14_reg4_dinov2.
timm_case("vit_timm_dinov2_swiglu", reg_tokens=4, init_values=0.1, no_embed_class=True, mlp_layer=SwiGLUPacked,
          act_layer=torch.nn.SiLU)
timm_case("vit_timm_pre_norm", pre_norm=True, act_layer="quick_gelu")
timm_case("vit_timm_qk_norm", qk_norm=True)
timm_case("vit_timm_map", global_pool="map", class_token=False)
# Without a configuration heads are 64 wide.
timm_case("vit_deit_distilled", cls=VisionTransformerDistilled, lone=True, embed_dim=64, num_heads=1, depth=1)

# Photo to logits through timm's own transform.
from timm.data import create_transform, resolve_data_config  # noqa: E402

path, model = timm_case("vit_timm_photo")
image = photo(path)
from safetensors.torch import load_file  # noqa: E402

out = load_file(os.path.join(path, "expected.safetensors"))
pretrained_cfg = json.load(open(os.path.join(path, "config.json")))["pretrained_cfg"]
for name, sizes in (("photo", {}), ("photo24x56", {"input_size": (3, 24, 56)})):
    transform = create_transform(**resolve_data_config(sizes, pretrained_cfg=pretrained_cfg))
    out[f"{name}.logits"] = model(transform(image)[None])
save_expected(path, **out)
