"""Fits erf(z) ~ z P(z^2) / Q(z^2) on [0, 3.92], Q(0) = 1, by reweighted least squares, and prints the
coefficients of ocelli/backend/cpu/math-inl.h with the error that float arithmetic reaches.
Needs numpy and scipy."""
import numpy as np
from scipy.special import erf

LIMIT, P, Q = 3.92, 5, 4

t = (np.cos(np.pi * (np.arange(6000) + 0.5) / 6000) + 1) / 2
s = t * LIMIT**2
z = np.sqrt(s)
y = erf(z)
weights = np.ones_like(z)
denominator = np.ones_like(z)
best = (1.0, None, None)
for _ in range(400):
    scale = np.sqrt(weights) / denominator
    columns = [z * s**i for i in range(P + 1)] + [-y * s**i for i in range(1, Q + 1)]
    a = np.stack(columns, 1)
    norms = np.abs(a).max(0)
    solution = np.linalg.lstsq(a / norms * scale[:, None], y * scale, rcond=None)[0] / norms
    p, q = solution[: P + 1], np.concatenate([[1.0], solution[P + 1 :]])
    denominator = np.polyval(q[::-1], s)
    error = np.abs(z * np.polyval(p[::-1], s) / denominator - y)
    if error.max() < best[0]:
        best = (error.max(), p, q)
    weights *= (error + 1e-13) / (error.mean() + 1e-13)
    weights /= weights.mean()

_, p, q = best
x = np.linspace(0, LIMIT, 400001).astype(np.float32)
square = x * x


def horner(coefficients):
    value = np.full_like(square, np.float32(coefficients[-1]))
    for c in coefficients[-2::-1]:
        value = value * square + np.float32(c)
    return value


computed = x * horner(p) / horner(q)
print("fit %.2e, in float %.2e" % (best[0], np.abs(computed - erf(x.astype(np.float64))).max()))
print("P", ", ".join("%.9ef" % c for c in p))
print("Q", ", ".join("%.9ef" % c for c in q))
