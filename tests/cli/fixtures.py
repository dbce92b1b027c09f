"""Small files for the tests: a CLIP with a tokenizer, damaged images and checkpoints. Only Python's
standard library is used. Each function makes one file or folder in the working directory."""
import json
import os
import pathlib
import pickle
import random
import shutil
import struct
import zipfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests/goldens"
IMAGES = ROOT / "examples/images"


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


def safetensors_metadata(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length])["__metadata__"]


def write_safetensors(path, tensors, metadata=None):
    header, position = {"__metadata__": metadata} if metadata else {}, 0
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


def dual_encoder():
    """The golden of a ViT beside a BERT with a tokenizer of letters."""
    folder = pathlib.Path("dual_encoder")
    shutil.copytree(GOLDENS / "dual_vit_bert", folder)
    letters = "abcdefghijklmnopqrstuvwxyz"
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", *letters, *("##" + letter for letter in letters)]))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    return folder


def siglip():
    """The golden of SigLIP with a tokenizer, without what it is compared with."""
    shutil.copytree(GOLDENS / "tokens_siglip", "siglip")
    pathlib.Path("siglip/expected.safetensors").unlink()


def nan_clip():
    """A CLIP whose texts become NaN."""
    tensors = read_safetensors(clip("nan_clip") / "model.safetensors")
    name = "text_model.final_layer_norm.bias"
    dtype, shape, data = tensors[name]
    tensors[name] = (dtype, shape, struct.pack("<f", float("nan")) * (len(data) // 4))
    write_safetensors("nan_clip/model.safetensors", tensors)


# Images.

def png(path, width, height, row):
    """A 1-bit grey PNG whose rows are all the same bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pack = zlib.compressobj(1)
    block = (b"\0" + row) * 100
    data = b"".join(pack.compress(block) for _ in range(height // 100)) + pack.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def bad_images():
    folder = pathlib.Path(".")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("This is no image.\n")
    (folder / "cut.jpg").write_bytes((IMAGES / "rocket.jpg").read_bytes()[:9000])
    (folder / "cut.png").write_bytes((IMAGES / "coffee.png").read_bytes()[:9000])


def bomb():
    """60000 x 60000 pixels, all zero: 10.8 GB when decoded, half a megabyte on disk."""
    png(pathlib.Path("bomb.png"), 60000, 60000, bytes(7500))


def hundred():
    """99 photographs and, in their midst, a file that is none."""
    folder = pathlib.Path("hundred")
    folder.mkdir()
    for i in range(99):
        (folder / f"{i:03}.png").symlink_to(IMAGES / "coffee.png")
    (folder / "050x.png").write_text("bad")


def by_class():
    for name, image in (("0", "coffee.png"), ("1", "camera.png"), ("1", "rocket.jpg")):
        folder = pathlib.Path("by_class", name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / image).symlink_to(IMAGES / image)


# Models.

def vit(name, change_tensors=None, change_config=None):
    """The golden of timm's ViT, changed."""
    folder = pathlib.Path(name)
    shutil.copytree(GOLDENS / "vit_timm_token", folder)
    (folder / "expected.safetensors").unlink()
    if change_tensors:
        tensors = read_safetensors(folder / "model.safetensors")
        change_tensors(tensors)
        write_safetensors(folder / "model.safetensors", tensors)
    if change_config:
        config = json.loads((folder / "config.json").read_text())
        change_config(config)
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def hugging_face_vit(name, change_config):
    folder = pathlib.Path(name)
    shutil.copytree(GOLDENS / "vit_hf_classifier", folder)
    config = json.loads((folder / "config.json").read_text())
    change_config(config)
    (folder / "config.json").write_text(json.dumps(config))


def with_header(name, header, body=b""):
    """A ViT whose safetensors file has this header: bytes, or what JSON is made of."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (vit(name) / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def bad_models():
    huge = vit("huge_header") / "model.safetensors"
    huge.write_bytes(struct.pack("<Q", 1 << 60) + b"{}" + bytes(100))
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    with_header("overlap", {"a": entry, "b": entry | {"data_offsets": [4, 12]}}, bytes(12))
    with_header("nan_shape", b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', bytes(8))
    vit("missing_tensor", lambda t: t.pop("blocks.1.mlp.fc1.weight"))
    vit("extra_tensor", lambda t: t.update({"surplus.weight": ("F32", [2], bytes(8))}))
    vit("wrong_shape", lambda t: t.update({"norm.weight": ("F32", [33], bytes(132))}))
    vit("nan_weights", lambda t: t.update({"norm.bias": ("F32", [32], struct.pack("<32f", *[float("nan")] * 32))}))
    (vit("empty_checkpoint") / "model.safetensors").write_bytes(b"")
    (vit("no_checkpoint") / "model.safetensors").unlink()
    (vit("broken_config") / "config.json").write_text("{not json")
    hugging_face_vit("missing_field", lambda c: c.pop("num_attention_heads"))
    hugging_face_vit("contradiction", lambda c: c.update(hidden_size=64))
    hugging_face_vit("unknown_type", lambda c: c.update(model_type="mystery", architectures=["MysteryModel"]))


class Call:
    """Pickled as a call of os.system."""

    def __reduce__(self):
        return (os.system, ("touch it_was_run",))


def pickles():
    for name, protocol in (("zipped", 2), ("legacy", 2)):
        folder = pathlib.Path(name)
        folder.mkdir()
        data = pickle.dumps({"weight": Call()}, protocol)
        if name == "legacy":
            (folder / "pytorch_model.bin").write_bytes(data)
            continue
        with zipfile.ZipFile(folder / "pytorch_model.bin", "w") as archive:
            archive.writestr("archive/data.pkl", data)
            archive.writestr("archive/version", "3\n")


def label_lists():
    pathlib.Path("no_labels.txt").write_text("\n  \n")
    pathlib.Path("twice.txt").write_text("a dog\na cat\na dog\n")


def captions():
    """Two images with three captions, one image that is not there."""
    pathlib.Path("images").mkdir()
    for image in ("coffee.png", "camera.png"):
        (pathlib.Path("images") / image).symlink_to(IMAGES / image)
    pathlib.Path("captions.csv").write_text(
        'image,n,caption\ncoffee.png,0,"a cup, of coffee"\ncoffee.png,1,coffee\ncamera.png,0,a man\n')
    pathlib.Path("absent.tsv").write_text("coffee.png\ta cup\nabsent.png\ta dog\n")
    pathlib.Path("labels.csv").write_text("path,label\nimages/coffee.png,2\nimages/camera.png,0\n")
