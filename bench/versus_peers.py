"""Speed of Ocelli beside PyTorch, ONNX Runtime and OpenVINO: same weights, same precision, same minute, in turns.

usage: versus_peers.py [--precision f32|bf16|int8] [--threads 1,2] [--batches 1,8] [--only SUBSTRING,...] [--rounds 5] [--seconds 1]
                       [--engines torch,ort,ov] [--ocelli build/cli/ocelli] [--json out.json]

Run with the reference environment (../shared/tools/reference-env.sh). For each model, batch and number
of threads every engine sits in a process of its own and gets SECONDS of work in turn, ROUNDS times over,
so that a slow minute of the machine hits all alike. Printed is the best run of each, in milliseconds, and
the ratio best peer / Ocelli: above 1, Ocelli is faster. Models are made once, in build/bench.

bf16: PyTorch's model.bfloat16(), OpenVINO's hint; ONNX Runtime has none. int8: OpenVINO after nncf.quantize for
transformers, ONNX Runtime after quantize_dynamic. All of them with the input and the answer in f32.

An engine `f32` is Ocelli itself in f32; without any (--engines "") there is no ratio, and the share of the
processor's roof stands alone: both for OCELLI_MAX_ISA, which limits no one else. Rows that are in out.json are
not measured again.
"""
import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import warnings

import numpy

from results import Results

warnings.filterwarnings("ignore")
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["TQDM_DISABLE"] = "1"
ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build" / "bench"


# --- Models: a folder for Ocelli, the same module for PyTorch, an ONNX file for the others. ---


class Timm:
    """A timm architecture, with a checkpoint's weights where there is one; DINOv2's are made for an image size."""

    def __init__(self, architecture, checkpoint=None, size=224, **arguments):
        self.architecture, self.size, self.arguments = architecture, size, arguments
        self.checkpoint = checkpoint and ROOT / checkpoint

    def create(self):
        import timm

        return timm.create_model(self.architecture, **self.arguments)

    def write(self, folder):
        import torch
        from safetensors.torch import load_file, save_file

        model = self.create()
        if self.checkpoint and self.checkpoint.exists():
            read = load_file if self.checkpoint.suffix == ".safetensors" else torch.load
            model.load_state_dict(read(self.checkpoint))
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
        config = {"architecture": self.architecture, "num_classes": model.num_classes,
                  "pretrained_cfg": {"input_size": [3, self.size, self.size]}}
        (folder / "config.json").write_text(json.dumps(config))

    def open(self, folder):
        from safetensors.torch import load_file

        model = self.create()
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval()

    def inputs(self, batch):
        return numpy.random.default_rng(0).standard_normal((batch, 3, self.size, self.size), dtype=numpy.float32)


class Clip:
    """A tower of CLIP ViT-B/32 with random weights."""

    def __init__(self, tower):
        self.tower = tower

    def write(self, folder):
        from transformers import CLIPConfig, CLIPModel

        CLIPModel(CLIPConfig()).save_pretrained(folder)

    def open(self, folder):
        import torch
        from transformers import CLIPModel

        clip = CLIPModel.from_pretrained(folder).eval()

        class Tower(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.clip = clip

        class Image(Tower):
            def forward(self, x):
                return self.clip.visual_projection(self.clip.vision_model(x).pooler_output)

        class Text(Tower):
            def forward(self, ids):
                return self.clip.text_projection(self.clip.text_model(ids).pooler_output)

        return Image() if self.tower == "image" else Text()

    def inputs(self, batch):
        generator = numpy.random.default_rng(0)
        if self.tower == "text":
            return generator.integers(0, 49000, (batch, 77))
        return generator.standard_normal((batch, 3, 224, 224), dtype=numpy.float32)


MODELS = {
    "vit_tiny16": Timm("vit_tiny_patch16_224", "../shared/weights/vit_tiny_patch16_224/model.safetensors"),
    "vit_base16": Timm("vit_base_patch16_224"),
    "clip_b32_image": Clip("image"),
    "clip_b32_text": Clip("text"),
    "dinov2_small14_224": Timm("vit_small_patch14_dinov2", size=224, img_size=224),
    "dinov2_small14_518": Timm("vit_small_patch14_dinov2", size=518),
    "efficientnet_lite0": Timm("tf_efficientnet_lite0"),
}


def prepare(name, engines, precision, batches):
    """Writes build/bench/NAME: the model folder, and for the engines ONNX files of each batch size and what they make of them in 8 bits."""
    import torch

    folder, model = WORK / name, MODELS[name]
    torch.manual_seed(0)
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        model.write(folder)
        (folder / "done").touch()
    onnx = [engine for engine in engines if engine in ("ort", "ov")]
    for batch in batches if onnx else []:
        path = folder / f"b{batch}.onnx"
        if not path.exists():
            x = torch.from_numpy(model.inputs(batch))
            torch.onnx.export(model.open(folder), (x,), path, input_names=["x"], opset_version=18, dynamo=False)
        for engine in onnx if precision == "int8" else []:
            quantize_for(engine, path)


# --- Engines: each a process that answers every line on standard input with its times. ---


ENGINES = {"f32": ["torch", "ort", "ov"], "bf16": ["torch", "ov"], "int8": ["ort", "ov"]}
PACKAGES = {"torch": "torch", "ort": "onnxruntime", "ov": "openvino"}


def quantized_path(engine, path):
    return path.with_suffix(".ort8.onnx" if engine == "ort" else ".ov8.xml")


def quantize_for(engine, path):
    into = quantized_path(engine, path)
    if into.exists():
        return
    if engine == "ort":
        from onnxruntime.quantization import QuantType, quantize_dynamic

        return quantize_dynamic(str(path), str(into), weight_type=QuantType.QInt8)
    import nncf
    import openvino

    name, batch = path.parent.name, int(path.stem[1:])
    data = nncf.Dataset([[MODELS[name].inputs(batch)]] * 4)
    kind = None if name.startswith("efficientnet") else nncf.ModelType.TRANSFORMER
    openvino.save_model(nncf.quantize(openvino.Core().read_model(path), data, model_type=kind, subset_size=4), into)


def make_runner(engine, name, batch, threads, precision):
    folder, x = WORK / name, MODELS[name].inputs(batch)
    path = folder / f"b{batch}.onnx"
    if precision == "int8":
        path = quantized_path(engine, path)
    if engine == "ov":
        import openvino

        hint = "bf16" if precision == "bf16" else "f32"
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
        request = openvino.Core().compile_model(path, "CPU", options).create_infer_request()
        return lambda: request.infer([x])
    if engine == "ort":
        import onnxruntime

        path = str(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"x": x})
    import torch

    torch.set_num_threads(threads)
    model, tensor = MODELS[name].open(folder), torch.from_numpy(x)
    if precision == "bf16":
        model = model.bfloat16()
        tensor = tensor.bfloat16() if tensor.is_floating_point() else tensor

    def run():
        with torch.inference_mode():
            model(tensor)

    return run


def serve(engine, name, batch, threads, seconds, precision):
    run = make_runner(engine, name, int(batch), int(threads), precision)
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        times = []
        start = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - start < float(seconds):
            begin = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - begin))
        print(json.dumps(times), flush=True)


class Peer:
    def __init__(self, engine, name, batch, threads, seconds, precision):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        command = [sys.executable, __file__, "--serve", engine, name, str(batch), str(threads), str(seconds), precision]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{engine} did not start: {' '.join(command)}")

    def times(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ocelli:
    def __init__(self, program, name, batch, threads, seconds, precision):
        self.command = [program, "bench", str(WORK / name), "-b", str(batch), "-t", str(threads), "--seconds", str(seconds),
                        "--precision", precision, "--json"]
        if name.endswith("_text"):
            self.command.append("--text")

    def row(self):
        return json.loads(subprocess.run(self.command, check=True, capture_output=True, text=True).stdout)[0]

    def times(self):
        return [self.row()["best_ms"]]

    def close(self):
        pass


@functools.cache
def prepared(name, engines, precision, batches):
    """In a process that ends: what it held of memory and caches must not slow down the engines."""
    subprocess.run([sys.executable, __file__, "--prepare", name, ",".join(engines), precision, *map(str, batches)], check=True)


def compare(name, batch, threads, options):
    prepared(name, tuple(options.engines), options.precision, tuple(options.batches))
    arguments = (name, batch, threads, options.seconds)
    peers = {engine: Ocelli(options.ocelli, *arguments, "f32") if engine == "f32" else Peer(engine, *arguments, options.precision)
             for engine in options.engines}
    ocelli = Ocelli(options.ocelli, *arguments, options.precision)
    best = dict.fromkeys(["ocelli", *peers], float("inf"))
    roof_share = 0.0
    for _ in range(options.rounds):
        row = ocelli.row()
        best["ocelli"] = min(best["ocelli"], row["best_ms"])
        roof_share = max(roof_share, row["roof_share"])
        for engine, peer in peers.items():
            best[engine] = min(best[engine], *peer.times())
    for peer in peers.values():
        peer.close()
    ratio = {"ratio": min(best[engine] for engine in peers) / best["ocelli"]} if peers else {}
    return best | ratio | {"roof_share": roof_share, "isa": row["isa"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(x) for x in text.split(",")]
    parser.add_argument("--precision", choices=ENGINES, default="f32")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--batches", type=numbers, default=[1, 8])
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--engines", type=lambda text: [engine for engine in text.split(",") if engine])
    parser.add_argument("--ocelli", default=str(ROOT / "build/cli/ocelli"))
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.engines is None:
        options.engines = ENGINES[options.precision]
    results = Results(options.json, *(PACKAGES[engine] for engine in options.engines if engine in PACKAGES))
    rows = []
    print(f"{'model':<20} {'batch':>5} {'threads':>7} {'ocelli':>9} " + " ".join(f"{e:>9}" for e in options.engines) + f" {'ratio':>6} {'roof':>6}")
    for name in MODELS:
        if options.only and not any(part in name for part in options.only.split(",")):
            continue
        for threads in options.threads:
            for batch in options.batches:
                key = {"model": name, "precision": options.precision, "batch": batch, "threads": threads}
                row = results.row(key, lambda: compare(name, batch, threads, options))
                rows.append(row)
                ratio = f"{row['ratio']:.2f}" if "ratio" in row else ""
                print(f"{name:<20} {batch:>5} {threads:>7} {row['ocelli']:>9.2f} " + " ".join(f"{row[e]:>9.2f}" for e in options.engines)
                      + f" {ratio:>6} {100 * row['roof_share']:>5.1f}%", flush=True)
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    if ratios:
        print(f"geometric mean of the ratios: {statistics.geometric_mean(ratios):.3f}; below 1.0: {sum(r < 1 for r in ratios)} of {len(ratios)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    elif sys.argv[1:2] == ["--prepare"]:
        prepare(sys.argv[2], sys.argv[3].split(","), sys.argv[4], [int(x) for x in sys.argv[5:]])
    else:
        main()
