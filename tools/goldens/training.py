"""The first twenty losses of training tiny models that the other scripts have made, on one batch: losses.safetensors
beside them. AdamW over all parameters, weight decay on matrices alone, gradients clipped to norm 1."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForImageClassification, VisionTextDualEncoderModel

from common import ROOT, ids, pixels
from tiny_efficientnet import build


def run(case, model, loss_of, **inputs):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=1e-4, foreach=False)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    save_file({"losses": torch.stack(losses), **{k: v.contiguous() for k, v in inputs.items()}}, os.path.join(ROOT, case, "losses.safetensors"))


x, labels = pixels(4, 32, 32, seed=21), torch.tensor([1, 3, 0, 4])
model = AutoModelForImageClassification.from_pretrained(os.path.join(ROOT, "vit_hf_classifier"))
run("vit_hf_classifier", model, lambda m: F.cross_entropy(m(x).logits, labels), pixels=x, labels=labels)

x, labels = pixels(6, 40, 40, seed=24), torch.tensor([1, 3, 0, 4, 2, 2])
model = build("tf_efficientnet_b0")
model.load_state_dict(load_file(os.path.join(ROOT, "efficientnet_b0", "model.safetensors")))
run("efficientnet_b0", model.float().train(), lambda m: F.cross_entropy(m(x), labels), pixels=x, labels=labels)


def normal(y):
    y = y.pooler_output if hasattr(y, "pooler_output") else y
    return y / y.norm(dim=-1, keepdim=True)


def clip_loss(m):
    text = m.get_text_features(input_ids=texts, **({} if mask is None else {"attention_mask": mask}))
    logits = m.logit_scale.exp() * normal(m.get_image_features(pixel_values=images)) @ normal(text).T
    right = torch.arange(len(logits))
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


images, texts, mask = pixels(3, 32, 32, seed=22), ids(98), None
run("clip_hf", AutoModel.from_pretrained(os.path.join(ROOT, "clip_hf")), clip_loss, pixels=images, ids=texts)
texts = ids(0)
mask = (texts != 0).long()
run("dual_vit_bert", VisionTextDualEncoderModel.from_pretrained(os.path.join(ROOT, "dual_vit_bert")), clip_loss, pixels=images, ids=texts,
    attention_mask=mask)


def siglip_loss(m):
    logits = m.logit_scale.exp() * normal(m.get_image_features(pixel_values=images)) @ normal(m.get_text_features(input_ids=texts)).T + m.logit_bias
    return -F.logsigmoid((2 * torch.eye(len(logits)) - 1) * logits).sum() / len(logits)


model = AutoModel.from_pretrained(os.path.join(ROOT, "siglip"))
size, length = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings
images = pixels(3, size, size, seed=23)
texts = torch.randint(1, model.config.text_config.vocab_size, (3, length), generator=torch.Generator().manual_seed(4))
run("siglip", model, siglip_loss, pixels=images, ids=texts)
