"""Goldens of train/: ten steps of torch.optim and timm.optim, the schedules of torch, timm and DINOv2, and timm's
groups of parameters, for tests/train."""
import json
import math
import os

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.optim import Lars, Lion
from timm.optim._param_groups import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler, StepLRScheduler

from common import ROOT

STEPS = 10
SHAPES = {"blocks.0.weight": (7, 19), "blocks.0.bias": (19,), "head.weight": (3, 5, 2), "idle": (4,)}
# lr and weight decay change from step to step, as under a schedule.
LR = [1e-2 / (1 + i) for i in range(STEPS)]
WEIGHT_DECAY = [0.05 + 0.01 * i for i in range(STEPS)]

METHODS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=1, foreach=False),
    "adamw_betas": lambda p: torch.optim.AdamW(p, lr=1, betas=(0.4, 0.95), eps=1e-6, foreach=False),
    "sgd": lambda p: torch.optim.SGD(p, lr=1, foreach=False),
    "sgd_momentum": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, dampening=0.3, foreach=False),
    "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, nesterov=True, foreach=False),
    "lars": lambda p: Lars(p, lr=1, momentum=0.9, foreach=False),
    "lars_clip": lambda p: Lars(p, lr=1, momentum=0.9, trust_clip=True, nesterov=True, foreach=False),
    "lion": lambda p: Lion(p, lr=1, foreach=False),
}


def tensors(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def steps():
    out = {f"start.{name}": value for name, value in tensors(0).items()}
    for step in range(STEPS):
        gradients = tensors(100 + step)
        del gradients["idle"]  # has never a gradient
        if step == 4:
            del gradients["blocks.0.bias"]
        out |= {f"gradient.{step}.{name}": 0.3 * value for name, value in gradients.items()}
    for method, make in METHODS.items():
        parameters = {name: out[f"start.{name}"].clone().requires_grad_() for name in SHAPES}
        decayed = [p for p in parameters.values() if p.dim() > 1]
        others = [p for p in parameters.values() if p.dim() <= 1]
        optimizer = make([{"params": decayed, "decay": 1}, {"params": others, "decay": 0}])
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"], group["weight_decay"] = LR[step], WEIGHT_DECAY[step] * group["decay"]
            for name, p in parameters.items():
                p.grad = out.get(f"gradient.{step}.{name}")
            optimizer.step()
            if step in (0, STEPS - 1):
                out |= {f"{method}.{step}.{name}": p.detach().clone() for name, p in parameters.items()}
    # An average of weights, and clipped gradients.
    average = tensors(0)["blocks.0.weight"]
    average.mul_(0.992).add_(tensors(100)["blocks.0.weight"], alpha=1 - 0.992)
    gradients = tensors(100)
    parameters = [torch.zeros_like(g).requires_grad_() for g in gradients.values()]
    for p, g in zip(parameters, gradients.values()):
        p.grad = g.clone()
    norm = torch.nn.utils.clip_grad_norm_(parameters, 3.0)
    out |= {"average": average, "norm": norm.reshape(1)}
    out |= {f"clipped.{name}": p.grad for name, p in zip(SHAPES, parameters)}
    out |= {f"unclipped.{name}": g for name, g in gradients.items()}
    out |= {"lr": torch.tensor(LR), "weight_decay": torch.tensor(WEIGHT_DECAY)}
    return {name: value.contiguous() for name, value in out.items()}


def sequence(*schedulers, milestones, optimizer, count):
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, list(schedulers), milestones=list(milestones))
    values = []
    for _ in range(count):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def sgd(lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def timm_values(scheduler, count):
    values = []
    for t in range(count):
        scheduler.step(t)
        values.append(scheduler.optimizer.param_groups[0]["lr"])
    return values


def dinov2(base, last, total, warmup=0, start=0.0, freeze=0, count=None):
    """Written after the description of DINOv2's CosineScheduler."""
    rest = np.arange(total - warmup - freeze)
    curve = last + 0.5 * (base - last) * (1 + np.cos(np.pi * rest / len(rest))) if len(rest) else rest
    values = np.concatenate([np.zeros(freeze), np.linspace(start, base, warmup), curve])
    return [float(values[i]) if i < total else last for i in range(count or total + 3)]


def schedules():
    schedule = torch.optim.lr_scheduler
    total, warmup = 40, 6
    out = {}
    o = sgd(0.5)
    out["cosine"] = sequence(schedule.LinearLR(o, 0.1, total_iters=warmup),
                             schedule.CosineAnnealingLR(o, total - warmup, eta_min=0.02),
                             milestones=[warmup], optimizer=o, count=total)
    o = sgd(0.5)
    out["linear"] = sequence(schedule.LinearLR(o, 0.1, total_iters=warmup),
                             schedule.LinearLR(o, 1.0, 0.04, total_iters=total - warmup),
                             milestones=[warmup], optimizer=o, count=total + 3)
    o = sgd(0.5)
    out["step"] = sequence(schedule.LinearLR(o, 0.1, total_iters=warmup), schedule.StepLR(o, 9, gamma=0.3),
                           milestones=[warmup], optimizer=o, count=total + 3)
    out["timm_cosine"] = timm_values(CosineLRScheduler(sgd(0.5), t_initial=total - warmup, lr_min=0.02, warmup_t=warmup,
                                                       warmup_lr_init=0.05, warmup_prefix=True), total + 3)
    out["timm_step"] = timm_values(StepLRScheduler(sgd(0.5), decay_t=9, decay_rate=0.3, warmup_t=warmup,
                                                   warmup_lr_init=0.05), total + 3)
    epochs, length = 5, 8
    out["dinov2.lr"] = dinov2(0.004, 1e-6, epochs * length, warmup=2 * length, count=43)
    out["dinov2.weight_decay"] = dinov2(0.04, 0.4, epochs * length, count=43)
    out["dinov2.momentum"] = dinov2(0.992, 1, epochs * length, count=43)
    out["dinov2.teacher_temperature"] = dinov2(0.07, 0.07, 3 * length, warmup=3 * length, start=0.04, count=43)
    out["dinov2.freeze"] = dinov2(0.5, 0.02, epochs * length, warmup=6, start=0.1, freeze=4, count=43)
    assert all(math.isfinite(v) for values in out.values() for v in values)
    return out


def groups():
    """name -> shape, lr_scale and decay, of tiny models without weights that matter."""
    models = {"vit": timm.create_model("vit_tiny_patch16_224", depth=3, embed_dim=12, num_heads=3, reg_tokens=4),
              "deit": timm.create_model("deit_tiny_distilled_patch16_224", depth=2, embed_dim=12, num_heads=3),
              "efficientnet": timm.create_model("efficientnet_lite0")}
    out = {}
    for key, model in models.items():
        exclude = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
        names = {id(p): name for name, p in model.named_parameters()}
        out[key] = {names[id(p)]: [list(p.shape), group["lr_scale"], group["weight_decay"] > 0]
                    for group in param_groups_layer_decay(model, 0.05, exclude, layer_decay=0.65)
                    for p in group["params"]}
    return out


path = os.path.join(ROOT, "train")
os.makedirs(path, exist_ok=True)
save_file(steps(), os.path.join(path, "steps.safetensors"))
with open(os.path.join(path, "schedules.json"), "w") as file:
    json.dump(schedules(), file)
with open(os.path.join(path, "groups.json"), "w") as file:
    json.dump(groups(), file)
