#!/usr/bin/env python3
"""Measures what docs/performance.md shows, and writes its tables and the picture of the roofline.

usage: bench/report.py FOLDER [PART...] [--again] [--write-only] [--data .data] [--clip-tokenizer FOLDER]
                       [--rounds 3] [--seconds 1] [--only MODEL,...] [--document docs/performance.md]

Run with the reference environment, after `make bench-build`. FOLDER keeps what was measured, a JSON file a
part: what is there is not measured again, unless --again says so, and an interrupted run goes on. Two such
folders are compared by bench/compare.py. PART: peers-f32, peers-bf16, peers-int8 (with all the instructions
of the processor), peers-avx2-f32, peers-avx2-int8 (limited to AVX2, where the roof and Ocelli's own f32 take
the place of peers), pipeline, training, tokenizers, roofline; or how several of them begin: peers. Default: all.
In the document, the lines between <!-- begin: PART --> and <!-- end: PART --> are replaced. --write-only
measures nothing; --rounds, --seconds and --only shorten a trial.
"""
import argparse
import collections
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
from typing import Callable

from results import machine

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TITLES = {
    "vit_tiny16": "ViT-Ti/16", "vit_base16": "ViT-B/16", "clip_b32_image": "CLIP B/32 image", "clip_b32_text": "CLIP B/32 text",
    "dinov2_small14_224": "DINOv2 S/14, 224", "dinov2_small14_518": "DINOv2 S/14, 518", "efficientnet_lite0": "EfficientNet-Lite0",
    "tiny": "ViT-Ti/16", "small": "ViT-S/16", "ocelli": "Ocelli", "torch": "PyTorch", "ort": "ONNX Runtime", "ov": "OpenVINO",
    "f32": "Ocelli, f32", "clip-tokenizer": "CLIP (transformers)", "open_clip-tokenizer": "CLIP (open_clip, ftfy included)",
    "all-minilm-l6-v2": "BERT (all-MiniLM-L6-v2)", "siglip2_json": "SigLIP 2 (BPE of Gemma's kind, a vocabulary of 760)",
}


# --- Tables: rows of a part -> lines of cells, the head first. ---


def milliseconds(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"


def percent(x):
    return f"{100 * x:.0f} %"


def summary(rows, key, text):
    """The geometric mean of a figure, and its worst row."""
    worst = min(rows, key=lambda row: row[key])
    where = ", ".join([TITLES[worst["model"]], f"batch {worst['batch']}", f"{worst['threads']} thr."])
    return f"{text(statistics.geometric_mean(row[key] for row in rows))}, worst {text(worst[key])} ({where})"


def peers_table(rows):
    rows = sorted(rows, key=lambda row: (list(TITLES).index(row["model"]), row["threads"], row["batch"]))
    engines = [engine for engine in ("ocelli", "torch", "ort", "ov", "f32") if any(engine in row for row in rows)]
    figures = [("ratio", "ratio", "{:.2f}".format)] if len(engines) > 1 else []
    if rows[0]["precision"] == "f32":
        figures.append(("roof_share", "roof", percent))
    yield ["model", "batch", "threads", *(TITLES[engine] for engine in engines), *(title for _, title, _ in figures)]
    for row in rows:
        yield [TITLES[row["model"]], row["batch"], row["threads"], *(milliseconds(row[e]) if e in row else "–" for e in engines),
               *(text(row[key]) if key in row else "–" for key, _, text in figures)]
    yield ["geometric mean", "", "", *("" for _ in engines),
           *(summary([row for row in rows if key in row], key, text) for key, _, text in figures)]


def training_table(rows):
    yield ["model", "precision", "Ocelli, images/s", "PyTorch, images/s", "ratio", "peak memory, MiB (Ocelli / PyTorch)"]
    for row in rows:
        yield [TITLES[row["model"]], row["precision"], f"{row['ocelli']:.1f}", f"{row['torch']:.1f}", f"{row['ratio']:.2f}",
               f"{row['ocelli_mib']} / {row['torch_mib']}"]
    yield ["geometric mean", "", "", "", summary(rows, "ratio", "{:.2f}".format), ""]


def pipeline_table(rows):
    yield ["from JPEGs to", "precision", "threads", "Ocelli, images/s", "peer, images/s", "ratio"]
    for row in rows:
        what = "pixels; Pillow" if row["part"] == "preprocess" else "embeddings; Pillow and OpenVINO"
        yield [what, row.get("precision", "–"), row["threads"], f"{row['ocelli']:.1f}", f"{row['peer']:.1f}", f"{row['ratio']:.2f}"]


def tokenizers_table(rows):
    yield ["tokenizer", "captions", "tokenizers, µs", "Ocelli, new, µs", "Ocelli, µs", "ratio, new", "ratio", "same ids"]
    for row in rows:
        yield [TITLES.get(row["model"], row["model"]), f"{row['texts']:,}", f"{row['tokenizers_us']:.1f}", f"{row['first_us']:.2f}",
               f"{min(row['encode_us'], row['encode_batch_us']):.2f}", f"{row['ratio_first']:.1f}", f"{row['ratio']:.1f}",
               "yes" if row["same_ids"] else "NO"]
    means = [f"{statistics.geometric_mean(row[key] for row in rows):.1f}" for key in ("ratio_first", "ratio")]
    yield ["geometric mean", "", "", "", "", *means, ""]


# --- Parts: a script of this folder, and the table of its rows. ---


@dataclasses.dataclass
class Part:
    script: str
    arguments: Callable  # options -> list
    table: Callable
    isa: str = ""  # the processor is limited to it

    def command(self, options):
        return [self.script, *map(str, self.arguments(options))]

    def measure(self, file, options):
        limit = {"OCELLI_MAX_ISA": self.isa} if self.isa else {}
        subprocess.run([sys.executable, ROOT / "bench" / self.script, *map(str, self.arguments(options)), "--json", file], check=True,
                       env=os.environ | limit)

    def text(self, file, options):
        rows = json.loads(file.read_text())
        return caption(rows, self, options) + "\n" + table(self.table(rows))


def peers(*more):
    return lambda options: [*more, "--rounds", options.rounds, "--seconds", options.seconds, *(["--only", options.only] if options.only else [])]


def tokenizer_folders(clip):
    """The tokenizers that are at hand; CLIP's also as open_clip uses it, a folder of its own."""
    folders = [ROOT / "models/all-minilm-l6-v2", ROOT / "tests/text/data/siglip2_json"]
    if clip.exists():
        open_clip = BUILD / "bench/open_clip-tokenizer"
        open_clip.mkdir(parents=True, exist_ok=True)
        (open_clip / "open_clip_config.json").write_text('{"model_cfg": {}, "preprocess_cfg": {}}')
        (open_clip / "tokenizer.json").write_bytes((clip / "tokenizer.json").read_bytes())
        folders = [clip, open_clip, *folders]
    return [folder for folder in folders if folder.exists()]
