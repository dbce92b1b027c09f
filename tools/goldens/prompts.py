"""CoOp (arXiv 2109.01134) and Tip-Adapter (arXiv 2111.03930) over the tiny models that clip.py, dual_encoder.py and bert.py
have made: prompts.safetensors beside each holds logits, loss, gradient and the first ten losses of a context of four vectors,
and for CLIP the logits, the learning and the search of a cache. Run after those, which make the folders anew."""
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import BertModel, CLIPModel, VisionTextDualEncoderModel

from common import ROOT

M, CLASSES, SHOTS, EPOCHS = 4, 5, 4, 10


class WithContext(torch.nn.Module):
    """The token embedding with the tokens behind the first replaced."""

    def __init__(self, tokens):
        super().__init__()
        self.tokens = tokens

    def forward(self, ids):
        x = self.tokens(ids)
        return torch.cat([x[:, :1], self.context.expand(len(ids), -1, -1), x[:, 1 + M:]], 1)


def learn(stored, words, logits, rate=0.02):
    """How a context in `words` learns: into `stored`, where it begins as "context"."""
    words.context = torch.nn.Parameter(stored["context"].clone())
    stored["coop.logits"] = logits().detach()
    optimizer = torch.optim.SGD([words.context], lr=1, momentum=0.9, weight_decay=5e-4)
    losses = []
    for epoch in range(EPOCHS):
        now = 1e-5 if epoch == 0 else rate * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * epoch / EPOCHS)).item())
        optimizer.param_groups[0]["lr"] = now
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(), stored["labels"])
        loss.backward()
        if epoch == 0:
            stored["coop.gradient"] = words.context.grad.clone()
        optimizer.step()
        losses.append(loss.detach())
    stored.update({"coop.losses": torch.stack(losses), "coop.learnt": words.context.detach().clone()})


def save(folder, stored):
    save_file({k: v.contiguous() for k, v in stored.items()}, os.path.join(folder, "prompts.safetensors"))


def pooled(y):
    return y.pooler_output if hasattr(y, "pooler_output") else y


folder = os.path.join(ROOT, "clip_hf")
model = CLIPModel.from_pretrained(folder).requires_grad_(False).eval()
generator = torch.Generator().manual_seed(11)


def randn(*shape):
    return torch.randn(*shape, generator=generator)


ids = torch.randint(3, 90, (CLASSES, 12), generator=generator)
ids[:, 0] = 97
ENDS = 11, 7, 9, 6, 10
for row, end in enumerate(ENDS):
    ids[row, end:] = 98
labels = torch.arange(CLASSES).repeat(SHOTS)
centres = F.normalize(randn(CLASSES, 24), dim=-1)
images, asked = (F.normalize(centres[labels] + 0.25 * randn(len(labels), 24), dim=-1) for _ in range(2))
scale = model.logit_scale.exp()

context = 0.1 * randn(M, 32)
stored = {"ids": ids, "labels": labels, "images": images, "asked": asked, "context": context}
words = model.text_model.embeddings.token_embedding = WithContext(model.text_model.embeddings.token_embedding)
learn(stored, words, lambda: scale * images @ F.normalize(pooled(model.get_text_features(input_ids=ids)), dim=-1).T)

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
save(folder, stored)

# BERT sees all tokens but the padding: pooled by its first token below a projection, and by the mean as sentence-transformers.
mask = (torch.arange(12) < torch.tensor(ENDS)[:, None]).long()
ids = ids * mask


def bert(case, tower, width, scale, length, embed):
    images = length * F.normalize(randn(CLASSES, width)[labels] + 0.25 * randn(len(labels), width), dim=-1)
    stored = {"ids": ids, "mask": mask, "labels": labels, "images": images, "context": context}
    words = tower.embeddings.word_embeddings = WithContext(tower.embeddings.word_embeddings)
    learn(stored, words, lambda: scale * images @ F.normalize(embed(), dim=-1).T, rate=5)
    print(case, stored["coop.gradient"].abs().max(), stored["coop.losses"])
    save(os.path.join(ROOT, case), stored)


def open_model(kind, case):
    return kind.from_pretrained(os.path.join(ROOT, case)).requires_grad_(False).eval()


dual = open_model(VisionTextDualEncoderModel, "dual_vit_bert")
bert("dual_vit_bert", dual.text_model, 24, dual.logit_scale.exp(), 1, lambda: pooled(dual.get_text_features(input_ids=ids, attention_mask=mask)))

sentences = open_model(BertModel, "bert_sentence_mean")


def mean():
    states = sentences(input_ids=ids, attention_mask=mask).last_hidden_state
    return F.normalize((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)


bert("bert_sentence_mean", sentences, 32, 1, 20, mean)
