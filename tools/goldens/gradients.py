"""Gradients of every parameter, of models that the other scripts have made: gradients.safetensors beside
them holds the loss and, by the checkpoint's names, d loss / d parameter. Run after the others."""
import glob
import json
import os

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from transformers import AutoModel, AutoModelForImageClassification, VisionTextDualEncoderModel

from common import ROOT, ids, name_of, pixels
from tiny_efficientnet import build


def save(case, model, loss, **inputs):
    model.zero_grad()
    loss.backward()
    checkpoint = load_file(next(glob.iglob(os.path.join(ROOT, case, "*model.safetensors"))))
    stored = {f"grad.{name_of(checkpoint, name, p)}": p.grad.contiguous() for name, p in model.named_parameters() if p.grad is not None}
    for name, value in inputs.items():
        stored[name] = value.contiguous()
    # What batch norms keep, after this step.
    stored.update({f"moved.{name}": b for name, b in model.named_buffers() if "running" in name})
    stored["loss"] = loss.detach()[None]
    save_file(stored, os.path.join(ROOT, case, "gradients.safetensors"))


def classifier(case, model, height, width, **kw):
    x, labels = pixels(3, height, width, seed=11), torch.tensor([1, 3, 0])
    y = model(x, **kw)
    save(case, model, F.cross_entropy(y if torch.is_tensor(y) else y.logits, labels), pixels=x, labels=labels)


for case in ("vit_hf_classifier", "dinov2_hf_classifier"):
    model = AutoModelForImageClassification.from_pretrained(os.path.join(ROOT, case))
    patch = model.config.patch_size
    classifier(case, model, 3 * patch, 4 * patch, **(dict(interpolate_pos_encoding=True) if case.startswith("vit") else {}))

for case in ("vit_timm_reg4", "vit_timm_map"):
    args = json.load(open(os.path.join(ROOT, case, "config.json")))["model_args"]
    model = VisionTransformer(**args)
    model.load_state_dict(load_file(os.path.join(ROOT, case, "model.safetensors")))
    classifier(case, model, 32, 48)


for case, architecture in {"efficientnet_lite0": "tf_efficientnet_lite0", "efficientnet_b0": "tf_efficientnet_b0"}.items():
    model = build(architecture)
    model.load_state_dict(load_file(os.path.join(ROOT, case, "model.safetensors")))
    classifier(case, model.float().train(), 40, 40)


def normal(y):
    y = y.pooler_output if hasattr(y, "pooler_output") else y
    return y / y.norm(dim=-1, keepdim=True)


def symmetric(image, text, scale):
    """CLIP's loss, Radford et al. 2021."""
    logits = scale.exp() * image @ text.T
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


x, texts = pixels(3, 32, 32, seed=12), ids(98)
model = AutoModel.from_pretrained(os.path.join(ROOT, "clip_hf"))
loss = symmetric(normal(model.get_image_features(pixel_values=x)), normal(model.get_text_features(input_ids=texts)), model.logit_scale)
save("clip_hf", model, loss, pixels=x, ids=texts)

padded = ids(0)
mask = (padded != 0).long()
model = VisionTextDualEncoderModel.from_pretrained(os.path.join(ROOT, "dual_vit_bert"))
loss = symmetric(normal(model.get_image_features(pixel_values=x)), normal(model.get_text_features(input_ids=padded, attention_mask=mask)),
                 model.logit_scale)
save("dual_vit_bert", model, loss, pixels=x, ids=padded, attention_mask=mask)

path = os.path.join(ROOT, "clip_open_clip")
config = json.load(open(os.path.join(path, "open_clip_config.json")))["model_cfg"]
model = open_clip.CLIP(**config)
model.load_state_dict(load_file(os.path.join(path, "open_clip_model.safetensors")))
loss = symmetric(normal(model.encode_image(x)), normal(model.encode_text(ids(98, 16))), model.logit_scale)
save("clip_open_clip", model, loss, pixels=x, ids=ids(98, 16))

model = AutoModel.from_pretrained(os.path.join(ROOT, "siglip"))
size = model.config.vision_config.image_size
length = model.config.text_config.max_position_embeddings
x = pixels(3, size, size, seed=13)
texts = torch.randint(1, model.config.text_config.vocab_size, (3, length), generator=torch.Generator().manual_seed(3))
image, text = normal(model.get_image_features(pixel_values=x)), normal(model.get_text_features(input_ids=texts))
logits = model.logit_scale.exp() * image @ text.T + model.logit_bias
signs = 2 * torch.eye(3) - 1
save("siglip", model, -F.logsigmoid(signs * logits).sum() / 3, pixels=x, ids=texts)
