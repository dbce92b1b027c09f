"""Goldens of the efficientnet family: timm's builder at tiny widths, under the names it publishes."""
import json
import os

import torch
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from common import folder, photo, pixels, randomise, save_expected
from tiny_efficientnet import build


def case(name, architecture, size):
    model = randomise(build(architecture))
    path = folder(name)
    # bf16 halves the file; the values are exact in f32 on both sides.
    state = {k: (v.bfloat16() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    save_file(state, os.path.join(path, "model.safetensors"))
    config = {"architecture": architecture, "num_classes": 5, "label_names": [f"kind {i}" for i in range(5)],
              "pretrained_cfg": {"input_size": [3, size, size], "crop_pct": 0.875, "interpolation": "bicubic",
                                 "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "num_classes": 5}}
    json.dump(config, open(os.path.join(path, "config.json"), "w"), indent=1)
    out = {}
    for key, (h, w) in {"native": (size, size), "wide": (size - 11, size + 8)}.items():
        x = pixels(1, h, w)
        out[f"{key}.pixels"] = x
        out[f"{key}.logits"] = model(x)
        out[f"{key}.embedding"] = model.forward_head(model.forward_features(x), pre_logits=True)
        y = model.bn1(model.conv_stem(x))
        for i, stage in enumerate(model.blocks):
            y = stage(y)
            if i in (1, len(model.blocks) - 1):
                out[f"{key}.features.{i}"] = y
    image = photo(path)
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=config["pretrained_cfg"]))
    out["photo.logits"] = model(transform(image)[None])
    save_expected(path, **out)


torch.manual_seed(0)
case("efficientnet_lite0", "tf_efficientnet_lite0", 32)
case("efficientnet_b0", "tf_efficientnet_b0", 32)
case("efficientnet_b1_timm", "efficientnet_b1", 40)
case("efficientnet_v2_s", "tf_efficientnetv2_s", 32)
