"""Goldens of the dinov3 family: transformers' DINOv3ViTModel, timm's Eva as vit_*_dinov3."""
import json
import os
from functools import partial

import torch
from safetensors.torch import save_file
from timm.layers import LayerNorm
from timm.models.eva import Eva
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from common import folder, pixels, randomise, save_expected

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, patch_size=8, image_size=32)
SIZES = {"native": (32, 32), "wide": (24, 56)}


def hf(case, **changes):
    model = randomise(DINOv3ViTModel(DINOv3ViTConfig(**SMALL, **changes)))
    model.set_attn_implementation("eager")
    path = folder(case)
    model.save_pretrained(path)
    out = {}
    for name, (h, w) in SIZES.items():
        x = pixels(2, h, w)
        y = model(x, output_hidden_states=True, output_attentions=True)
        out[f"{name}.pixels"], out[f"{name}.embedding"] = x, y.last_hidden_state[:, 0]
        for i in range(2):
            out[f"{name}.features.{i}"] = y.hidden_states[i + 1]
            out[f"{name}.attention.{i}"] = y.attentions[i]
    mask = torch.rand(2, 12, generator=torch.Generator().manual_seed(5)) < 0.4
    out["masked.pixels"], out["masked.mask"] = pixels(2, 24, 32), mask.to(torch.uint8)
    out["masked.tokens"] = model(out["masked.pixels"], bool_masked_pos=mask).last_hidden_state
    save_expected(path, **out)


hf("dinov3_hf", num_register_tokens=3)
hf("dinov3_hf_gated", num_register_tokens=1, use_gated_mlp=True, hidden_act="silu", rope_theta=50.0)


def timm(case, architecture, **changes):
    model = randomise(Eva(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=1, mlp_ratio=1, num_classes=5,
                          dynamic_img_size=True, init_values=0.1, rope_type="dinov3", rope_temperature=100,
                          rope_rotate_half=True, use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4,
                          use_fc_norm=False, norm_layer=partial(LayerNorm, eps=1e-5), **changes)).half().float()
    path = folder(case)
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, os.path.join(path, "model.safetensors"))
    config = {"architecture": architecture, "num_classes": 5, "global_pool": changes.get("global_pool", "avg"),
              "pretrained_cfg": {"input_size": [3, 32, 32], "crop_pct": 1.0, "interpolation": "bicubic",
                                 "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 5}}
    json.dump(config, open(os.path.join(path, "config.json"), "w"), indent=1)
    out = {}
    for name, (h, w) in SIZES.items():
        x = pixels(1, h, w)
        out[f"{name}.pixels"], out[f"{name}.logits"] = x, model(x)
        out[f"{name}.embedding"] = model.forward_head(model.forward_features(x), pre_logits=True)
        layers = model.forward_intermediates(x, output_fmt="NLC", intermediates_only=True, return_prefix_tokens=True)
        for i, (patches, prefix) in enumerate(layers):
            out[f"{name}.features.{i}"] = torch.cat([prefix, patches], 1)
    save_expected(path, **out)


timm("dinov3_timm", "vit_small_patch16_dinov3", qkv_bias=False)
timm("dinov3_timm_qkvb", "vit_small_plus_patch16_dinov3_qkvb", qkv_bias=True, swiglu_mlp=True, swiglu_align_to=8,
     global_pool="token")
