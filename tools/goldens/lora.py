"""LoRA (arXiv 2106.09685) over a tiny ViT that vit.py has made: lora.safetensors beside it holds A and B, the loss and
its gradients, and the first twenty losses of AdamW. B is not zero, so that A has a gradient, too."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForImageClassification

from common import ROOT, pixels

RANK, ALPHA = 4, 6


class Lora(torch.nn.Module):
    def __init__(self, linear, generator):
        super().__init__()
        self.linear = linear
        self.a = torch.nn.Parameter(torch.randn(RANK, linear.in_features, generator=generator) * 0.1)
        self.b = torch.nn.Parameter(torch.randn(linear.out_features, RANK, generator=generator) * 0.1)

    def forward(self, x):
        return self.linear(x) + ALPHA / RANK * (x @ self.a.T) @ self.b.T


folder = os.path.join(ROOT, "vit_hf_classifier")
model = AutoModelForImageClassification.from_pretrained(folder).requires_grad_(False)
learning = {"classifier.weight": model.classifier.weight.requires_grad_(), "classifier.bias": model.classifier.bias.requires_grad_()}
generator = torch.Generator().manual_seed(5)
for i, layer in enumerate(model.vit.layers):
    for part, which in {"q_proj": "query", "v_proj": "value"}.items():
        lora = Lora(getattr(layer.attention, part), generator)
        setattr(layer.attention, part, lora)
        name = f"vit.encoder.layer.{i}.attention.attention.{which}.weight"
        learning.update({f"{name}.lora_A": lora.a, f"{name}.lora_B": lora.b})

x, labels = pixels(4, 32, 32, seed=31), torch.tensor([1, 3, 0, 4])
stored = {"pixels": x, "labels": labels}
stored.update({name: p.detach().clone() for name, p in learning.items() if "lora" in name})
groups = [{"params": [p for p in learning.values() if (p.dim() > 1) == matrix], "weight_decay": 0.05 * matrix} for matrix in (True, False)]
optimizer = torch.optim.AdamW(groups, lr=1e-3, foreach=False)
losses = []
for step in range(20):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x).logits, labels)
    loss.backward()
    if step == 0:
        stored.update({f"grad.{name}": p.grad.clone() for name, p in learning.items()})
    torch.nn.utils.clip_grad_norm_(list(learning.values()), 1.0)
    optimizer.step()
    losses.append(loss.detach())
save_file({**stored, "losses": torch.stack(losses)}, os.path.join(folder, "lora.safetensors"))
