"""Goldens of `ocelli eval --train`: seeded embeddings of a few classes, and what scikit-learn makes of them."""
import os

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from common import ROOT

CLASSES, WIDTH = 5, 12


def embeddings(count, spread, seed):
    """Rows of length 1 round a centre a class, unevenly many of each."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, WIDTH))
    rng = np.random.default_rng(seed)
    label = np.sort(rng.choice(CLASSES, count, p=[0.4, 0.25, 0.2, 0.1, 0.05]))
    rows = centres[label] + rng.normal(0, spread, (count, WIDTH)) + 0.7
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), label


def mean_average_precision(rows, label):
    precisions = []
    for i in range(len(rows)):
        others = np.arange(len(rows)) != i
        same = label[others] == label[i]
        if same.any():
            precisions.append(average_precision_score(same, rows[others].astype(np.float64) @ rows[i]))
    return np.mean(precisions)


out = {}
for name, (train, spread, c) in {"many": (1500, 0.9, 10), "few": (40, 0.05, 1), "noise": (40, 6.0, 1)}.items():
    rows, label = embeddings(train, spread, seed=1)
    asked, truth = embeddings(200, spread, seed=2)
    probe = LogisticRegression(C=c, tol=1e-10, max_iter=10000).fit(rows.astype(np.float64), label)
    assert set(label) == set(range(CLASSES))
    print(name, probe.score(asked, truth))
    out |= {f"{name}.rows": rows, f"{name}.label": label, f"{name}.asked": asked, f"{name}.truth": truth,
            f"{name}.c": np.float32([c]), f"{name}.scores": probe.decision_function(asked).astype(np.float32),
            f"{name}.map": np.float32([mean_average_precision(asked, truth)])}
os.makedirs(os.path.join(ROOT, "evaluate"), exist_ok=True)
save_file({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in out.items()}, os.path.join(ROOT, "evaluate", "features.safetensors"))
