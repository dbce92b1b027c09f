"""Writes tests/data/goldens: what torchvision's transforms make of two small images for given parameters,
what they draw on average, and timm's mixup. Run with the reference environment."""
import json
import pathlib
import types

import numpy as np
import timm.data.mixup as timm_mixup
import torch
import torchvision.transforms.v2 as T
import torchvision.transforms.v2.functional as F
from PIL import Image
from safetensors.numpy import save_file

out = pathlib.Path(__file__).resolve().parents[2] / "tests/data/goldens"
out.mkdir(parents=True, exist_ok=True)


def noise(height, width, seed):
    """Bytes that the C++ tests make again: a hash of their position."""
    v = np.arange(height * width * 3, dtype=np.uint64) * 2654435761 + seed * 40503 & 0xFFFFFFFF
    v = (v ^ v >> 15) * 0x85EBCA6B & 0xFFFFFFFF
    return ((v ^ v >> 13) >> 8 & 255).astype(np.uint8).reshape(height, width, 3)


def photo(height, width):
    """Colours of a narrow range, so that autocontrast and equalize have something to do."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([110 + 30 * c + (70 - 20 * c) * np.sin(x / (3 + c) + y / 7 + c) for c in range(3)], -1)
    return np.clip(base + noise(height, width, 1) / 16.0, 0, 255).astype(np.uint8)


images = {"photo": photo(17, 23), "noise": noise(16, 16, 2)}
tensors = {f"image.{name}": pixels for name, pixels in images.items()}
cases = []


def add(call, name, arguments, result):
    """One case: apply `call` to the image `name` with `arguments` and expect `result`."""
    cases.append({"call": call, "image": name, "arguments": arguments})
    tensors[f"output.{len(cases) - 1}"] = np.array(result)


for name, pixels in images.items():
    image = Image.fromarray(pixels)
    for call in ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_sharpness"):
        for factor in (0.0, 0.37, 1.0, 1.9):
            add(call, name, [factor], getattr(F, call)(image, factor))
    for factor in (-0.5, -0.21, 0.0, 0.1, 0.5):
        add("adjust_hue", name, [factor], F.adjust_hue(image, factor))
    add("rgb_to_grayscale", name, [], F.rgb_to_grayscale(image, num_output_channels=3))
    add("horizontal_flip", name, [], F.horizontal_flip(image))
    add("invert", name, [], F.invert(image))
    add("autocontrast", name, [], F.autocontrast(image))
    add("equalize", name, [], F.equalize(image))
    for threshold in (0, 128, 201.5):
        add("solarize", name, [threshold], F.solarize(image, threshold))
    for bits in (1, 5, 8):
        add("posterize", name, [bits], F.posterize(image, bits))
    for kernel, sigma in ((1, 1.0), (5, 0.1), (9, 0.7), (9, 2.0), (23, 2.0)):
        add("gaussian_blur", name, [kernel, sigma], F.gaussian_blur(image, [kernel, kernel], [sigma, sigma]))
    for angle in (0, 3, -30, 90, 180, 117.5):
        add("rotate", name, [angle], F.rotate(image, angle))
    for top, left, height, width in ((0, 0, 16, 16), (3, 5, 7, 9), (15, 2, 1, 3)):
        for mode, number in ((T.InterpolationMode.BILINEAR, 2), (T.InterpolationMode.BICUBIC, 3)):
            add("resized_crop", name, [top, left, height, width, 12, 10, number],
                F.resized_crop(image, top, left, height, width, [12, 10], mode))

# ---- the operations of RandAugment and TrivialAugmentWide, and their magnitudes
KINDS = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
         "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"]
spaces = {}
for policy in (T.RandAugment(), T.TrivialAugmentWide()):
    table = {}
    for kind in KINDS:
        magnitudes, signed = policy._AUGMENTATION_SPACE[kind]
        values = magnitudes(31, 17, 23)
        table[kind] = {"signed": signed, "magnitudes": [0.0] if values is None else [float(v) for v in values]}
    spaces[type(policy).__name__] = table
    for number, kind in enumerate(KINDS):
        values = table[kind]["magnitudes"]
        for sign in (1, -1) if table[kind]["signed"] else (1,):
            magnitude = sign * values[len(values) * 2 // 3]
            for name, pixels in images.items():
                add("augment_op", name, [number, magnitude], policy._apply_image_or_video_transform(
                    Image.fromarray(pixels), kind, magnitude, T.InterpolationMode.NEAREST, policy._fill))

# ---- what is drawn: mean and variance over many draws
torch.manual_seed(0)
DRAWS = 20000


def moments(rows):
    rows = np.array(rows, dtype=np.float64)
    deviation = rows.std(0)
    fourth = ((rows - rows.mean(0)) ** 4).mean(0)
    error = np.sqrt(np.maximum(fourth - deviation**4, 0) / DRAWS) / (2 * deviation + 1e-9)  # of the deviation
    return {"mean": rows.mean(0).tolist(), "deviation": deviation.tolist(), "error": error.tolist()}


def crops(transform, height, width):
    image = torch.zeros(3, height, width)
    rows = []
    for _ in range(DRAWS):
        p = transform.make_params([image])
        rows.append([p.get("top", p.get("i")), p.get("left", p.get("j")), p.get("height", p.get("h")),
                     p.get("width", p.get("w"))])
    return {"size": [height, width], **moments(rows)}


statistics = {
    "draws": DRAWS,
    "resized_crop": crops(T.RandomResizedCrop(8), 60, 80),
    "resized_crop_local": crops(T.RandomResizedCrop(8, scale=(0.05, 0.32)), 61, 47),
    "resized_crop_narrow": crops(T.RandomResizedCrop(8), 5, 90),
    "erasing": crops(T.RandomErasing(p=1.0), 60, 80),
}

# ---- timm's Mixup and CutMix for given draws
generator = torch.Generator().manual_seed(3)
batch = torch.randn(4, 3, 5, 6, generator=generator)
labels = torch.tensor([0, 2, 2, 1])
tensors["batch.images"] = batch.permute(0, 2, 3, 1).contiguous().numpy()
mixes = {"mixup": (0.3, None), "cutmix": (0.6, (1, 4, 2, 6))}
for name, (lam, box) in mixes.items():
    mixup = timm_mixup.Mixup(mixup_alpha=1.0, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=3)
    mixup._params_per_batch = types.MethodType(lambda self: (lam, box is not None), mixup)
    timm_mixup.rand_bbox = lambda shape, lam, margin=0.0, count=None: box
    mixed, targets = mixup(batch.clone(), labels)
    tensors[f"{name}.images"] = mixed.permute(0, 2, 3, 1).contiguous().numpy()
    tensors[f"{name}.targets"] = targets.numpy()

save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, out / "augment.safetensors")
(out / "augment.json").write_text(json.dumps({"cases": cases, "spaces": spaces, "statistics": statistics}) + "\n")
