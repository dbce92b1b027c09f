"""CoOp (arXiv 2109.01134) and Tip-Adapter (arXiv 2111.03930) over the tiny CLIP that clip.py has made: prompts.safetensors
beside it holds logits, loss, gradient and the first ten losses of a context of four vectors, and the logits, the learning
and the search of a cache. Run after clip.py, which makes the folder anew."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import CLIPModel

from common import ROOT

M, CLASSES, SHOTS, EPOCHS = 4, 5, 4, 10


class WithContext(torch.nn.Module):
    """The token embedding with the tokens behind the first replaced."""

    def __init__(self, tokens, context):
        super().__init__()
        self.tokens, self.context = tokens, context

    def forward(self, ids):
        x = self.tokens(ids)
        return torch.cat([x[:, :1], self.context.expand(len(ids), -1, -1), x[:, 1 + M:]], 1)


folder = os.path.join(ROOT, "clip_hf")
model = CLIPModel.from_pretrained(folder).requires_grad_(False).eval()
generator = torch.Generator().manual_seed(11)


def randn(*shape):
    return torch.randn(*shape, generator=generator)


ids = torch.randint(3, 90, (CLASSES, 12), generator=generator)
ids[:, 0] = 97
for row, end in enumerate((11, 7, 9, 6, 10)):
    ids[row, end:] = 98
labels = torch.arange(CLASSES).repeat(SHOTS)
centres = F.normalize(randn(CLASSES, 24), dim=-1)
images, asked = (F.normalize(centres[labels] + 0.25 * randn(len(labels), 24), dim=-1) for _ in range(2))
scale = model.logit_scale.exp()

context = torch.nn.Parameter(0.1 * randn(M, 32))
stored = {"ids": ids, "labels": labels, "images": images, "asked": asked, "context": context.detach().clone()}
model.text_model.embeddings.token_embedding = WithContext(model.text_model.embeddings.token_embedding, context)


def logits():
    texts = model.get_text_features(input_ids=ids)
    texts = texts.pooler_output if hasattr(texts, "pooler_output") else texts
    return scale * images @ F.normalize(texts, dim=-1).T


stored["coop.logits"] = logits().detach()
optimizer = torch.optim.SGD([context], lr=1, momentum=0.9, weight_decay=5e-4)
losses = []
for epoch in range(EPOCHS):
    rate = 1e-5 if epoch == 0 else 0.02 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * epoch / EPOCHS)).item())
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss = F.cross_entropy(logits(), labels)
    loss.backward()
    if epoch == 0:
        stored["coop.gradient"] = context.grad.clone()
    optimizer.step()
    losses.append(loss.detach())
stored.update({"coop.losses": torch.stack(losses), "coop.learnt": context.detach().clone()})

# The cache beside random texts, that tell some of the classes apart.
texts = F.normalize(centres + 0.6 * randn(CLASSES, 24) / 24**0.5, dim=-1)
values = F.one_hot(labels, CLASSES).float()


def cache(x, keys, alpha, beta):
    return 3 * x @ texts.T + alpha * torch.exp(-beta * (1 - x @ keys.T)) @ values


stored.update({"tip.zero_shot": 3 * images @ texts.T, "tip.asked_zero_shot": 3 * asked @ texts.T, "tip.logits": cache(asked, images, 1.0, 5.5)})
keys = torch.nn.Parameter(images.clone())
optimizer = torch.optim.AdamW([keys], lr=0.01, eps=1e-4, foreach=False)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
losses = []
for epoch in range(EPOCHS):
    optimizer.zero_grad()
    loss = F.cross_entropy(cache(images, keys, 1.0, 5.5), labels)
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.detach())
stored.update({"tip.losses": torch.stack(losses), "tip.learnt": keys.detach().clone()})

# alpha and beta by shots that are asked without their own key, for texts that know nothing.
noise = 0.05 * randn(CLASSES, CLASSES)[labels]
affinity = images @ images.T


def right(alpha, beta):
    left = torch.exp(-beta * (1 - affinity)).fill_diagonal_(0)
    return (noise + alpha * left @ values).argmax(1).eq(labels).sum().item()


points = [(0.1 + a / 20 * 2.9, 0.1 + b / 20 * 6.9) for b in range(20) for a in range(20)]
best, most = (1.0, 5.5), right(1.0, 5.5)
for point in points:
    if right(*point) > most:
        best, most = point, right(*point)
stored.update({"search.zero_shot": noise, "search.best": torch.tensor(best), "search.right": torch.tensor([right(1.0, 5.5), most])})
print(losses[0], losses[-1], stored["coop.losses"], stored["search.best"], stored["search.right"])
save_file({k: v.contiguous() for k, v in stored.items()}, os.path.join(folder, "prompts.safetensors"))
