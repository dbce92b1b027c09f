"""Training beside PyTorch, eager and compiled: steps of timm's ViTs on random pixels, in turns.

usage: versus_training.py TRAIN_STEP [--models tiny,small] [--precisions f32,bf16] [--batch 32]
                          [--steps 3] [--threads 2] [--json out.json]
TRAIN_STEP is build/bench/train_step. A step is forward, backward, clip_grad_norm and AdamW (PyTorch's is
the fused one, its bf16 autocast). Prints images a second of the fastest step of each and the peak of
resident memory. Rows that are in out.json are not measured again.
"""
import argparse
import os
import re
import subprocess
import sys
import time

from results import Results

PEERS = ("torch", "compiled")


def peer(engine, model, precision, batch, steps, threads):
    import resource

    import timm
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = timm.create_model(f"vit_{model}_patch16_224", num_classes=1000).train()
    pixels = torch.randn(batch, 3, 224, 224)
    labels = torch.randint(0, 1000, (batch,))
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3, fused=True)
    run = torch.compile(net) if engine == "compiled" else net

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(run(pixels), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):  # the second one compiles no more
        step()
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{batch / best:.1f} img/s, {peak} MiB")


def compare(model, precision, args):
    common = ["--batch", str(args.batch), "--steps", str(args.steps)]
    commands = {"ocelli": [args.train_step, model, precision, *common]}
    for engine in PEERS:
        commands[engine] = [sys.executable, __file__, engine, "--models", model, "--precisions", precision, "--threads", str(args.threads), *common]
    row = {}
    for engine, command in commands.items():
        text = subprocess.check_output(command, env=os.environ | {"OMP_NUM_THREADS": str(args.threads)}, text=True)
        rate, memory = re.search(r"([\d.]+) img/s.*, (\d+) MiB", text).groups()
        row |= {engine: float(rate), f"{engine}_mib": int(memory)}
        if engine == "ocelli":
            row["isa"] = re.search(r"batch \d+ (\w+)", text)[1]
    return row | {"ratio": row["ocelli"] / row["torch"], "ratio_compiled": row["ocelli"] / row["compiled"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train_step")
    parser.add_argument("--models", default="tiny,small")
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.train_step in PEERS:
        return peer(args.train_step, args.models, args.precisions, args.batch, args.steps, args.threads)
    results = Results(args.json, "torch", "timm")
    for model in args.models.split(","):
        for precision in args.precisions.split(","):
            key = {"model": model, "precision": precision, "batch": args.batch, "threads": args.threads}
            row = results.row(key, lambda: compare(model, precision, args))
            print(f"{model} {precision}: Ocelli {row['ocelli']:.1f} img/s, {row['ocelli_mib']} MiB; PyTorch eager {row['torch']:.1f}, "
                  f"{row['torch_mib']} MiB, {row['ratio']:.2f} times; compiled {row['compiled']:.1f}, {row['compiled_mib']} MiB, "
                  f"{row['ratio_compiled']:.2f} times", flush=True)


if __name__ == "__main__":
    main()
