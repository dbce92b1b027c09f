"""Goldens of `ocelli explain`: maps from the attention and the patches that transformers' models give, for
checkpoints that the scripts of the families have made (run those first)."""
import os

import torch
from safetensors.torch import save_file
from sklearn.decomposition import PCA
from transformers import CLIPVisionModel, Dinov2WithRegistersForImageClassification, SiglipModel, ViTModel

from common import ROOT, pixels


def rows_of_class(matrix, prefix, classes, grid):
    """What the class token, or without one the mean patch, takes from the patches: [rows, columns]."""
    row = matrix[0] if classes else matrix[prefix:].mean(0)
    return row[prefix:].reshape(grid)


def rollout(attentions):
    """Abnar and Zuidema: half of each step is the residual; later layers multiply from the left."""
    result = torch.eye(attentions[0].shape[-1])
    for attention in attentions:
        step = attention.mean(0) + torch.eye(attention.shape[-1])
        result = (step / step.sum(-1, keepdim=True)) @ result
    return result


def components(rows, count):
    pca = PCA(count, svd_solver="full").fit(rows)
    signs = [component[abs(component).argmax()] for component in pca.components_]
    return torch.from_numpy(pca.transform(rows) * [1 if sign > 0 else -1 for sign in signs])


def colours(images, whole):
    """DINOv2's figure: the first component of all patches parts the objects (less of it on the border) from the
    background, three components of what is left are the colours, each from 0 to 1."""
    rows = torch.cat([image.flatten(0, 1) for image in images]).double().numpy()
    border = torch.cat([torch.nn.functional.pad(torch.zeros(i.shape[0] - 2, i.shape[1] - 2), (1, 1, 1, 1), value=1).flatten() for i in images])
    first = components(rows, 1)[:, 0]
    if first[border > 0].sum() > 0:
        first = -first
    assert first.abs().min() > 1e-3 * first.abs().max()  # none changes sides by rounding
    kept = (first > 0) | whole
    colour = components(rows[kept.numpy()], 3)
    colour = (colour - colour.min(0).values) / (colour.max(0).values - colour.min(0).values)
    out = torch.zeros(len(rows), 3)
    out[kept] = colour.float()
    parts = out.split([image.shape[0] * image.shape[1] for image in images])
    return [part.reshape(*image.shape[:2], 3) for part, image in zip(parts, images)]


def case(name, tower, norm, patch, classes, registers, **options):
    """`tower` gives attentions and tokens, `norm` is what its last_hidden_state still lacks."""
    tower.set_attn_implementation("eager")
    prefix, out, patches = classes + registers, {}, []
    for i, (h, w) in enumerate(((5 * patch, 7 * patch), (6 * patch, 5 * patch))):
        grid, x = (h // patch, w // patch), pixels(1, h, w, seed=11 + i)
        with torch.no_grad():
            y = tower(x, output_attentions=True, **options)
            tokens = torch.nn.functional.normalize(norm(y.last_hidden_state)[0, prefix:], dim=-1)
        out[f"{i}.pixels"] = x
        patches.append(tokens.reshape(*grid, -1))
        attentions = [attention[0] for attention in y.attentions]
        for layer, attention in enumerate(attentions):
            for head, matrix in enumerate(attention):
                out[f"{i}.attention.{layer}.{head}"] = rows_of_class(matrix, prefix, classes, grid)
            out[f"{i}.attention.{layer}.mean"] = rows_of_class(attention.mean(0), prefix, classes, grid)
        out[f"{i}.rollout"] = rows_of_class(rollout(attentions), prefix, classes, grid)
    for kind, whole in (("pca", False), ("whole", True)):
        for i, map in enumerate(colours(patches, whole)):
            out[f"{i}.{kind}"] = map
    os.makedirs(os.path.join(ROOT, "explain"), exist_ok=True)
    save_file({k: v.contiguous() for k, v in out.items()}, os.path.join(ROOT, "explain", f"{name}.safetensors"))


def load(cls, name):
    return cls.from_pretrained(os.path.join(ROOT, name)).eval()


same = torch.nn.Identity()
case("dinov2_hf_registers", load(Dinov2WithRegistersForImageClassification, "dinov2_hf_registers").dinov2_with_registers, same, 14, 1, 3)
case("vit_hf_model", load(ViTModel, "vit_hf_model"), same, 8, 1, 0, interpolate_pos_encoding=True)
clip = load(CLIPVisionModel, "clip_hf_vision")
norm = getattr(clip, "vision_model", clip).post_layernorm
case("clip_hf_vision", clip, norm, 8, 1, 0, interpolate_pos_encoding=True)
case("siglip", load(SiglipModel, "siglip").vision_model, same, 8, 0, 0, interpolate_pos_encoding=True)
