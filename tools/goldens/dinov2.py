"""Goldens of the dinov2 family: transformers' classes, and Meta's names with Meta's rules, which are
written down here because its repository is no package. timm's vit_*_dinov2 are in vit.py."""
import os

import torch
from transformers import (Dinov2Config, Dinov2ForImageClassification, Dinov2Model, Dinov2WithRegistersConfig,
                          Dinov2WithRegistersForImageClassification, Dinov2WithRegistersModel)
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil

from common import folder, photo, pixels, randomise, save_expected

SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, patch_size=14)


def outputs(model, sizes, batch=1):
    """Every layer's tokens and attention, and what comes out."""
    out = {}
    for name, (h, w) in sizes.items():
        x = pixels(batch, h, w)
        y = model(x, output_hidden_states=True, output_attentions=True)
        out[f"{name}.pixels"] = x
        for i, attention in enumerate(y.attentions):
            out[f"{name}.features.{i}"] = y.hidden_states[i + 1]
            out[f"{name}.attention.{i}"] = attention
        if hasattr(y, "logits"):
            out[f"{name}.logits"] = y.logits
        else:
            out[f"{name}.embedding"] = y.last_hidden_state[:, 0]
    return out


def masked(model, h, w):
    """Tokens after the final norm where the mask token stands for some of the patches."""
    x, patch = pixels(2, h, w), model.config.patch_size
    mask = torch.rand(2, (h // patch) * (w // patch), generator=torch.Generator().manual_seed(5)) < 0.4
    return {"masked.pixels": x, "masked.mask": mask.to(torch.uint8),
            "masked.tokens": model(x, bool_masked_pos=mask).last_hidden_state}


def hf(case, cls, config):
    model = randomise(cls(config))
    model.set_attn_implementation("eager")
    path = folder(case)
    model.save_pretrained(path)
    return path, model


# 518 is the native size of the published models, 37 x 37 positions; the photo comes to that size.
path, model = hf("dinov2_hf", Dinov2Model, Dinov2Config(**SMALL, image_size=518))
processor = BitImageProcessorPil(size={"shortest_edge": 518}, crop_size={"height": 518, "width": 518}, resample=3)
processor.save_pretrained(path)
image = photo(path)
out = outputs(model, {"usual": (56, 56), "wide": (28, 70)}) | masked(model, 28, 42)
out["photo.embedding"] = model(**processor(image, return_tensors="pt")).last_hidden_state[:, 0]
save_expected(path, **out)

SIZES = {"native": (56, 56), "wide": (28, 98)}
labels = {i: f"label {i}" for i in range(5)}
path, model = hf("dinov2_hf_classifier", Dinov2ForImageClassification,
                 Dinov2Config(**SMALL, image_size=56, qkv_bias=False, hidden_act="relu", id2label=labels))
save_expected(path, **outputs(model, SIZES))

path, model = hf("dinov2_hf_swiglu", Dinov2Model, Dinov2Config(**SMALL, image_size=56, use_swiglu_ffn=True))
save_expected(path, **outputs(model, SIZES))

path, model = hf("dinov2_hf_registers", Dinov2WithRegistersForImageClassification,
                 Dinov2WithRegistersConfig(**SMALL, image_size=56, num_register_tokens=3, id2label=labels))
out = outputs(model, SIZES | {"small": (28, 42)}) | masked(model.dinov2_with_registers, 28, 42)
save_expected(path, **out)


def meta_positions(embeddings):
    """DinoVisionTransformer.interpolate_pos_encoding of the models without registers: bicubic by a scale
    that is 0.1 patches too large."""

    def interpolate(tokens, height, width):
        table, patch = embeddings.position_embeddings, embeddings.patch_size
        side = int((table.shape[1] - 1) ** 0.5)
        rows, columns = height // patch, width // patch
        if (rows, columns) == (side, side):
            return table
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scale = (float(rows + 0.1) / side, float(columns + 0.1) / side)
        grid = torch.nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic")
        assert grid.shape[-2:] == (rows, columns)
        return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)

    return interpolate


def meta_names(model, chunk=0):
    """The state of a transformers model under Meta's names, the blocks in chunks of that many."""
    old, new = model.state_dict(), {}
    for name in ("cls_token", "mask_token", "register_tokens"):
        if f"embeddings.{name}" in old:
            new[name] = old[f"embeddings.{name}"]
    new["pos_embed"] = old["embeddings.position_embeddings"]
    for kind in ("weight", "bias"):
        new[f"patch_embed.proj.{kind}"] = old[f"embeddings.patch_embeddings.projection.{kind}"]
        new[f"norm.{kind}"] = old[f"layernorm.{kind}"]
    for i in range(model.config.num_hidden_layers):
        ours, theirs = f"encoder.layer.{i}.", f"blocks.{i // chunk}.{i}." if chunk else f"blocks.{i}."
        for j in (1, 2):
            new[f"{theirs}ls{j}.gamma"] = old[f"{ours}layer_scale{j}.lambda1"]
        for kind in ("weight", "bias"):
            qkv = [old[f"{ours}attention.{part}_proj.{kind}"] for part in "qkv"]
            new[f"{theirs}attn.qkv.{kind}"] = torch.cat(qkv)
            new[f"{theirs}attn.proj.{kind}"] = old[f"{ours}attention.o_proj.{kind}"]
            for j in (1, 2):
                new[f"{theirs}norm{j}.{kind}"] = old[f"{ours}norm{j}.{kind}"]
            if model.config.use_swiglu_ffn:
                both = [old[f"{ours}mlp.{part}_proj.{kind}"] for part in ("gate", "up")]
                new[f"{theirs}mlp.w12.{kind}"] = torch.cat(both)
                new[f"{theirs}mlp.w3.{kind}"] = old[f"{ours}mlp.down_proj.{kind}"]
            else:
                new[f"{theirs}mlp.fc1.{kind}"] = old[f"{ours}mlp.fc1.{kind}"]
                new[f"{theirs}mlp.fc2.{kind}"] = old[f"{ours}mlp.fc2.{kind}"]
    return new


def meta(case, cls, config, wrap=lambda state: state, chunk=0):
    """Heads are 64 wide, as no file says how many there are; weights are stored in half precision."""
    model = randomise(cls(config)).half().float()
    model.set_attn_implementation("eager")
    if cls is Dinov2Model:
        model.embeddings.interpolate_pos_encoding = meta_positions(model.embeddings)
    path = folder(case)
    state = {name: tensor.half().clone() for name, tensor in meta_names(model, chunk).items()}
    torch.save(wrap(state), os.path.join(path, "checkpoint.pth"))
    out = outputs(model, {"native": (20, 20), "wide": (12, 28), "large": (32, 24)}) | masked(model, 12, 28)
    save_expected(path, **out)


META = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=1, mlp_ratio=1, patch_size=4, image_size=20)
meta("dinov2_meta", Dinov2Model, Dinov2Config(**META))
meta("dinov2_meta_swiglu", Dinov2Model, Dinov2Config(**{**META, "mlp_ratio": 2}, use_swiglu_ffn=True))
meta("dinov2_meta_reg4", Dinov2WithRegistersModel, Dinov2WithRegistersConfig(**META))


def training(state):
    """A checkpoint of Meta's training: the teacher's backbone and heads."""
    backbone = {f"backbone.{name}": tensor for name, tensor in state.items()}
    return {"teacher": {**backbone, "dino_head.mlp.0.weight": torch.ones(2, 2), "ibot_head.mlp.0.bias": torch.ones(2)}}


meta("dinov2_meta_training", Dinov2Model, Dinov2Config(**META), training, chunk=1)
