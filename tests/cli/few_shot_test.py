"""`ocelli train linear|knn|prototype|prompts`: what is learnt from few images. usage: few_shot_test.py OCELLI"""
import json
import pathlib
import shutil
import unittest

import fixtures
from support import VIT, Case
from train_test import CLASSES, captions, photographs


class FewShot(Case):
    def setUp(self):
        super().setUp()
        photographs()

    def test_probes_learn_and_the_classifier_opens(self):
        photographs("held_out", 1)
        for probe in ("linear", "prototype"):
            result = self.json("train", probe, "photos", "--test", "held_out", "-m", VIT, "-o", probe)
            self.assertEqual({key: result[key] for key in ("top1", "interval", "episodes", "train", "count", "classes", "failed")},
                             {"top1": 1, "interval": 0, "episodes": 1, "train": 12, "count": 3, "classes": 3, "failed": 0})
            found = self.json("classify", "held_out", "-m", probe, "--top", "1")
            self.assertEqual([image["predictions"][0]["label"] for image in found], list(CLASSES))
        for probe in ("linear", "knn", "prototype"):
            few = ("train", probe, "photos", "-m", VIT, "--shots", "1", "--episodes", "5", "--features", "patch-mean")
            result = self.json(*few)
            self.assertEqual([result[key] for key in ("top1", "episodes", "shots", "train", "count")], [1, 5, 1, 3, 9])
            self.assertEqual(self.json(*few), result)

    def test_probes_bad_input(self):
        photographs("held_out", 1)
        for arguments, status, message in [
                (["linear", "photos", "-m", VIT], 64, "--test"),
                (["linear", "photos", "-m", VIT, "--shots", "5"], 64, "the class 'camera' has 4 images"),
                (["knn", "photos", "-m", VIT, "--shots", "4"], 64, "leaves no image to test on"),
                (["linear", "photos", "--test", "held_out", "-m", VIT, "-o", "photos"], 64, "is there already"),
                (["linear", "photos", "--test", "held_out", "-m", VIT, "-o", "x", "--features", "cls"], 64, "leave out --features"),
                (["linear", "photos", "--test", "held_out", "-m", fixtures.clip(), "-o", "x"], 69, "no classifier")]:
            self.assertIn(message, self.run_program("train", *arguments, status=status).stderr)
        self.assertFalse(pathlib.Path("x").exists())

    def test_shots_are_counted_before_and_after_images_are_read(self):
        pathlib.Path("photos/camera/bad.png").write_text("bad")
        for learn in ["knn", "photos", "-m", VIT], ["prompts", "photos", "-m", fixtures.clip(), "--context", "4", "--epochs", "1"]:
            error = self.run_program("train", *learn, "--strict", "--shots", "5", status=64).stderr
            self.assertIn("--shots 5: the class 'coffee' has 4 images", error)
            error = self.run_program("train", *learn, "--shots", "4", status=64).stderr
            self.assertIn("leaves no image to test on", error)

    def test_prompts_learn_and_are_written(self):
        photographs("held_out", 1)
        clip = fixtures.clip()
        command = ("train", "prompts", "photos", "--test", "held_out", "-m", clip, "--shots", "2", "--episodes", "2", "--context", "4",
                   "--epochs", "60")
        result = self.json(*command, "-o", "prompts")
        self.assertEqual({key: result[key] for key in ("templates", "context", "episodes", "shots", "train", "count", "classes", "failed")},
                         {"templates": "openai80", "context": 4, "episodes": 2, "shots": 2, "train": 6, "count": 3, "classes": 3, "failed": 0})
        self.assertEqual(list(result)[:5], ["zero_shot", "zero_shot_ensemble", "coop", "tip_adapter", "tip_adapter_f"])
        self.assertLess(result["coop"]["last_loss"], result["coop"]["first_loss"])
        self.assertEqual((result["tip_adapter"]["top1"], result["tip_adapter_f"]["top1"]), (1, 1))  # the same photographs
        self.assertEqual(self.json(*command), result)
        self.assertEqual(json.loads(pathlib.Path("prompts/report.json").read_text()), result)
        self.assertEqual(fixtures.read_safetensors("prompts/context.safetensors")["context"][:2], ("F32", [4, 32]))
        cache = fixtures.read_safetensors("prompts/cache.safetensors")
        self.assertEqual({name: shape for name, (_, shape, _) in cache.items()},
                         {"texts": [3, 24], "keys": [6, 24], "learnt_keys": [6, 24], "values": [6, 3]})
        header = pathlib.Path("prompts/context.safetensors").read_bytes()[:600]
        self.assertIn(b'"tokens":"4"', header)
        self.assertIn(b'/clip"', header)
        table = self.run_program(*command).stdout
        self.assertRegex(table, r"Tip-Adapter-F +100.00 \+- 0.00 %")
        self.assertIn("top-1 of 3 images of 3 classes, from 6 labelled, episodes: 2", table)

    def test_learnt_prompts_name_classes(self):
        shutil.copytree("photos", "turned")  # a class under another's name, so that not all can be right
        pathlib.Path("turned/camera/0_camera.png").rename("turned/coffee/turned.png")
        for model in (fixtures.clip(), fixtures.dual_encoder()):
            folder = f"prompts_of_{model}"
            report = self.json("train", "prompts", "photos", "--test", "turned", "-m", model, "--shots", "2", "--episodes", "1",
                               "--context", "4", "--epochs", "60", "-o", folder)
            for method in ("coop", "tip_adapter", "tip_adapter_f"):
                found = self.json("eval", "turned", "--prompts", folder, "--method", method)
                self.assertEqual((found["top1"], found["count"]), (report[method]["top1"], report["count"]), (model, method))
            best = max(report[method]["top1"] for method in ("coop", "tip_adapter", "tip_adapter_f"))
            self.assertEqual(self.json("eval", "turned", "--prompts", folder, "-m", model)["top1"], best)
            found = self.json("classify", "photos/coffee/0_coffee.png", "--prompts", folder, "--method", "tip_adapter")
            self.assertEqual(found[0]["predictions"][0]["label"], "coffee")
            self.assertAlmostEqual(sum(each["probability"] for each in found[0]["predictions"]), 1, places=5)
            one = ("explain", "photos/coffee/0_coffee.png", "--occlusion", "--prompts", folder, "--class")
            maps = [self.json(*one, name)["images"][0]["map"] for name in ("coffee", "camera")]
            self.assertNotEqual(*maps)
            self.assertEqual(self.json(*one, "coffee", "-m", model)["explanation"], "what covering takes from the probability of coffee")
            for gone, method in (("cache.safetensors", "coop"), ("report.json", "coop")):
                pathlib.Path(folder, gone).unlink()
                self.assertEqual(self.json("eval", "turned", "--prompts", folder)["top1"], report[method]["top1"])

    def test_learnt_prompts_bad_input(self):
        clip = fixtures.clip()
        self.json("train", "prompts", "photos", "-m", clip, "--shots", "2", "--episodes", "1", "--context", "4", "--epochs", "1",
                  "--templates", "none", "-o", "prompts")
        shutil.move(clip, "moved")
        header = fixtures.safetensors_metadata("prompts/cache.safetensors")
        captions()

        def damaged(name, tensors={}, file="cache", **metadata):
            shutil.copytree("prompts", name)
            path = f"{name}/{file}.safetensors"
            old = {**fixtures.read_safetensors(path), **tensors}
            fields = {**fixtures.safetensors_metadata(path), **metadata}
            fixtures.write_safetensors(path, {key: value for key, value in old.items() if value},
                                       {key: value for key, value in fields.items() if value is not None})
            return ["-m", "moved", "--prompts", name, "--method", "coop" if file == "context" else "tip_adapter_f"]

        pathlib.Path("empty").mkdir()
        for arguments, status, message in [
                (["--prompts", "prompts", "--labels", "a,b"], 64, "--labels excludes --prompts"),
                (["--prompts", "prompts", "--templates", "none"], 64, "--templates requires --labels"),
                (["--method", "coop"], 64, "--method requires --prompts"),
                (["--prompts", "prompts", "--method", "cooop"], 64, "--method"),
                (["--prompts", "prompts"], 66, "/clip"),
                (["--prompts", "empty"], 66, "empty: holds neither cache.safetensors nor context.safetensors"),
                (["--prompts", "prompts", "-m", "moved", "--size", "48"], 64, f"(weights {header['fingerprint']}), not with moved at 48x48"),
                (["--prompts", "prompts", "-m", VIT], 64, "learnt with the model"),
                (damaged("a", {"keys": None, "learnt_keys": ("F32", [1, 3], b"\0" * 12)}), 65,
                 "a/cache.safetensors: the tensor 'learnt_keys' is [1, 3], not [N, 24]"),
                (damaged("b", {"learnt_keys": ("F32", [0, 24], b"")}), 65, "the tensor 'learnt_keys' is [0, 24]"),
                (damaged("c", {"values": ("F32", [6, 2], b"\0" * 48)}), 65, "the tensor 'values' is [6, 2], not [6, 3]"),
                (damaged("d", {"texts": ("F32", [72], b"\0" * 288)}), 65, "the tensor 'texts' is [72], not [3, 24]"),
                (damaged("e", {"texts": None}), 66, "e/cache.safetensors: tensor texts is missing"),
                (damaged("f", {"texts": ("F32", [3, 24], b"\xff" * 288)}), 65, "the tensor 'texts' has NaN or infinity"),
                (damaged("g", alpha="much"), 65, "g/cache.safetensors: 'alpha' in the metadata is 'much', no number"),
                (damaged("h", beta=None), 65, "h/cache.safetensors: the metadata has no 'beta'"),
                (damaged("i", classes='{"a": "camera"}'), 65, "i/cache.safetensors: 'classes' in the metadata is no list of names"),
                (damaged("j", classes='["camera", 2]'), 65, "'classes' in the metadata is no list of names"),
                (damaged("k", classes='["camera"'), 65, "'classes' in the metadata is no list of names"),
                (damaged("l", {"context": ("F32", [4, 31], b"\0" * 496)}, "context"), 65,
                 "l/context.safetensors: the tensor 'context' is [4, 31], not [N, 32]"),
                (damaged("m", {"context": ("F32", [40, 32], b"\0" * 5120)}, "context"), 64, "the text tower takes 16")]:
            self.assertIn(message, self.run_program("classify", "photos", *arguments, status=status).stderr)
        for arguments, message in [(["photos", "--train", "photos"], "do not go with --train"),
                                   (["captions.tsv"], "holds captions; --labels, --prompts")]:
            self.assertIn(message, self.run_program("eval", *arguments, "-m", "moved", "--prompts", "prompts", status=64).stderr)

    def test_prompts_bad_input(self):
        clip, siglip = fixtures.clip(), fixtures.GOLDENS / "tokens_siglip"
        few = ["--shots", "2", "--context", "4"]
        pathlib.Path("no_label.txt").write_text("a photo\n")
        for arguments, status, message in [
                (["-m", VIT], 69, "texts need a model with a text tower"),
                (["-m", fixtures.GOLDENS / "tokens_clip"], 69, "the image tower is missing"),
                (["-m", siglip], 69, "this model has a sigmoid a pair"),
                (["-m", clip, "--shots", "2"], 64, "the class 'camera' has 7 tokens, 25 with the context of 16 and both ends; the text tower takes 16"),
                (["-m", clip, "--context", "4", "--shots", "5"], 64, "--shots 5: the class 'camera' has 4 images"),
                (["-m", clip, "--context", "4", "--shots", "4"], 64, "leaves no image to test on"),
                (["-m", clip, *few, "--templates", "openai81"], 66, "--templates openai81"),
                (["-m", clip, *few, "--templates", "no_label.txt"], 64, "has no {} for the label"),
                (["-m", clip, *few, "-o", "photos"], 64, "is there already"),
                (["-m", clip, "--context", "0"], 64, "--context")]:
            self.assertIn(message, self.run_program("train", "prompts", "photos", *arguments, status=status).stderr)


if __name__ == "__main__":
    unittest.main()
