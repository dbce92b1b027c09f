"""From a folder of JPEGs to CLIP ViT-B/32 embeddings: Ocelli beside Pillow + OpenVINO, both in one precision, in turns.

usage: versus_pipeline.py FOLDER [--precisions f32,bf16,int8] [--limit 400] [--threads 2] [--rounds 3] [--json out.json]

Run with the reference environment, after `make bench-build`. Printed are images a
second: first of decoding, resizing and normalising on one core, then of everything; the best of ROUNDS.
Ocelli's second figure includes the start of the program and the loading of the weights; the peer's begins
when its model is compiled. Rows that are in out.json are not measured again.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
from PIL import Image

from results import Results

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "build/bench/clip_b32_image"
MEAN = numpy.array([0.48145466, 0.4578275, 0.40821073], numpy.float32)
STD = numpy.array([0.26862954, 0.26130258, 0.27577711], numpy.float32)


def load(path):
    """CLIP's preprocessing as one writes it with Pillow and NumPy."""
    image = Image.open(path).convert("RGB")
    scale = 224 / min(image.size)
    image = image.resize([round(n * scale) for n in image.size], Image.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = numpy.asarray(image.crop((left, top, left + 224, top + 224)), numpy.float32)
    return ((pixels / 255 - MEAN) / STD).transpose(2, 0, 1)


def pillow(files):
    start = time.perf_counter()
    for path in files:
        load(path)
    return len(files) / (time.perf_counter() - start)


def openvino_request(threads, precision):
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
    path = MODEL / ("b8.ov8.xml" if precision == "int8" else "b8.onnx")
    return openvino.Core().compile_model(str(path), "CPU", options).create_infer_request()


def pillow_openvino(files, request, threads):
    """Workers decode ahead while the model runs on batches of 8."""
    start, batch = time.perf_counter(), []
    with ThreadPoolExecutor(threads) as workers:
        for pixels in workers.map(load, files):
            batch.append(pixels)
            if len(batch) == 8:
                request.infer([numpy.stack(batch)])
                batch = []
    return len(files) / (time.perf_counter() - start)


def ocelli_preprocess(folder):
    result = subprocess.run([ROOT / "build/bench/preprocess", folder, "1", "2"], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def ocelli_embed(folder, count, threads, precision):
    start = time.perf_counter()
    command = [ROOT / "build/cli/ocelli", "embed", folder, "-m", MODEL, "-t", str(threads), "--precision", precision, "-q", "-o", f"{folder}/out.npy"]
    subprocess.run(command, check=True, capture_output=True)
    return count / (time.perf_counter() - start)


def in_turns(rounds, ours, theirs):
    """Images a second at best."""
    best = [0, 0]
    for _ in range(rounds):
        best = [max(rate, measure()) for rate, measure in zip(best, (ours, theirs))]
    return {"ocelli": best[0], "peer": best[1], "ratio": best[0] / best[1]}


def preprocess(folder, files, options):
    rates = in_turns(options.rounds, lambda: ocelli_preprocess(folder)["preprocess_per_second"], lambda: pillow(files))
    return rates | {"images": len(files), "isa": ocelli_preprocess(folder)["isa"]}


def embed(folder, files, precision, options):
    subprocess.run([sys.executable, ROOT / "bench/versus_peers.py", "--prepare", "clip_b32_image", "ov", precision, "8"], check=True)
    request = openvino_request(options.threads, precision)
    rates = in_turns(options.rounds, lambda: ocelli_embed(folder, len(files), options.threads, precision),
                     lambda: pillow_openvino(files, request, options.threads))
    return rates | {"images": len(files)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--precisions", type=lambda text: text.split(","), default=["f32"])
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    files = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[: options.limit // 8 * 8]
    results = Results(options.json, "pillow", "openvino")
    with tempfile.TemporaryDirectory() as chosen:
        for i, path in enumerate(files):
            os.symlink(path.resolve(), f"{chosen}/{i:05}.jpg")
        print(f"{len(files)} images, images a second")
        row = results.row({"part": "preprocess", "threads": 1}, lambda: preprocess(chosen, files, options))
        print(f"decode, resize, normalise, one core: Ocelli {row['ocelli']:.0f}, Pillow {row['peer']:.0f}, ratio {row['ratio']:.2f}")
        for precision in options.precisions:
            row = results.row({"part": "embed", "model": "clip_b32_image", "precision": precision, "threads": options.threads},
                              lambda: embed(chosen, files, precision, options))
            print(f"to embeddings, {precision}, {options.threads} threads: Ocelli {row['ocelli']:.1f}, Pillow + OpenVINO {row['peer']:.1f}, "
                  f"ratio {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
