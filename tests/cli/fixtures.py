"""Small files for the tests: a CLIP with a tokenizer, damaged images and checkpoints. Only Python's
standard library is used. Each function makes one file or folder in the working directory."""
import json
import pathlib
import random
import shutil
import struct

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests/goldens"


def read_safetensors(path):
    """name -> (dtype, shape, bytes)"""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    start = 8 + length
    return {name: (entry["dtype"], entry["shape"],
                   data[start + entry["data_offsets"][0]:start + entry["data_offsets"][1]])
            for name, entry in header.items()}


def write_safetensors(path, tensors):
    header, position = {}, 0
    for name, (dtype, shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(data for _, (_, _, data) in sorted(tensors.items()))
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def byte_symbols():
    """The printable characters that stand for the 256 bytes in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]


def clip(name="clip"):
    """The golden of CLIP with as many tokens as its byte-level tokenizer has without merges."""
    folder = pathlib.Path(name)
    shutil.copytree(GOLDENS / "clip_hf", folder)
    symbols = byte_symbols()
    tokens = symbols + [symbol + "</w>" for symbol in symbols] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tensors = read_safetensors(folder / "model.safetensors")
    key = "text_model.embeddings.token_embedding.weight"
    width = tensors[key][1][1]
    numbers = random.Random(1)
    values = [numbers.gauss(0, 0.5) for _ in range(len(tokens) * width)]
    tensors[key] = ("F32", [len(tokens), width], struct.pack(f"<{len(values)}f", *values))
    write_safetensors(folder / "model.safetensors", tensors)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"].update(vocab_size=len(tokens), bos_token_id=len(tokens) - 2,
                                 eos_token_id=len(tokens) - 1, pad_token_id=len(tokens) - 1)
    (folder / "config.json").write_text(json.dumps(config))
    return folder
