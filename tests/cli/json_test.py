"""The shapes of JSON that docs/cli.md promises. usage: json_test.py OCELLI"""
import ast
import json
import math
import pathlib
import shutil
import struct
import unittest

import fixtures
from support import PROGRAM, VIT, Case

IMAGES = fixtures.IMAGES
PATHS = sorted(str(path) for path in IMAGES.iterdir() if path.suffix in (".png", ".jpg"))


def read_npy(path):
    """Rows of floats, in C order."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10:10 + length].decode().strip())
    rows, width = header["shape"]
    values = struct.unpack(f"<{rows * width}f", data[10 + length:])
    return [values[i * width:(i + 1) * width] for i in range(rows)]


class Shapes(Case):
    def test_classify(self):
        (self.folder / "bad.jpg").write_text("bad")
        answer = self.json("classify", IMAGES, "bad.jpg", "-m", VIT, "-k", 2, status=65)
        self.assertEqual([entry["path"] for entry in answer], PATHS + ["bad.jpg"])
        for entry in answer[:-1]:
            self.assertEqual(list(entry), ["path", "predictions"])
            self.assertEqual(len(entry["predictions"]), 2)
            for prediction in entry["predictions"]:
                self.assertEqual(list(prediction), ["index", "label", "probability"])
        self.assertEqual(list(answer[-1]), ["path", "error"])
        self.assertIn("bad.jpg", answer[-1]["error"])

    def test_classify_at_another_size(self):
        for golden in ("vit_hf_classifier", "vit_timm_photo"):
            folder = fixtures.GOLDENS / golden
            expected = fixtures.read_safetensors(folder / "expected.safetensors")
            _, _, data = expected["photo24x56.logits"]
            exponentials = [math.exp(logit) for logit in struct.unpack("<5f", data)]
            [entry] = self.json("classify", folder / "photo.png", "-m", folder, "--size", "24x56", "--precision", "f32")
            for prediction in entry["predictions"]:
                wanted = exponentials[prediction["index"]] / sum(exponentials)
                self.assertAlmostEqual(prediction["probability"], wanted, places=5)

    def test_embed(self):
        answer = self.json("embed", IMAGES, "-m", VIT, "-o", "out.npy")
        self.assertEqual(answer, {"output": "out.npy", "rows": 6, "width": 32, "shape": [32]})
        lines = [json.loads(line) for line in pathlib.Path("out.jsonl").read_text().splitlines()]
        self.assertEqual(lines, [{"row": i, "path": path} for i, path in enumerate(PATHS)])
        for row in read_npy("out.npy"):
            self.assertAlmostEqual(sum(x * x for x in row), 1, places=5)
        self.run_program("embed", IMAGES, "-m", VIT, "-o", "raw.npy", "--raw")
        self.assertNotAlmostEqual(sum(x * x for x in read_npy("raw.npy")[0]), 1, places=3)

    def test_embed_features(self):
        dino = fixtures.GOLDENS / "dinov2_hf/model.safetensors"

        def features(name, *more):
            answer = self.json("embed", IMAGES, "-m", dino, "--features", name, "--raw", "-o", "f.npy", *more)
            with open("f.npy", "rb") as file:
                shape = ast.literal_eval(file.read(10) and file.readline().decode())["shape"]
                values = [x for (x,) in struct.iter_unpack("<f", file.read())]
            self.assertEqual(list(shape), [6] + answer["shape"])
            return answer["shape"], values[:len(values) // 6]

        (rows, columns, width), patch = features("patch")
        mean = [sum(patch[c::width]) / (rows * columns) for c in range(width)]
        cls, both, two = features("cls"), features("cls+mean"), features("cls", "--layers", "2")
        for a, b in zip(cls[1] + mean, both[1]):
            self.assertAlmostEqual(a, b, places=4)
        for a, b in zip(features("patch-mean")[1], mean):
            self.assertAlmostEqual(a, b, places=4)
        self.assertEqual((two[0], two[1][width:]), ([2 * width], cls[1]))
        self.assertEqual(features("cls", "--layers", "1,2"), two)
        self.assertEqual(features("cls", "--layers", "2,1")[1], two[1][width:] + two[1][:width])
        shape, dense = features("patch", "--layers", "1,2")
        self.assertEqual((shape, dense[width:2 * width]), ([rows, columns, 2 * width], patch[:width]))
        self.run_program("embed", IMAGES, "-o", "x.npy", "--features", "cls", status=69)

    def test_match(self):
        fixtures.clip()
        pathlib.Path("texts.txt").write_text("a cup\nthe moon\n")
        match = ["match", IMAGES, "-m", "clip", "--texts", "texts.txt"]
        answer = self.json(*match)
        self.assertEqual(list(answer), ["images", "texts", "similarity"])
        self.assertEqual((answer["images"], answer["texts"]), (PATHS, ["a cup", "the moon"]))
        self.assertEqual([len(row) for row in answer["similarity"]], [2] * 6)
        answer = self.json(*match, "--probabilities")
        self.assertEqual(list(answer), ["images", "texts", "similarity", "probability"])
        for row in answer["probability"]:
            self.assertAlmostEqual(sum(row), 1, places=5)

    def test_eval(self):
        fixtures.by_class()
        answer = self.json("eval", "by_class", "-m", VIT)
        self.assertEqual(list(answer), ["top1", "top5", "count", "correct1", "correct5", "failed"])
        self.assertEqual((answer["count"], answer["top5"], answer["failed"]), (3, 1, 0))
        fixtures.captions()
        fixtures.clip()
        answer = self.json("eval", "captions.csv", "-m", "clip")
        self.assertEqual(list(answer), ["image_to_text", "text_to_image", "images", "texts", "failed"])
        self.assertEqual(list(answer["image_to_text"]), ["r1", "r5", "r10"])
        self.assertEqual((answer["images"], answer["texts"], answer["failed"]), (2, 3, 0))
        self.assertEqual(answer["text_to_image"]["r5"], 1)

    def test_info(self):
        answer = self.json("info", VIT, "--tensors", "--check")
        self.assertEqual(list(answer), [
            "model", "path", "layout", "type", "tensor_count", "bytes", "family", "parameters", "gflops",
            "text_gflops", "input", "embedding", "depth", "classes", "precision",
            "precision_reason", "text", "context_length", "missing",
            "unused", "config", "not_finite", "tensors"])
        self.assertEqual((answer["family"], answer["layout"], answer["classes"]), ("vit", "timm", 5))
        self.assertEqual(list(answer["tensors"][0]), ["name", "dtype", "shape"])
        families = self.json("info", "--families")
        self.assertIn("clip", [entry["family"] for entry in families])

    def test_convert(self):
        answer = self.json("convert", VIT, "-o", "out", "--dtype", "f16")
        self.assertEqual(list(answer), ["output", "tensors", "bytes"])
        packed = self.json("convert", VIT, "-o", "packed", "--packed", "--precision", "bf16")
        self.assertEqual(packed["bytes"], 2 * answer["bytes"])
        self.assertGreater(packed["packed_bytes"], 0)
        self.assertNotIn("packed before", self.json("info", "packed")["precision_reason"])  # f32
        self.json("convert", VIT, "-o", "quick", "--packed")
        self.assertIn("packed before", self.json("info", "quick")["precision_reason"])
        self.assertIn("--dtype", self.run_program("convert", VIT, "-o", "no", "--precision", "bf16", status=64).stderr)
        tensors = fixtures.read_safetensors("out/model.safetensors")
        self.assertEqual(answer["tensors"], len(tensors))
        self.assertEqual({dtype for dtype, _, _ in tensors.values()}, {"F16"})

    def test_quantize(self):
        answer = self.json("quantize", VIT, "-o", "out", "--calibrate", IMAGES)
        self.assertEqual(list(answer), ["output", "precision", "calibration", "weights", "bytes"])
        self.assertEqual(list(answer["calibration"]), ["images", "smoothed_norms", "mean_cosine", "worst_cosine"])
        tensors = fixtures.read_safetensors("out/model.safetensors")
        self.assertEqual(sum(dtype == "I8" for dtype, _, _ in tensors.values()), answer["weights"])
        self.assertEqual(self.json("info", "out")["precision"], "int8")

    def test_bench(self):
        rows = self.json("bench", VIT, "-b", "1,64", "-t", "1", "--seconds", "0.05")
        self.assertEqual([row["batch"] for row in rows], [1, 64])
        for row in rows:
            self.assertEqual(list(row), [
                "model", "batch", "threads", "precision", "isa", "best_ms", "median_ms", "images_per_second", "gflops",
                "roof_share", "peak_rss_mb"])
            self.assertGreater(row["median_ms"], 0)

    def test_eval_of_features(self):
        for kind in "train", "test":
            for name, photos in {"day": ["coffee.png", "chelsea.png"], "night": ["rocket.jpg", "hubble_deep_field.jpg"]}.items():
                pathlib.Path(kind, name).mkdir(parents=True)
                for file in photos:
                    shutil.copy(IMAGES / file, pathlib.Path(kind, name, file))
        pathlib.Path("test/day/broken.png").write_bytes(b"")
        answer = self.json("eval", "test", "--train", "train", "-m", VIT, status=65)
        self.assertEqual(list(answer), ["knn_top1", "linear_top1", "map", "count", "train", "classes", "failed"])
        self.assertEqual([answer[key] for key in ("count", "train", "classes", "failed")], [4, 4, 2, 1])
        self.assertEqual(answer["linear_top1"], 1)  # what it learnt from
        knn = self.json("knn", "train", "test", "-m", VIT, status=65)
        self.assertEqual(answer["knn_top1"], knn["top1"])

    def test_explain(self):
        photo, other = str(IMAGES / "coffee.png"), str(IMAGES / "rocket.jpg")
        one = self.json("explain", photo, "-m", VIT, "--attention", "--head", "1", "-o", "a.png", "--npy", "a.npy")
        self.assertEqual(one["explanation"], "attention of block 1, head 1")
        self.assertEqual(one["images"][0]["shape"], [4, 4])
        self.assertLess(sum(one["images"][0]["map"]), 1)  # the class token attends to itself, too
        self.assertTrue(pathlib.Path("a.png").read_bytes().startswith(b"\x89PNG"))
        several = self.json("explain", photo, "-m", VIT, "--pca", "--whole", "--images", other, "--size", "64")
        self.assertEqual([image["shape"] for image in several["images"]], [[8, 8, 3]] * 2)
        colors = [c for image in several["images"] for c in image["map"]]
        self.assertEqual((min(colors), max(colors)), (0, 1))
        covered = self.json("explain", photo, "-m", VIT, "--occlusion")
        self.assertIn("the probability of class 4", covered["explanation"])
        self.assertEqual(covered["images"][0]["shape"], [14, 14])
        self.assertEqual(self.json("explain", photo, "-m", VIT, "--occlusion", "--class", "4"), covered)
        named = self.json("explain", photo, "-m", VIT, "--occlusion", "--class", "2")
        self.assertIn("the probability of class 2", named["explanation"])
        self.assertNotEqual(named["images"], covered["images"])

    def test_explain_a_point(self):
        photo, other = str(IMAGES / "coffee.png"), str(IMAGES / "rocket.jpg")
        one, two = self.json("explain", photo, "-m", VIT, "--similarity-point", "300,200", "--images", other)["images"]
        self.assertEqual(one["point"], [300, 200])
        best = max(range(16), key=lambda i: two["map"][i])
        for axis, begin, size, i in (0, "left", "width", best % 4), (1, "top", "height", best // 4):
            self.assertEqual(two["point"][axis], int(two["seen"][begin] + two["seen"][size] * (i + 0.5) / 4))

    def test_explain_a_zero_shot_class(self):
        fixtures.clip()
        photo, labels = str(IMAGES / "coffee.png"), "a cup,a dog,a rocket"

        def covered(*more):
            return self.json("explain", photo, "-m", "clip", "--occlusion", *more)

        chances = {p["label"]: p["probability"] for p in self.json(
            "classify", photo, "-m", "clip", "--labels", labels, "-k", "3")[0]["predictions"]}
        maps = [covered("--labels", labels, "--class", name)["images"][0]["map"] for name in chances]
        for drops in zip(*maps):  # what one label loses the others gain
            self.assertAlmostEqual(sum(drops), 0, places=5)
        best = max(chances, key=chances.get)
        answer = covered("--labels", labels)
        self.assertEqual(answer["explanation"], f"what covering takes from the probability of {best}")
        self.assertEqual(answer["images"][0]["map"], maps[list(chances).index(best)])
        self.assertIn("cosine with the whole image", covered()["explanation"])

    def test_trace(self):
        self.json("bench", VIT, "-b", "1,2", "-t", "1", "--seconds", "0.01", "--trace", "trace.json")
        events = json.loads(pathlib.Path("trace.json").read_text())["traceEvents"]
        self.assertEqual([e["args"]["name"].split(", ", 1)[1] for e in events if e["ph"] == "M"],
                         ["batch 1, 1 thread", "batch 2, 1 thread"])
        calls = [e for e in events if e["ph"] == "X" and e["pid"] == 1]
        # 2 blocks of 32 channels on 17 tokens of 2 images, of which the second gives the class token.
        self.assertEqual([e["args"]["shapes"] for e in calls if e["name"] == "attention"],
                         ["2x17x2x16, 2x17x2x16, 2x17x2x16 -> 2x17x2x16", "2x1x2x16, 2x17x2x16, 2x17x2x16 -> 2x1x2x16"])
        self.assertTrue(all(a["ts"] + a["dur"] <= b["ts"] + 1e-3 for a, b in zip(calls, calls[1:])))

    def test_memory_is_that_of_each_row(self):
        if b"__asan_init" in PROGRAM.read_bytes():
            self.skipTest("AddressSanitizer keeps memory that was freed")
        sizes = [row["peak_rss_mb"] for row in
                 self.json("bench", VIT, "-b", "2048,1", "-t", "1", "--seconds", "0.05")]
        self.assertGreater(sizes[0], sizes[1] + 20)


if __name__ == "__main__":
    unittest.main()
