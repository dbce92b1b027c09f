#!/usr/bin/env python3
"""k-NN top-1 and top-5 of a timm ViT, written with PyTorch after DINOv2's dinov2/eval/knn.py, and top-1
by scikit-learn: what 'ocelli knn' is compared with.

usage: knn_reference.py ARCHITECTURE WEIGHTS.safetensors TRAIN TEST"""
import pathlib
import sys

import numpy
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.neighbors import KNeighborsClassifier

K, TEMPERATURE = 20, 0.07


def embed(model, transform, folder):
    paths = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    rows = []
    with torch.inference_mode():
        for start in range(0, len(paths), 32):
            batch = [transform(Image.open(path).convert("RGB")) for path in paths[start:start + 32]]
            rows.append(model.forward_head(model.forward_features(torch.stack(batch)), pre_logits=True))
    labels = [path.parent.name for path in paths]
    return torch.nn.functional.normalize(torch.cat(rows)), labels


architecture, weights, train_folder, test_folder = sys.argv[1:]
model = timm.create_model(architecture, pretrained=False).eval()
model.load_state_dict(load_file(weights))
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
(train, train_labels), (test, test_labels) = (embed(model, transform, f) for f in (train_folder, test_folder))
classes = sorted(set(train_labels))
train_y = torch.tensor([classes.index(label) for label in train_labels])
test_y = torch.tensor([classes.index(label) for label in test_labels])

similarity, nearest = (test @ train.T).topk(K)
votes = torch.zeros(len(test), len(classes)).scatter_add_(1, train_y[nearest], (similarity / TEMPERATURE).softmax(1))
best = votes.topk(5).indices
top1 = (best[:, 0] == test_y).float().mean().item()
top5 = (best == test_y[:, None]).any(1).float().mean().item()
print(f"PyTorch: top-1 {100 * top1:.2f} %, top-5 {100 * top5:.2f} % of {len(test)}")


def weigh(distances):  # cosine distances; the same votes as above
    return numpy.exp((1 - distances) / TEMPERATURE)


classifier = KNeighborsClassifier(K, weights=weigh, metric="cosine", algorithm="brute")
classifier.fit(train.numpy(), train_y.numpy())
print(f"scikit-learn: top-1 {100 * classifier.score(test.numpy(), test_y.numpy()):.2f} %")
