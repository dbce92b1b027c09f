"""Distillation: timm's TokenDistillationTask with tiny models that vit.py has made, and open_clip's DistillClipLoss."""
import json
import os

import torch
import torch.nn.functional as F
from open_clip.loss import DistillClipLoss
from safetensors.torch import load_file, save_file
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from timm.task import TokenDistillationTask

from common import ROOT, pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARGS = json.load(open(os.path.join(ROOT, "vit_timm_token", "config.json")))["model_args"]
KEPT = ("cls_token", "dist_token", "head.weight", "head_dist.weight", "head_dist.bias", "blocks.0.norm1.weight", "patch_embed.proj.bias")

out = {}
teacher = VisionTransformer(**ARGS)
teacher.load_state_dict(load_file(os.path.join(ROOT, "vit_timm_token", "model.safetensors")))
teacher.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
x, labels = pixels(4, 32, 32, seed=31), torch.tensor([1, 3, 0, 4])
for kind, temperature in (("soft", 2.0), ("hard", 1.0)):
    student = VisionTransformerDistilled(**{**ARGS, "embed_dim": 64, "num_heads": 1, "depth": 1})
    student.load_state_dict(torch.load(os.path.join(ROOT, "vit_deit_distilled", "checkpoint.pth"))["model"])
    student.pretrained_cfg = {"mean": MEAN, "std": STD}
    task = TokenDistillationTask(student, teacher, criterion=torch.nn.CrossEntropyLoss(), distill_type=kind, temperature=temperature,
                                 distill_loss_weight=0.7, task_loss_weight=1.0, device=torch.device("cpu"), verbose=False)
    task.train()
    losses = task(x, labels)
    losses["loss"].backward()
    for name in ("loss", "task_loss", "distill_loss"):
        out[f"{kind}.{name}"] = losses[name]
    for name, p in student.named_parameters():
        if name in KEPT:
            out[f"{kind}.grad.{name}"] = p.grad
out.update(pixels=x, labels=labels)

generator = torch.Generator().manual_seed(32)
images, texts = (torch.randn(6, 8, generator=generator).requires_grad_() for _ in range(2))
teacher_images, teacher_texts = (F.normalize(torch.randn(6, 5, generator=generator), dim=-1) for _ in range(2))
scale = torch.tensor(1.3, requires_grad=True)
contrastive, distill = DistillClipLoss()(F.normalize(images, dim=-1), F.normalize(texts, dim=-1), scale.exp(), teacher_images, teacher_texts, 20.0)
(contrastive + 0.5 * distill).backward()
out.update({"clip.images": images, "clip.texts": texts, "clip.teacher_images": teacher_images, "clip.teacher_texts": teacher_texts,
            "clip.logit_scale": scale, "clip.contrastive": contrastive, "clip.distill": distill,
            "clip.grad.images": images.grad, "clip.grad.texts": texts.grad, "clip.grad.logit_scale": scale.grad})
save_file({k: v.detach().contiguous() for k, v in out.items()}, os.path.join(ROOT, "train", "distill.safetensors"))
