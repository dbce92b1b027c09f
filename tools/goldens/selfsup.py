"""DINOv2's self-supervised training of a tiny Dinov2Model: tests/goldens/selfsup_dinov2 holds the model and, for
Sinkhorn-Knopp with separate heads and for centring with one, the crops, masks and heads of the start, all losses and
gradients of the first step, and the losses of twenty steps of AdamW with the teacher's average and its centres.
The losses are written down here from the papers (arXiv 2104.14294, 2111.07832, 1806.03198, 2304.07193, 2006.09882)."""
import copy
import os

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config, Dinov2Model

from common import folder, name_of, pixels, randomise

IMAGES, LOCAL, PROTOTYPES, STEPS = 4, 3, 24, 20
STUDENT_TEMPERATURE, MOMENTUM, CENTRE_MOMENTUM, FROZEN = 0.1, 0.95, 0.9, 3


class Prototypes(nn.Module):
    """A linear whose rows have the lengths weight_g, as torch.nn.utils.weight_norm makes it."""

    def __init__(self, width):
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(PROTOTYPES, 1))
        self.weight_v = nn.Parameter(torch.zeros(PROTOTYPES, width))

    def forward(self, x):
        return x @ (self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True)).T


class Head(nn.Module):
    def __init__(self, width, hidden=20, bottleneck=8):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck))
        self.last_layer = Prototypes(bottleneck)

    def forward(self, x):
        return self.last_layer(F.normalize(self.mlp(x), dim=-1))


def sinkhorn_knopp(logits, temperature):
    q = torch.exp(logits / temperature)
    q = q / q.sum()
    for _ in range(3):
        q = q / q.sum(0, keepdim=True) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


def cross_entropy(student, teacher):
    return -(teacher * F.log_softmax(student / STUDENT_TEMPERATURE, -1)).sum(-1)


def koleo(x):
    x = F.normalize(x, dim=-1, eps=1e-8)
    products = x @ x.T
    nearest = products.fill_diagonal_(-2).argmax(1)
    return -torch.log(F.pairwise_distance(x, x[nearest], eps=1e-8) + 1e-8).mean()


class Teacher:
    """Its probabilities, with the centre that the batches before left."""

    def __init__(self, centring):
        self.centre = torch.zeros(PROTOTYPES) if centring else None

    def __call__(self, logits, temperature):
        if self.centre is None:
            return sinkhorn_knopp(logits, temperature)
        p = F.softmax((logits - self.centre) / temperature, -1)
        self.centre = CENTRE_MOMENTUM * self.centre + (1 - CENTRE_MOMENTUM) * logits.mean(0)
        return p


def losses_of(student, teacher, batch, teach, temperature):
    masks = batch["masks"].bool()
    ibot = "ibot_head" if "ibot_head" in student else "dino_head"
    with torch.no_grad():
        tokens = teacher["backbone"](batch["images"]).last_hidden_state
        classes = teach["dino"](teacher["dino_head"](tokens[:, 0]), temperature).chunk(2)
        patches = teach["ibot"](teacher[ibot](tokens[:, 1:][masks]), temperature)
    tokens = student["backbone"](batch["images"], bool_masked_pos=masks).last_hidden_state
    local = student["backbone"](batch["local_crops"]).last_hidden_state[:, 0]
    views = list(student["dino_head"](tokens[:, 0]).chunk(2)) + list(student["dino_head"](local).chunk(LOCAL))
    pairs = [cross_entropy(views[s], classes[t]).mean() for t in range(2) for s in range(len(views)) if s != t]
    dino = sum(pairs) / len(pairs)
    terms = cross_entropy(student[ibot](tokens[:, 1:][masks]), patches)
    weights = (1 / masks.sum(1).clamp(min=1))[:, None].expand_as(masks)[masks]
    return dino, (terms * weights).sum() / len(masks), sum(koleo(x) for x in tokens[:, 0].chunk(2))


def run(path, name, backbone, centring, separate):
    generator = torch.Generator().manual_seed(7)
    student = nn.ModuleDict({"backbone": copy.deepcopy(backbone)})
    for i, head in enumerate(["dino_head", "ibot_head"] if separate else ["dino_head"]):
        student[head] = randomise(Head(backbone.config.hidden_size), seed=30 + i)
    student.train()
    teacher = copy.deepcopy(student)
    batch = {"images": pixels(2 * IMAGES, 16, 16, seed=31), "local_crops": pixels(LOCAL * IMAGES, 8, 8, seed=32)}
    masks = torch.rand(2 * IMAGES, 16, generator=generator) < torch.linspace(0.1, 0.7, 2 * IMAGES)[:, None]
    masks[3] = False
    batch["masks"] = masks.to(torch.uint8)
    stored = {part: value.clone() for part, value in batch.items()}
    checkpoint = load_file(os.path.join(path, "model.safetensors"))
    names = {name_of(checkpoint, n, p): p for n, p in student["backbone"].named_parameters()}
    names |= {n: p for n, p in student.named_parameters() if "_head." in n}
    stored |= {f"start.{n}": p.detach().clone() for n, p in names.items() if "_head." in n}
    last = [p for n, p in names.items() if "last_layer" in n]
    others = [p for n, p in names.items() if "last_layer" not in n]
    optimizer = torch.optim.AdamW([{"params": others}, {"params": last}], weight_decay=0.04, foreach=False)
    teach, losses = {"dino": Teacher(centring), "ibot": Teacher(centring)}, []
    for step in range(STEPS):
        temperature = 0.04 + 0.03 * step / STEPS
        optimizer.param_groups[0]["lr"] = 2e-3
        optimizer.param_groups[1]["lr"] = 0.0 if step < FROZEN else 2e-3
        optimizer.zero_grad()
        dino, ibot, spread = losses_of(student, teacher, batch, teach, temperature)
        (dino + ibot + 0.1 * spread).backward()
        if step == 0:
            stored |= {f"grad.{n}": p.grad.clone() for n, p in names.items() if p.grad is not None}
        for module in student.values():
            torch.nn.utils.clip_grad_norm_(module.parameters(), 3.0)
        optimizer.step()
        with torch.no_grad():
            for t, s in zip(teacher.parameters(), student.parameters()):
                t.mul_(MOMENTUM).add_(s, alpha=1 - MOMENTUM)
        losses.append(torch.stack([dino, ibot, spread]).detach())
    stored["losses"] = torch.stack(losses)
    stored["teacher.layernorm.weight"] = teacher["backbone"].layernorm.weight.detach()
    save_file({n: t.contiguous() for n, t in stored.items()}, os.path.join(path, f"{name}.safetensors"))
    print(name, losses[0], losses[-1])


config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=16, patch_size=4)
backbone = randomise(Dinov2Model(config), seed=29)
path = folder("selfsup_dinov2")
backbone.save_pretrained(path)
run(path, "sinkhorn_knopp", backbone, centring=False, separate=True)
run(path, "centring", backbone, centring=True, separate=False)
