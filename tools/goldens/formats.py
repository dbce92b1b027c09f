"""Writes tests/formats/data: small files from the libraries that own the formats, and expected.json with
what they hold. usage: formats.py [OUT]"""
import argparse
import collections
import json
import os
import pathlib
import pickle
import shutil
import sys
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else
                   pathlib.Path(__file__).resolve().parents[2] / "tests/formats/data")
shutil.rmtree(out, ignore_errors=True)
out.mkdir(parents=True)

# The types that Ocelli hands out: others are widened or narrowed on reading.
READ_AS = {"float64": "f32", "float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "i8", "uint8": "u8",
           "bool": "u8", "int16": "i32", "uint16": "i32", "int32": "i32", "uint32": "i64", "int64": "i64"}
expected = {}


def describe(tensor):
    tensor = tensor.detach() if isinstance(tensor, torch.Tensor) else torch.from_numpy(np.array(tensor))
    name = str(tensor.dtype).split(".")[1]
    if name in ("uint16", "uint32"):
        tensor = tensor.to(torch.int64)
    return {"dtype": READ_AS[name], "shape": list(tensor.shape),
            "values": [float(np.float32(v)) if name == "float64" else float(v)
                       for v in tensor.reshape(-1).tolist()]}


def expect(file, tensors):
    expected[file] = {name: describe(tensor) for name, tensor in tensors.items()}


def ramp(*shape, dtype=torch.float32, scale=0.37):
    count = int(np.prod(shape))
    return ((torch.arange(count) - count // 3) * scale).reshape(shape).to(dtype)


types = {"f32": ramp(2, 3), "f16": ramp(5, dtype=torch.float16), "bf16": ramp(3, 3, dtype=torch.bfloat16),
         "f64": ramp(3, dtype=torch.float64), "i8": ramp(7, dtype=torch.int8, scale=9),
         "u8": torch.tensor([0, 1, 255], dtype=torch.uint8), "i16": ramp(3, dtype=torch.int16, scale=999),
         "i32": ramp(2, 2, dtype=torch.int32, scale=70000), "i64": torch.tensor([-(2**40), 2**40]),
         "bool": torch.tensor([True, False, True]), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4),
         "special": torch.tensor([1e-42, -0.0, 3.4e38])}

# safetensors
save_file({**types, "u16": torch.tensor([1, 65535], dtype=torch.uint16),
           "u32": torch.tensor([1, 2**32 - 1], dtype=torch.uint32)},
          out / "types.safetensors", metadata={"format": "pt", "note": "grüß"})
expect("types.safetensors", {**types, "u16": torch.tensor([1, 65535]).to(torch.uint16),
                             "u32": torch.tensor([1, 2**32 - 1]).to(torch.uint32)})
save_file({"w": ramp(4).to(torch.float8_e4m3fn), "v": ramp(2)}, out / "float8.safetensors")


def sharded(folder, index, shards, save):
    (out / folder).mkdir()
    for name, tensors in shards.items():
        save(tensors, out / folder / name)
    weight_map = {key: name for name, tensors in shards.items() for key in tensors}
    (out / folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    expect(folder, {k: v for tensors in shards.values() for k, v in tensors.items()})


sharded("sharded", "model.safetensors.index.json",
        {"model-00001-of-00002.safetensors": {"b.weight": ramp(2, 2), "a": ramp(3)},
         "model-00002-of-00002.safetensors": {"b.bias": ramp(2)}}, save_file)
sharded("sharded_bin", "pytorch_model.bin.index.json",
        {"pytorch_model-00001-of-00002.bin": {"x": ramp(4)}, "pytorch_model-00002-of-00002.bin": {"y": ramp(1)}},
        torch.save)

# PyTorch
base = ramp(4, 6)
views = collections.OrderedDict(
    [("base", base), ("transposed", base.t()), ("slice", base[1:3, 2:5]), ("every_other", base[:, ::2]),
     ("row", base[2]), ("expanded", torch.tensor([[1.5]]).expand(3, 4)), ("channels_last",
     ramp(1, 3, 2, 2).contiguous(memory_format=torch.channels_last)),
     ("parameter", torch.nn.Parameter(ramp(3))), ("layer.0.weight", ramp(2, 2))])
views._metadata = collections.OrderedDict([("", {"version": 1})])
state = collections.OrderedDict({**views, **types})
for name, options in {"zip.pt": {}, "zip4.pt": {"pickle_protocol": 4},
                      "legacy.pt": {"_use_new_zipfile_serialization": False}}.items():
    torch.save(state, out / name, **options)
    expect(name, state)
with zipfile.ZipFile(out / "zip.pt") as source, zipfile.ZipFile(out / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as to:
    for entry in source.namelist():
        to.writestr(entry, source.read(entry))
expect("deflated.pt", state)

attributed = torch.nn.Parameter(ramp(2))
attributed.note = "kept by torch, of no use here"
tagged = ramp(3)
tagged.note = "the same"
checkpoint = {"epoch": 3, "best": 0.81, "big": 2**70, "none": None, "flag": True, "set": {1, 2}, "text": b"bytes",
              "args": argparse.Namespace(lr=0.1, name="x"), "size": torch.Size([1, 2]), "dtype": torch.float16,
              "device": torch.device("cpu"), "counts": collections.defaultdict(int, a=1),
              "scalar": np.float64(0.5), "array": np.arange(3.0),
              "optimizer": {"state": {0: {"momentum": ramp(2)}}, "param_groups": [{"params": [0]}]},
              "state_dict": {"attributed": attributed, "tagged": tagged, "nested": {"list": [ramp(1), ramp(2)]}}}
torch.save(checkpoint, out / "checkpoint.pt")
expect("checkpoint.pt", {"attributed": attributed, "tagged": tagged, "nested.list.0": ramp(1),
                         "nested.list.1": ramp(2)})


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 2)
        self.register_buffer("mask", torch.triu(torch.ones(3, 3)))
        self.ln = torch.nn.LayerNorm(4).half()

    def forward(self, x):
        return self.conv(x)


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.visual = Inner()
        self.resblocks = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 1)))
        self.logit_scale = torch.nn.Parameter(torch.tensor(4.6))
        self.size: int = 7

    def forward(self, x):
        return self.visual(x) * self.logit_scale


torch.manual_seed(0)
script = torch.jit.script(Outer().eval())
torch.jit.save(script, out / "script.pt")
expect("script.pt", script.state_dict())

# Python 2 wrote the items of an OrderedDict as its argument.


class OldStyle:
    def __init__(self, items):
        self.items = items

    def __reduce__(self):
        return collections.OrderedDict, ([[k, v] for k, v in self.items],)


torch.save(OldStyle([("w", ramp(2))]), out / "old_dict.pt")
expect("old_dict.pt", {"w": ramp(2)})


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/ocelli_was_here",)


for name, options in {"evil.pt": {}, "evil4.pt": {"pickle_protocol": 4},
                      "evil_legacy.pt": {"_use_new_zipfile_serialization": False}}.items():
    torch.save({"w": ramp(2), "x": Evil()}, out / name, **options)
(out / "evil.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
(out / "evil0.pkl").write_bytes(b"(S'true'\nios\nsystem\n.")
torch.save(torch.nn.Linear(2, 2), out / "module.pt")

# NumPy
arrays = {"f4": np.linspace(-1, 1, 12, dtype="f4").reshape(3, 4), "f2": np.array([1.5, -2, 65504], "f2"),
          "f8": np.array([[0.1], [1e300]]), "i1": np.array([-128, 127], "i1"), "u1": np.array([[[0, 255]]], "u1"),
          "i4": np.array([-(2**31), 5], "i4"), "i8": np.array([2**53, -1], "i8"), "b1": np.array([True, False]),
          "fortran": np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)), "scalar": np.array(3.25, "f4"),
          "empty": np.zeros((0, 5), "f4"), "one": np.arange(3, dtype="i8")}
arrays["f8"][1] = 1e30
for name, array in arrays.items():
    np.save(out / f"{name}.npy", array)
    expect(f"{name}.npy", {"": array})
for version in ((2, 0), (3, 0)):
    with open(out / f"version{version[0]}.npy", "wb") as f:
        np.lib.format.write_array(f, arrays["f4"], version=version)
    expect(f"version{version[0]}.npy", {"": arrays["f4"]})
np.save(out / "big_endian.npy", np.arange(3, dtype=">f4"))
np.save(out / "structured.npy", np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]))
np.save(out / "object.npy", np.array([{}, None], dtype=object))
np.savez(out / "plain.npz", **arrays)
np.savez_compressed(out / "packed.npz", **arrays)
expect("plain.npz", arrays)
expect("packed.npz", arrays)

(out / "expected.json").write_text(json.dumps(expected, indent=None, separators=(",", ":")))
print(f"{sum(f.stat().st_size for f in out.rglob('*') if f.is_file())} bytes in {out}")
