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
import dataclasses
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
from typing import Callable

import roofline

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


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"


def ratio(x):
    return f"{x:.2f}"


def percent(x):
    return f"{100 * x:.0f} %"


def last_row(rows, figures, columns):
    """Geometric means, and where the first figure is worst; `figures`: column -> (key, how it is written)."""
    cells = [""] * columns
    for column, (key, text) in reversed(figures.items()):
        measured = [row for row in rows if key in row]
        worst = min(measured, key=lambda row: row[key])
        cells[column] = f"**{text(statistics.geometric_mean(row[key] for row in measured))}**, worst {text(worst[key])}"
    where = f"{TITLES[worst['model']]}, {worst['precision']}, batch {worst['batch']}, threads {worst['threads']}"
    cells[0] = f"geometric mean; worst: {where}"
    return cells


def peers_table(rows):
    rows = sorted(rows, key=lambda row: (list(TITLES).index(row["model"]), row["threads"], row["batch"]))
    engines = [engine for engine in ("ocelli", "torch", "ort", "ov", "f32") if any(engine in row for row in rows)]
    head = ["model", "batch", "threads", *(TITLES[engine] for engine in engines)]
    figures = {}
    if len(engines) > 1:
        figures[len(head)] = ("ratio", ratio)
        head.append("ratio")
    if rows[0]["precision"] == "f32":
        figures[len(head)] = ("roof_share", percent)
        head.append("roof")
    yield head
    for row in rows:
        yield [TITLES[row["model"]], row["batch"], row["threads"], *(number(row[e]) if e in row else "–" for e in engines),
               *(text(row[key]) if key in row else "–" for key, text in figures.values())]
    yield last_row(rows, figures, len(head))


def training_table(rows):
    yield ["model", "precision", "Ocelli, images/s", "PyTorch eager", "ratio", "torch.compile", "ratio", "peak memory, MiB"]
    for row in rows:
        yield [TITLES[row["model"]], row["precision"], number(row["ocelli"]), number(row["torch"]), ratio(row["ratio"]), number(row["compiled"]),
               ratio(row["ratio_compiled"]), f"{row['ocelli_mib']} / {row['torch_mib']} / {row['compiled_mib']}"]
    yield last_row(rows, {4: ("ratio", ratio), 6: ("ratio_compiled", ratio)}, 8)


def pipeline_table(rows):
    yield ["from JPEGs to", "precision", "threads", "Ocelli, images/s", "peer, images/s", "ratio"]
    for row in rows:
        what = "pixels; Pillow" if row["part"] == "preprocess" else "embeddings; Pillow and OpenVINO"
        yield [what, row.get("precision", "–"), row["threads"], number(row["ocelli"]), number(row["peer"]), ratio(row["ratio"])]


def tokenizers_table(rows):
    yield ["tokenizer", "captions", "tokenizers, µs", "Ocelli, new, µs", "Ocelli, µs", "ratio, new", "ratio", "same ids"]
    for row in rows:
        yield [TITLES.get(row["model"], row["model"]), f"{row['texts']:,}", f"{row['tokenizers_us']:.1f}", f"{row['first_us']:.2f}",
               f"{min(row['encode_us'], row['encode_batch_us']):.2f}", f"{row['ratio_first']:.1f}", f"{row['ratio']:.1f}",
               "yes" if row["same_ids"] else "NO"]
    means = [f"{statistics.geometric_mean(row[key] for row in rows):.1f}" for key in ("ratio_first", "ratio")]
    yield ["geometric mean", "", "", "", "", *means, ""]


def roofline_table(rows):
    yield ["model", "precision", "op", "share of time", "GFLOP/s", "GB/s", "FLOP/byte", "of the roof there"]
    for point in roofline.points(rows):
        product = point["gflops"] > 0
        yield [TITLES[point["model"]], point["precision"], point["op"], percent(point["share"]), f"{point['gflops']:.0f}" if product else "–",
               f"{point['gbs']:.1f}", f"{point['intensity']:.0f}" if product else "–", percent(point["gflops"] / point["roof"]) if product else "–"]


# --- Parts: a script of this folder, what it is told, and the table of its rows. ---


@dataclasses.dataclass
class Part:
    script: str
    arguments: Callable  # of the options -> a list
    table: Callable
    isa: str = ""  # what the processor is limited to

    def measure(self, file, options):
        command = [sys.executable, ROOT / "bench" / self.script, *self.arguments(options), "--json", file]
        limit = {"OCELLI_MAX_ISA": self.isa} if self.isa else {}
        return subprocess.run(list(map(str, command)), env=os.environ | limit).returncode


def trial(options):
    return ["--seconds", options.seconds, "--only", options.only]


def peers(*more):
    return lambda options: [*more, "--rounds", options.rounds, *trial(options)]


def pipeline(options):
    return [options.data / "imagenet1k-sample", "--precisions", "f32,bf16,int8", "--limit", 300, "--rounds", options.rounds]


def training(options):
    return [BUILD / "bench/train_step", "--steps", options.rounds]


def tokenizers(options):
    """Those that are at hand; CLIP's twice, also as open_clip uses it."""
    folders = [ROOT / "models/all-minilm-l6-v2", ROOT / "tests/text/data/siglip2_json"]
    if (options.clip_tokenizer / "tokenizer.json").exists():
        open_clip = BUILD / "bench/open_clip-tokenizer"
        open_clip.mkdir(parents=True, exist_ok=True)
        (open_clip / "open_clip_config.json").write_text('{"model_cfg": {"text_cfg": {}}}')
        shutil.copyfile(options.clip_tokenizer / "tokenizer.json", open_clip / "tokenizer.json")
        folders = [options.clip_tokenizer, open_clip, *folders]
    captions = [options.data / "coco/val2017_captions_text.csv.gz", options.data / "flickr8k/all_captions_text.csv.gz"]
    return [BUILD / "bench/tokenizer", ",".join(map(str, captions)), *folders]


PARTS = {
    "peers-f32": Part("versus_peers.py", peers("--precision", "f32"), peers_table),
    "peers-bf16": Part("versus_peers.py", peers("--precision", "bf16"), peers_table),
    "peers-int8": Part("versus_peers.py", peers("--precision", "int8"), peers_table),
    "peers-avx2-f32": Part("versus_peers.py", peers("--precision", "f32", "--engines", ""), peers_table, isa="avx2"),
    "peers-avx2-int8": Part("versus_peers.py", peers("--precision", "int8", "--engines", "f32"), peers_table, isa="avx2"),
    "pipeline": Part("versus_pipeline.py", pipeline, pipeline_table),
    "training": Part("versus_training.py", training, training_table),
    "tokenizers": Part("versus_tokenizers.py", tokenizers, tokenizers_table),
    "roofline": Part("roofline.py", trial, roofline_table),
}


# --- The document. ---


def caption(name, rows):
    """Where, with what, when, and by which command."""
    def of(key):
        return sorted({row[key] for row in rows if row.get(key)})

    threads, dates = of("threads"), of("date")
    batches = {row["batch"] for row in rows if "batch" in row}
    told = [*of("machine"), *of("isa"), f"{' and '.join(map(str, threads))} thread{'s' if threads[-1] > 1 else ''}"]
    told += [f"batch {batch}" for batch in batches if len(batches) == 1]
    told += [dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}", *of("beside"), f"`bench/report.py FOLDER {name}`"]
    return f"*{'; '.join(told)}.*\n\n"


def table(lines):
    head, *rows = lines
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in [head, ["---"] * len(head), *rows])


def write(name, rows, document):
    begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->\n"
    text = document.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{document}: there is no one pair of lines {begin.strip()} and {end.strip()}")
    picture = ""
    if name == "roofline":
        roofline.draw(rows, document.parent / "pictures/roofline.svg")
        picture = "![Kinds of op beside the roofs of the processor and its memory](pictures/roofline.svg)\n\n"
    before, rest = text.split(begin)
    document.write_text(before + begin + caption(name, rows) + picture + table(PARTS[name].table(rows)) + end + rest.split(end)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("parts", nargs="*", metavar="PART", default=[""])
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--write-only", action="store_true")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / ".data")
    parser.add_argument("--clip-tokenizer", type=pathlib.Path, default=ROOT / "../shared/weights/clip-tokenizer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--document", type=pathlib.Path, default=ROOT / "docs/performance.md")
    options = parser.parse_args()
    for part in options.parts:
        if not any(name.startswith(part) for name in PARTS):
            sys.exit(f"there is no part {part}; parts are {', '.join(PARTS)}")
    options.folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, part in PARTS.items():
        if not name.startswith(tuple(options.parts)):
            continue
        file = options.folder / f"{name}.json"
        if not options.write_only:
            if options.again:
                file.unlink(missing_ok=True)
            print(f"\n{name}", flush=True)
            if status := part.measure(file, options):
                failed.append(name)
                print(f"{name}: {part.script} ended with status {status}; the same command goes on from there", file=sys.stderr)
                continue
        if file.exists():
            write(name, json.loads(file.read_text()), options.document)
    if failed:
        sys.exit(f"not written: {', '.join(failed)}")


if __name__ == "__main__":
    main()
