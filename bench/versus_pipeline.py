"""From a folder of JPEGs to CLIP ViT-B/32 embeddings: Ocelli beside Pillow + OpenVINO, both in one precision, in turns.

usage: versus_pipeline.py FOLDER [--precision f32|bf16|int8] [--limit 400] [--threads 2] [--rounds 3]

Run with the reference environment, after `make bench-build`. Printed are images a
second: first of decoding, resizing and normalising on one core, then of everything; the best of ROUNDS.
Ocelli's second figure includes the start of the program and the loading of the weights; the peer's begins
when its model is compiled.
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
    return json.loads(result.stdout)["preprocess_per_second"]


def ocelli_embed(folder, count, threads, precision):
    start = time.perf_counter()
    command = [ROOT / "build/cli/ocelli", "embed", folder, "-m", MODEL, "-t", str(threads), "--precision", precision, "-q", "-o", f"{folder}/out.npy"]
    subprocess.run(command, check=True, capture_output=True)
    return count / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--precision", choices=["f32", "bf16", "int8"], default="f32")
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    subprocess.run([sys.executable, ROOT / "bench/versus_peers.py", "--prepare", "clip_b32_image", options.precision, "8"], check=True)
    files = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[: options.limit // 8 * 8]
    with tempfile.TemporaryDirectory() as chosen:
        for i, path in enumerate(files):
            os.symlink(path.resolve(), f"{chosen}/{i:05}.jpg")
        request = openvino_request(options.threads, options.precision)
        best = dict.fromkeys(["preprocess", "Pillow", "embed", "Pillow + OpenVINO"], 0.0)
        for _ in range(options.rounds):
            for name, rate in (("preprocess", lambda: ocelli_preprocess(chosen)), ("Pillow", lambda: pillow(files)),
                               ("embed", lambda: ocelli_embed(chosen, len(files), options.threads, options.precision)),
                               ("Pillow + OpenVINO", lambda: pillow_openvino(files, request, options.threads))):
                best[name] = max(best[name], rate())
    print(f"{len(files)} images, images a second")
    print(f"decode, resize, normalise, one core: Ocelli {best['preprocess']:.0f}, Pillow {best['Pillow']:.0f}, ratio {best['preprocess'] / best['Pillow']:.2f}")
    print(f"to embeddings, {options.precision}, {options.threads} threads: Ocelli {best['embed']:.1f}, Pillow + OpenVINO {best['Pillow + OpenVINO']:.1f}, "
          f"ratio {best['embed'] / best['Pillow + OpenVINO']:.2f}")


if __name__ == "__main__":
    main()
