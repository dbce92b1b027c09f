"""Domain adaptation as train/adapt.h has it: FixMatch's loss with a teacher that is an average, and Deep CORAL on the logits. The first
loss with its parts and gradients, and ten losses of AdamW, with the tiny ViT that vit.py has made."""
import copy
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForImageClassification

from common import ROOT, pixels

THRESHOLD, TARGET, CORAL, MOMENTUM = 0.6, 0.8, 0.5, 0.9


def covariance(x):
    n = x.shape[0]
    ones = torch.ones(1, n) @ x
    return (x.T @ x - ones.T @ ones / n) / (n - 1)  # the paper's equation 2


model = AutoModelForImageClassification.from_pretrained(os.path.join(ROOT, "vit_hf_classifier")).train()
teacher = copy.deepcopy(model)
source, weak, labels = pixels(4, 32, 32, seed=41), pixels(4, 32, 32, seed=42), torch.tensor([1, 3, 0, 4])
strong = weak + 0.3 * pixels(4, 32, 32, seed=43)
decayed = [p for p in model.parameters() if p.dim() > 1]
plain = [p for p in model.parameters() if p.dim() <= 1]
optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=1e-3, foreach=False)
out, losses, used = {"source": source, "weak": weak, "strong": strong, "labels": labels}, [], []
for step in range(10):
    with torch.no_grad():
        best, pseudo = teacher(weak).logits.softmax(-1).max(-1)
    mask = best.ge(THRESHOLD).float()
    logits = model(torch.cat([source, strong])).logits
    a, b = logits.chunk(2)
    parts = {"source_loss": F.cross_entropy(a, labels), "target_loss": (F.cross_entropy(b, pseudo, reduction="none") * mask).mean(),
             "coral_loss": (covariance(a) - covariance(b)).pow(2).sum() / (4 * a.shape[1] ** 2)}
    loss = parts["source_loss"] + TARGET * parts["target_loss"] + CORAL * parts["coral_loss"]
    optimizer.zero_grad()
    loss.backward()
    if step == 0:
        out.update(parts)
        for name in ("classifier.weight", "vit.embeddings.cls_token", "vit.layernorm.weight"):
            out[f"grad.{name}"] = dict(model.named_parameters())[name].grad.clone()
    optimizer.step()
    losses.append(loss.detach())
    used.append(mask.mean())
    with torch.no_grad():
        for t, p in zip(teacher.parameters(), model.parameters()):
            t.mul_(MOMENTUM).add_(p, alpha=1 - MOMENTUM)
out.update(losses=torch.stack(losses), used=torch.stack(used), teacher=teacher.classifier.weight)
print(out["used"], out["losses"])
save_file({k: v.detach().contiguous() for k, v in out.items()}, os.path.join(ROOT, "train", "adapt.safetensors"))
