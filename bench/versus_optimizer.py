"""A step of AdamW over the parameters of a ViT-B/16, Ocelli's beside torch.optim.AdamW(fused=True), in turns.

usage: versus_optimizer.py [--threads 2] [--rounds 3] [--kernels build/bench/kernels]

Run with the reference environment (../shared/tools/reference-env.sh). Printed is the best time of each, and GB/s of the
seven floats a parameter that a step must move: parameter, gradient and two moments read, three of them written.
"""
import argparse
import json
import os
import subprocess
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--kernels", default="build/bench/kernels")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import timm
import torch

torch.set_num_threads(arguments.threads)
model = timm.create_model("vit_base_patch16_224")
count = sum(p.numel() for p in model.parameters())
for p in model.parameters():
    p.grad = torch.randn_like(p)
optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05, fused=True)
optimizer.step()


def torch_ms(seconds=2):
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def ocelli_ms():
    result = subprocess.run([arguments.kernels, "--benchmark_filter=optimizer_step/method:0", "--benchmark_format=json",
                             "--benchmark_min_time=0.3", "--benchmark_repetitions=5"],
                            capture_output=True, text=True, check=True)
    runs = json.loads(result.stdout)["benchmarks"]
    return min(run["real_time"] for run in runs if run["run_type"] == "iteration")


best = {"torch, fused": float("inf"), "Ocelli": float("inf")}
for _ in range(arguments.rounds):
    best["torch, fused"] = min(best["torch, fused"], torch_ms())
    best["Ocelli"] = min(best["Ocelli"], ocelli_ms())
for name, ms in best.items():
    print(f"{name:<14} {ms:7.1f} ms  {28e-6 * count / ms:6.1f} GB/s   ({count / 1e6:.1f} M parameters, {arguments.threads} threads)")
