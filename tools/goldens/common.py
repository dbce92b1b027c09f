"""Shared by the golden scripts: tiny seeded models, saved as their library saves them, with inputs and
outputs beside them. Run with the reference environment (../shared/tools/reference-env.sh)."""
import os
import shutil

import numpy as np
import torch
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "goldens")


def folder(case):
    path = os.path.join(ROOT, case)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def randomise(model, seed=0):
    """No parameter keeps its initial zeros or ones, so that each one matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() <= 1 and ("norm" in name or "bn" in name or "layrnorm" in name) and name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn(p.shape, generator=generator))
            elif p.dim() == 0:
                p.copy_(p + 0.1)
            elif p.dim() <= 1:
                p.copy_(0.2 * torch.randn(p.shape, generator=generator))
            else:
                fan_in = p[0].numel() if p.dim() > 1 else 1
                p.copy_(torch.randn(p.shape, generator=generator) * min(1.0, 1.5 / fan_in**0.5))
        for name, b in model.named_buffers():
            if name.endswith("running_mean"):
                b.copy_(0.3 * torch.randn(b.shape, generator=generator))
            elif name.endswith("running_var"):
                b.copy_(0.5 + torch.rand(b.shape, generator=generator))
    return model.eval()


def pixels(batch, height, width, seed=1):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def ids(eos, length=12):
    """Three texts of a tiny CLIP: a beginning (97), words, and the end from different places on."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randint(3, 90, (3, length), generator=generator)
    x[:, 0] = 97
    for row, end in enumerate((4, 11, 7)):
        x[row, end:] = eos
    return x


def save_expected(path, **tensors):
    """Inputs and outputs; images stay [B, 3, H, W] as the reference takes them."""
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, os.path.join(path, "expected.safetensors"))


def photo(path, height=45, width=60, seed=3):
    """A small picture with structure at all scales, written as PNG."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([128 + 100 * np.sin(x / (3 + c) + y / 7) for c in range(3)], -1)
    image = Image.fromarray(np.clip(base + rng.normal(0, 25, base.shape), 0, 255).astype(np.uint8))
    image.save(os.path.join(path, "photo.png"))
    return image


def name_of(checkpoint, name, value):
    """transformers 5 gives some parameters other names than their file does."""
    if name in checkpoint:
        return name
    return next(n for n, t in checkpoint.items() if t.shape == value.shape and torch.equal(t, value))
