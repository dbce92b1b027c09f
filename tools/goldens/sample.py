"""Embeddings by timm of every twelfth photograph of imagenet1k-sample, from the file on, by the real
weights; and the accuracy timm reaches on all 600. usage: sample.py [PHOTOS] (default: .data/imagenet1k-sample)

Needs ../shared/weights, models/default and the reference environment. Writes
tests/engine/data/sample_MODEL.npy, float16 [50, C]."""
import pathlib
import sys

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTOS = sorted(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / ".data/imagenet1k-sample").glob("*.jpg"))


def vit():
    model = timm.create_model("vit_tiny_patch16_224")
    model.load_state_dict(load_file(ROOT / "../shared/weights/vit_tiny_patch16_224/model.safetensors"))
    return model, {"crop_pct": 0.9}


def efficientnet():
    """The checkpoint has lukemelas/EfficientNet-PyTorch's names, in timm's order."""
    model = timm.create_model("tf_efficientnet_lite0")
    names = [n for n in model.state_dict() if not n.endswith("num_batches_tracked")]
    values = torch.load(ROOT / "models/default/efficientnet-lite0.pth", weights_only=True)
    values = [v for n, v in values.items() if not n.endswith("num_batches_tracked")]
    assert len(names) == len(values)
    model.load_state_dict(dict(zip(names, values)), strict=False)
    return model, {"crop_pct": 0.875}


for name, make in {"vit_tiny16": vit, "efficientnet_lite0": efficientnet}.items():
    model, crop = make()
    model.eval()
    config = dict(mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic", input_size=(3, 224, 224), **crop)
    transform = timm.data.create_transform(**config)
    rows, correct = [], 0
    with torch.inference_mode():
        for i, path in enumerate(PHOTOS):
            features = model.forward_features(transform(Image.open(path).convert("RGB")).unsqueeze(0))
            embedding = model.forward_head(features, pre_logits=True)
            correct += int(model.get_classifier()(embedding).argmax() == int(path.name[:4]))
            if i % 12 == 0:
                rows.append(embedding[0].numpy())
    np.save(ROOT / f"tests/engine/data/sample_{name}.npy", np.stack(rows).astype(np.float16))
    print(f"{name}: top-1 {correct} of {len(PHOTOS)}")
