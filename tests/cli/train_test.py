"""Runs of `ocelli train` on a few photographs and tiny models. usage: train_test.py OCELLI"""
import json
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time
import unittest

import fixtures
from support import PROGRAM, VIT, Case

CLASSES = {"camera": "camera.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}
FAST = ["--set", "augment.crop_scale=0.7", "--lr", "0.01", "-b", "4"]


def photographs(folder="photos", count=4):
    for name, image in CLASSES.items():
        pathlib.Path(folder, name).mkdir(parents=True)
        for i in range(count):
            pathlib.Path(folder, name, f"{i}_{image}").symlink_to(fixtures.IMAGES / image)


def metrics(run):
    return [json.loads(line) for line in pathlib.Path(run, "metrics.jsonl").read_text().splitlines()]


def selfsup_model():
    """A DINOv2 of one block that has a configuration and no weights."""
    pathlib.Path("tiny").mkdir()
    config = {"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2,
              "image_size": 16, "patch_size": 4}
    pathlib.Path("tiny/config.json").write_text(json.dumps(config))
    sizes = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    pathlib.Path("tiny/preprocessor_config.json").write_text(json.dumps({"image_processor_type": "BitImageProcessor", **sizes}))
    sets = {"head_hidden": 16, "head_bottleneck": 8, "head_prototypes": 32, "global_crops_size": 16, "local_crops_size": 8,
            "local_crops_number": 2, "centring": "sinkhorn_knopp"}
    return ["-m", "tiny", "-b", "4"] + [word for key, value in sets.items() for word in ("--set", f"selfsup.{key}={value}")]


def vocabulary():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", *CLASSES]
    pathlib.Path("text/vocab.txt").write_text("\n".join(words) + "\n")
    pathlib.Path("text/tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    return words


def written_text():
    shutil.copytree(fixtures.GOLDENS / "bert_hf", "text")
    vocabulary()
    return "text"


def captions():
    rows = [f"photos/{name}/0_{image}\ta {name}" for name, image in CLASSES.items()]
    pathlib.Path("captions.tsv").write_text("image\tcaption\n" + "\n".join(rows) + "\n")


class Train(Case):
    def setUp(self):
        super().setUp()
        photographs()

    def size_of(self, model):
        return self.json("info", model)["input"]

    def embedding(self, model, *options):
        self.run_program("embed", "square.ppm", "-m", model, "-o", "square.npy", *options)
        return pathlib.Path("square.npy").read_bytes()

    def train(self, *arguments, status=0):
        return self.run_program("train", "classify", "photos", "-m", VIT, *FAST, *arguments, status=status)

    def test_learns_and_gives_a_model_folder(self):
        photographs("held_out", 1)
        result = self.json("train", "classify", "photos", "--test", "held_out", "-m", VIT, "-o", "run", "--epochs", "12", *FAST)
        lines = metrics("run")
        losses = [line["loss"] for line in lines if "loss" in line]
        self.assertEqual((result["steps"], len(losses)), (36, 36))
        self.assertLess(sum(losses[-6:]), 0.5 * sum(losses[:6]))
        self.assertEqual(result["metrics"]["test_top1"], 1)
        found = self.json("classify", "held_out", "-m", result["checkpoint"], "--top", "1")
        self.assertEqual([image["predictions"][0]["label"] for image in found], list(CLASSES))
        self.assertEqual(self.json("runs", "run")[0]["status"], "finished")
        self.assertIn("test_top1", pathlib.Path("run/report.html").read_text())

    def test_captions_find_their_images(self):
        clip = fixtures.clip()
        captions()
        result = self.json("train", "contrastive", "captions.tsv", "--test", "captions.tsv", "-m", clip, "-o", "run",
                           "--epochs", "60", "--lr", "0.003", "-b", "3")
        self.assertEqual(result["metrics"]["test_recall1"], 1)
        self.assertLess(result["metrics"]["loss"], 0.3)
        self.json("match", "photos/coffee/0_coffee.png", "--texts", "captions.tsv", "-m", result["checkpoint"])
        error = self.run_program("train", "contrastive", "captions.tsv", "-m", VIT, "-o", "b", "-b", "3", status=66).stderr
        self.assertIn("no tokenizer", error)

    def begun_text(self):
        """A BERT that has a configuration, a vocabulary and no weights."""
        pathlib.Path("text").mkdir()
        words = vocabulary()
        pathlib.Path("text/config.json").write_text(json.dumps(
            {"model_type": "bert", "hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48,
             "max_position_embeddings": 16, "vocab_size": len(words)}))
        return "text"

    def test_two_towers_become_a_model(self):
        captions()
        new = ["train", "contrastive", "captions.tsv", "--image", VIT, "--text", self.begun_text(), "-b", "3", "--lr", "0.003"]
        result = self.json(*new, "--test", "captions.tsv", "-o", "run", "--epochs", "100")
        self.assertEqual(result["metrics"]["test_recall1"], 1)
        self.json("match", "photos/coffee/0_coffee.png", "--texts", "captions.tsv", "-m", result["checkpoint"])
        names = {name: data for name, (_, _, data) in fixtures.read_safetensors(result["checkpoint"] + "/model.safetensors").items()}
        own = fixtures.read_safetensors(VIT + "/model.safetensors")
        self.assertIn("text_model.encoder.layer.0.attention.self.query.weight", names)
        moved = [name for name, (_, _, data) in own.items() if names["vision_model." + name.removeprefix("vit.")] != data]
        self.assertGreater(len(moved), 10)
        # What is locked stays, the rest learns; SigLIP's loss has a bias.
        locked = self.json(*new, "--lock-image", "--loss", "siglip", "-o", "locked", "--epochs", "2")
        tensors = fixtures.read_safetensors(locked["checkpoint"] + "/model.safetensors")
        self.assertIn("logit_bias", tensors)
        for name, (_, _, data) in own.items():
            self.assertEqual(tensors["vision_model." + name.removeprefix("vit.")][2], data, name)
        # Both locked: the towers stay where they are.
        tower = result["checkpoint"]
        error = self.run_program(*new, "--lock-image", "--lock-text", "-o", "none", status=66).stderr
        self.assertIn("text", error)
        error = self.run_program("train", "contrastive", "captions.tsv", "--image", VIT, "-o", "none", status=64).stderr
        self.assertIn("--image and --text go together", error)
        self.json("train", "contrastive", "captions.tsv", "-m", tower, "--lock-text", "-o", "more", "-b", "3", "--epochs", "1")

    def test_a_new_dual_encoder_killed_ends_as_if_undisturbed(self):
        captions()
        start = ["train", "contrastive", "captions.tsv", "--image", VIT, "--text", self.begun_text(), "--lock-image", "-b", "3",
                 "--epochs", "30"]
        self.json(*start, "-o", "whole")
        self.kill(start[1:], 3)
        self.assert_same("step-00000030", "model.safetensors")

    def test_projections_over_two_folders(self):
        captions()
        written_text()
        width = json.loads(pathlib.Path("text/config.json").read_text())["hidden_size"]
        begin = ["contrastive", "captions.tsv", "--image", fixtures.GOLDENS / "vit_hf_classifier", "--text", "text", "--lock-image",
                 "--lock-text", "-b", "3", "--epochs", "60", "--lr", "0.003", "--set", f"projections.width={width}", "projections.hidden=6",
                 "projections.caption_mix=0.5", "classes.weight=0.1"]
        result = self.json("train", *begin, "classes.as_hidden=true", "--test", "captions.tsv", "-o", "whole")
        self.assertEqual(result["metrics"]["test_recall1"], 1)
        tensors = fixtures.read_safetensors(result["checkpoint"] + "/model.safetensors")
        self.assertEqual(tensors["visual_projection.fc1.weight"][1][0], 5)  # a unit a class
        self.assertNotIn("text_model.embeddings.word_embeddings.weight", tensors)
        config = json.loads(pathlib.Path(result["checkpoint"], "config.json").read_text())
        self.assertEqual(config["text_folder"], str(pathlib.Path("text").resolve()))
        self.json("match", "photos/coffee/0_coffee.png", "--texts", "captions.tsv", "-m", result["checkpoint"])
        self.assertEqual(self.size_of(result["checkpoint"]), self.size_of(begin[3]))
        self.kill([*begin, "classes.as_hidden=true", "--test", "captions.tsv"], 3)
        self.assert_same("step-00000060", "model.safetensors")
        error = self.run_program("train", *begin, "projections.image_size=5000", "-o", "bad", status=64).stderr
        self.assertIn("projections.image_size", error)
        error = self.run_program("train", *begin, "-o", "whole", status=64).stderr
        self.assertIn("the folder is not empty", error)
        error = self.run_program("train", *begin, "classes.as_hidden=true", f"projections.width={width + 1}", "-o", "bad", status=69).stderr
        self.assertIn("classes.as_hidden", error)
        error = self.run_program("train", *begin, "classes.as_hidden=true", "projections.hidden=0", "-o", "bad", status=64).stderr
        self.assertIn("projections.hidden", error)

    def test_an_image_that_cannot_be_read_is_left_out_below_projections(self):
        captions()
        written_text()
        begin = ["--image", fixtures.GOLDENS / "vit_hf_classifier", "--text", "text", "--lock-image", "--lock-text", "-b", "3", "--epochs", "4",
                 "--lr", "0.003", "--test", "captions.tsv"]
        self.run_program("train", "contrastive", "captions.tsv", *begin, "-o", "whole")
        pathlib.Path("bad.png").write_text("no image")
        header, first, *rest = pathlib.Path("captions.tsv").read_text().splitlines()
        pathlib.Path("more.tsv").write_text("\n".join([header, first, "bad.png\ta dog", "bad.png\ta cat", *rest]) + "\n")
        result = self.run_program("train", "contrastive", "more.tsv", *begin, "-o", "more")
        self.assertRegex(result.stderr, "ocelli: warning: bad.png: not an image .*; learnt without it\n")
        self.assertEqual(metrics("more"), metrics("whole"))
        pathlib.Path("bad.tsv").write_text("image\tcaption\n" + "bad.png\ta dog\n" * 4)
        error = self.run_program("train", "contrastive", "bad.tsv", *begin, "-o", "bad", status=65).stderr
        self.assertIn("cannot be read", error)

    def test_a_ridge_regression_stands_beside_projections(self):
        captions()
        written_text()
        begin = ["contrastive", "captions.tsv", "--image", fixtures.GOLDENS / "vit_hf_classifier", "--text", "text", "--lock-image",
                 "--lock-text", "-b", "3", "--epochs", "20", "--lr", "0.003", "--test", "captions.tsv", "--set", "projections.width=5"]
        plain = self.json("train", *begin, "-o", "plain")
        result = self.json("train", *begin, "projections.ridge=0.1", "projections.ridge_weight=0.5", "-o", "whole")
        self.assertEqual(result["metrics"]["test_recall1"], 1)
        checkpoint = pathlib.Path(result["checkpoint"])
        tensors = fixtures.read_safetensors(checkpoint / "model.safetensors")
        width = json.loads(pathlib.Path("text/config.json").read_text())["hidden_size"]
        self.assertEqual(tensors["text_projection.ridge.weight"][1], [width, width])
        self.assertEqual(json.loads((checkpoint / "config.json").read_text())["ridge_weight"], 0.5)
        # What learns does not see it, and it does not learn.
        without = fixtures.read_safetensors(plain["checkpoint"] + "/model.safetensors")
        self.assertEqual({name: tensors[name] for name in without}, without)
        self.assertEqual(*[[line.get("loss") for line in metrics(run)] for run in ("whole", "plain")])
        self.run_program("embed", "photos/coffee/0_coffee.png", "-m", checkpoint, "-o", "one.npy")
        embedding = struct.unpack(f"{5 + width}f", pathlib.Path("one.npy").read_bytes()[-4 * (5 + width):])
        self.assertAlmostEqual(sum(x * x for x in embedding[5:]) / sum(x * x for x in embedding[:5]), 0.5, places=5)
        self.json("train", "contrastive", "captions.tsv", "-m", checkpoint, "-b", "3", "--epochs", "1", "-o", "more")
        more = fixtures.read_safetensors(next(pathlib.Path("more/checkpoints").glob("step-*")) / "model.safetensors")
        self.assertEqual(more["text_projection.ridge.weight"], tensors["text_projection.ridge.weight"])
        error = self.run_program("train", *begin, "projections.ridge=1", "projections.ridge_captions=99", "-o", "bad", status=64).stderr
        self.assertIn("projections.ridge_captions: 0 images have 99 captions or more", error)
        error = self.run_program("train", "contrastive", "captions.tsv", "-m", plain["checkpoint"], "--set", "projections.ridge=1", "-o", "bad",
                                 status=69).stderr
        self.assertIn("is for new projections", error)
        weights = fixtures.read_safetensors(checkpoint / "model.safetensors")
        dtype, (rows, columns), data = weights["text_projection.weight"]
        weights["text_projection.weight"] = (dtype, [rows - 1, columns], data[:4 * (rows - 1) * columns])
        fixtures.write_safetensors(checkpoint / "model.safetensors", weights)
        error = self.run_program("embed", "photos", "-m", checkpoint, "-o", "none.npy", status=65).stderr
        self.assertIn(f"images become 5 + {width} numbers but texts 4 + {width}", error)
        config = json.loads((checkpoint / "config.json").read_text())
        (checkpoint / "config.json").write_text(json.dumps({**config, "ridge_weight": -1}))
        error = self.run_program("embed", "photos", "-m", checkpoint, "-o", "none.npy", status=65).stderr
        self.assertIn("ridge_weight is -1", error)

    def test_projections_have_a_size_of_images_of_their_own(self):
        captions()
        written_text()
        begin = ["train", "contrastive", "captions.tsv", "--image", fixtures.GOLDENS / "vit_hf_classifier", "--text", "text", "-b", "3",
                 "--epochs", "1", "--set", "projections.width=8", "projections.image_size=48"]
        pixels = bytes((x * 3 + y * c) % 256 for y in range(64) for x in range(64) for c in (1, 2, 3))
        pathlib.Path("square.ppm").write_bytes(b"P6 64 64 255\n" + pixels)
        model = self.json(*begin, "--lock-image", "--lock-text", "-o", "run")["checkpoint"]
        self.assertEqual(self.size_of(model), [48, 48])
        own = self.embedding(model)
        pathlib.Path(model, "preprocessor_config.json").unlink()
        self.assertEqual(self.size_of(model), self.size_of(begin[4]))
        self.assertEqual(self.embedding(model, "--size", "48"), own)
        self.assertNotEqual(self.embedding(model), own)
        error = self.run_program(*begin, "-o", "bad", status=64).stderr
        self.assertIn("projections.image_size", error)

    def test_by_chunks_the_batch_is_as_large(self):
        captions()
        model = fixtures.clip()
        for chunk in ("0", "2"):
            self.json("train", "contrastive", "captions.tsv", "-m", model, "-o", chunk, "-b", "3", "--epochs", "4",
                      "--set", f"grad_cache={chunk}")
        for whole, chunks in zip(metrics("0"), metrics("2")):
            self.assertAlmostEqual(whole["loss"], chunks["loss"], delta=1e-5 * whole["loss"])
        error = self.train("-o", "a", "--set", "grad_cache=2", status=64).stderr
        self.assertIn("grad_cache", error)

    def test_learns_from_a_teacher(self):
        teacher = json.loads(self.train("-o", "teacher", "--epochs", "12", "--json").stdout)["checkpoint"]
        plain = json.loads(self.train("-o", "plain", "--epochs", "2", "--json").stdout)["metrics"]
        self.assertNotIn("distill_loss", plain)
        taught = json.loads(self.train("-o", "taught", "--epochs", "2", "--distill", teacher, "--set", "distill.temperature=2",
                                       "--json").stdout)["metrics"]
        self.assertAlmostEqual(taught["loss"], taught["task_loss"] + taught["distill_loss"], places=5)
        error = self.train("-o", "b", "--distill", fixtures.GOLDENS / "vit_hf_classifier", status=69).stderr
        self.assertIn("does not know the class 'camera'", error)
        captions()
        model = fixtures.clip()
        clip = ["train", "contrastive", "captions.tsv", "-m", model, "-b", "3", "--epochs", "2"]
        taught = self.json(*clip, "-o", "two", "--distill", model)["metrics"]
        self.assertAlmostEqual(taught["loss"], taught["contrastive_loss"] + taught["distill_loss"], places=5)
        error = self.run_program(*clip, "-o", "c", "--distill", VIT, status=69).stderr
        self.assertIn("no text tower", error)

    def test_an_evaluation_that_was_stopped_is_made_up_for(self):
        photographs("held_out", 200)
        arguments = ["classify", "photos", "--test", "held_out", "-m", VIT, *FAST, "--epochs", "2"]
        self.run_program("train", *arguments, "-o", "whole")
        file = pathlib.Path("stopped/metrics.jsonl")
        process = subprocess.Popen([PROGRAM, "train", *arguments, "-o", "stopped"], env=self.environment, stderr=subprocess.DEVNULL)
        while not file.exists() or file.read_bytes().count(b"\n") < 3:
            self.assertIsNone(process.poll())
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=60), 130)
        self.assertEqual(len(metrics("stopped")), 3)  # steps, and no test
        self.run_program("train", "--resume", "stopped")
        for name in "metrics.jsonl", "checkpoints/best":
            self.assertEqual(pathlib.Path("stopped", name).read_bytes(), pathlib.Path("whole", name).read_bytes())

    def test_adapts_to_images_without_labels(self):
        photographs("held_out", 1)
        target = pathlib.Path("target")
        target.mkdir()
        for i, image in enumerate([*CLASSES.values()] * 2):
            (target / f"{i}_{image}").symlink_to(fixtures.IMAGES / image)
        adapt = ["adapt", "photos", "target", "--test", "held_out", "-m", VIT, *FAST, "--epochs", "12", "--set", "adapt.threshold=0.5"]
        result = self.json("train", *adapt, "-o", "whole")
        lines = metrics("whole")
        self.assertLess({"source_loss", "target_loss", "coral_loss", "target_used"}, set(lines[0]))
        self.assertEqual(result["metrics"]["test_top1"], 1)
        self.json("classify", "held_out", "-m", result["checkpoint"] + "/teacher")
        self.kill(adapt, 4)
        self.assert_same("step-00000036", "model.safetensors", "teacher/model.safetensors", "training/target.json")
        for arguments, message in [(["-b", "7"], "not between 2 and the 6 images of the target"),
                                   (["--set", "adapt.threshold=1.5"], "adapt.threshold"), (["--lora", "2"], "lora.rank")]:
            error = self.run_program("train", *adapt, "-o", "bad", *arguments, status=64).stderr
            self.assertIn(message, error)
        pathlib.Path("nothing").mkdir()
        adapt[2] = "nothing"
        self.assertIn("nothing", self.run_program("train", *adapt, "-o", "bad", status=66).stderr)

    def test_selfsup_begins_from_a_configuration(self):
        model = selfsup_model()
        photographs("held_out", 2)
        pathlib.Path("photos/loose.png").symlink_to(fixtures.IMAGES / "coffee.png")  # beside the folders: no label is needed
        result = self.json("train", "selfsup", "photos", "--test", "held_out", *model, "-o", "run", "--epochs", "3", "--lr", "1e-3",
                           "--set", "drop_path=0.3")
        lines = metrics("run")
        self.assertEqual(result["steps"], 9)
        self.assertLess({"dino_loss", "ibot_loss", "koleo_loss", "teacher_entropy", "teacher_marginal_entropy"}, set(lines[0]))
        self.assertEqual(len([line for line in lines if "test_knn" in line]), 3)
        for folder in (result["checkpoint"], result["checkpoint"] + "/teacher"):
            self.json("embed", "photos/coffee/0_coffee.png", "-m", folder, "-o", "e.npy")
            self.assertTrue(pathlib.Path(folder, "training/heads.safetensors").exists())
        # Goes on with its heads, and learns classes from where it is.
        self.json("train", "selfsup", "photos", *model[2:], "-m", result["checkpoint"] + "/teacher", "-o", "more", "--epochs", "1")
        error = self.run_program("train", "selfsup", "photos", *model[2:], "-m", result["checkpoint"] + "/teacher", "-o", "other",
                                 "--set", "selfsup.head_hidden=17", status=65).stderr
        self.assertIn("selfsup.head_*", error)

    def test_classes_are_learnt_from_a_configuration(self):
        pathlib.Path("tiny").mkdir()
        pathlib.Path("tiny/config.json").write_text(json.dumps(
            {"model_type": "vit", "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
             "image_size": 16, "patch_size": 4}))
        sizes = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        pathlib.Path("tiny/preprocessor_config.json").write_text(json.dumps({"image_processor_type": "ViTImageProcessor", **sizes}))
        result = self.json("train", "classify", "photos", "--test", "photos", "-m", "tiny", "-o", "run", "--epochs", "30",
                           "--lr", "3e-3", "-b", "4", "--set", "augment.crop_scale=0.7")
        self.assertEqual(result["metrics"]["test_top1"], 1)

    def test_blocks_that_are_computed_again_learn_the_same(self):
        for run in ("false", "true"):
            self.train("-o", run, "--epochs", "4", "--set", "drop_path=0.3", "--set", f"grad_checkpointing={run}")
        self.assertEqual(metrics("true"), metrics("false"))
        efficientnet = pathlib.Path(VIT).parent / "efficientnet_lite0"
        error = self.run_program("train", "classify", "photos", "-m", efficientnet, "-o", "e", *FAST, "--set", "grad_checkpointing=true", status=69)
        self.assertIn("grad_checkpointing: efficientnet cannot", error.stderr)

    def test_selfsup_killed_ends_as_if_undisturbed(self):
        arguments = ["selfsup", "photos", *selfsup_model(), "--epochs", "8", "--set", "checkpoints.every_epochs=0.7",
                     "--set", "drop_path=0.3", "--set", "selfsup.centring=centring"]
        self.run_program("train", *arguments, "-o", "whole")
        self.kill(arguments, kills=5)
        self.assert_same("step-00000024", "model.safetensors", "teacher/model.safetensors", "training/heads.safetensors",
                         "training/centres.safetensors", "training/optimizer.safetensors", "teacher/training/heads.safetensors")

    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, "train", *arguments], env=self.environment,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def test_killed_at_twenty_moments_it_ends_as_if_undisturbed(self):
        often = ["--epochs", "40", "--set", "checkpoints.every_epochs=0.7", "--set", "average=0.9"]
        self.train("-o", "whole", *often)
        self.kill(["classify", "photos", "-m", VIT, *FAST, *often], kills=20)
        self.assert_same("step-00000120", "model.safetensors", "training/optimizer.safetensors", "training/average/model.safetensors")

    def test_lora_killed_ends_as_if_undisturbed(self):
        options = ["--epochs", "30", "--lora", "4", "--set", "accumulate=2", "-b", "2", "--set", "checkpoints.every_epochs=0.7",
                   "--set", "average=0.9"]
        self.train("-o", "whole", *options)
        self.kill(["classify", "photos", "-m", VIT, *FAST, *options], kills=5)
        self.assert_same("step-00000090", "model.safetensors", "training/lora.safetensors", "training/optimizer.safetensors",
                         "training/average/model.safetensors")

    def test_a_run_goes_on_upon_the_same_weights_alone(self):
        captions()
        text, clip = written_text(), fixtures.clip()
        fixtures.vit("base")
        shutil.copytree(fixtures.GOLDENS / "vit_hf_classifier", "image")
        shutil.copytree(clip, "teacher")
        contrastive = ["contrastive", "captions.tsv", "-b", "3", "--epochs", "1"]
        for folder, tensor, arguments in [
                ("base", "blocks.1.attn.qkv.weight", ["classify", "photos", "-m", "base", *FAST, "--epochs", "1", "--lora", "2"]),
                ("teacher", "text_projection.weight", [*contrastive, "-m", clip, "--distill", "teacher"]),
                ("image", "vit.layernorm.weight", [*contrastive, "--image", "image", "--text", text, "--lock-image", "--lock-text"])]:
            self.run_program("train", *arguments, "-o", "of-" + folder)
            self.run_program("train", "--resume", "of-" + folder)
            tensors = fixtures.read_safetensors(f"{folder}/model.safetensors")
            dtype, shape, data = tensors[tensor]
            tensors[tensor] = (dtype, shape, data[:-4] + bytes([data[-4] ^ 1]) + data[-3:])  # the last bit of the last number
            fixtures.write_safetensors(f"{folder}/model.safetensors", tensors)
            error = self.run_program("train", "--resume", "of-" + folder, status=64).stderr
            self.assertIn(f"{folder}: its weights are not those that the run learnt upon", error)

    def test_lora_and_freeze_say_what_learns(self):
        result = self.train("-o", "run", "--epochs", "10", "--lora", "4", "--lr", "0.03")
        self.assertRegex(result.stderr, r"\d+ of \d+ parameters learn \(\d")
        losses = [line["loss"] for line in metrics("run") if "loss" in line]
        self.assertLess(sum(losses[-6:]), sum(losses[:6]))
        self.json("classify", "photos", "-m", result.stdout.split()[-1])
        self.assertIn("parameters learn", self.train("-o", "b", "--epochs", "1", "--freeze", "*.weight", "*.bias").stderr)
        error = self.train("-o", "c", "--lora", "4", "--set", "lora.targets=['*nowhere']", status=64).stderr
        self.assertIn("'*nowhere'", error)

    def test_two_batches_are_one_twice_as_large(self):
        for run, batch in {"two": ["-b", "4", "--set", "accumulate=2"], "one": ["-b", "8"]}.items():
            self.train("-o", run, "--epochs", "5", "--lr", "1e-3", *batch)
        two, one = metrics("two"), metrics("one")
        self.assertEqual((len(two), len(one)), (10, 10))
        for a, b in zip(two, one):
            self.assertAlmostEqual(a["loss"], b["loss"], delta=1e-5 * b["loss"])

    def kill(self, arguments, kills):
        """The run in killed/, with so many deaths at random moments."""
        arguments = [*arguments, "-o", "killed"]
        numbers, done = random.Random(4), 0
        while done < kills:
            process = self.start(*arguments)
            try:
                process.communicate(timeout=numbers.uniform(0.02, 0.35))
                self.assertEqual(process.returncode, 0)
                return
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                done += 1
            if pathlib.Path("killed/config.toml").exists():  # else it was killed before it began
                arguments = ["--resume", "killed"]
        self.run_program("train", *arguments)

    def assert_same(self, checkpoint, *files):
        self.assertEqual(pathlib.Path("whole/metrics.jsonl").read_bytes(), pathlib.Path("killed/metrics.jsonl").read_bytes())
        for file in files:
            a, b = (pathlib.Path(run, "checkpoints", checkpoint, file).read_bytes() for run in ("whole", "killed"))
            self.assertEqual(a, b, file)

    def test_control_c_writes_a_checkpoint(self):
        for number in signal.SIGINT, signal.SIGUSR1:
            folder = pathlib.Path(number.name)
            process = self.start("classify", "photos", "-m", VIT, *FAST, "--epochs", "100000", "-o", folder)
            while not ((folder / "metrics.jsonl").exists() and len((folder / "metrics.jsonl").read_text()) > 200):
                self.assertIsNone(process.poll())
                time.sleep(0.02)
            process.send_signal(number)
            self.assertIn(f"go on with: ocelli train --resume {folder}\n", process.communicate(timeout=60)[1])
            self.assertEqual(process.returncode, 128 + number)
            run = self.json("runs", folder)[0]
            self.assertEqual(run["status"], "cancelled")
            self.assertTrue((folder / f"checkpoints/step-{run['step']:08}").is_dir())

    def test_a_loss_that_is_not_finite_stops_and_is_named(self):
        error = self.train("-o", "run", "--lr", "1e8", "--epochs", "40", status=65).stderr
        self.assertRegex(error, r"step \d+: ")
        run = self.json("runs", "run")[0]
        self.assertEqual(run["status"], "failed")
        self.assertRegex(run["message"], r"step \d+: ")

    def test_a_corrupt_image_is_replaced_and_listed(self):
        pathlib.Path("photos/coffee/bad.jpg").write_text("no image")
        result = self.run_program("train", "classify", "photos", "-m", VIT, *FAST, "-o", "run", "--epochs", "2")
        self.assertIn("photos/coffee/bad.jpg", result.stderr)
        self.assertIn("learnt without it", result.stderr)

    def test_bad_input(self):
        pathlib.Path("photos/empty").mkdir()
        self.assertIn("empty", self.train("-o", "a", status=66).stderr)
        pathlib.Path("photos/empty").rmdir()
        pathlib.Path("one/only").mkdir(parents=True)
        pathlib.Path("one/only/a.png").symlink_to(fixtures.IMAGES / "coffee.png")
        for arguments, message in [
                (["train", "classify", "one", "-m", VIT, "-o", "b"], "at least two are needed"),
                (["train", "classify", "photos", "--test", "one", "-m", VIT, "-o", "b"], "its classes are not those of"),
                (["train", "classify", "photos", "-m", VIT, "-o", "b", "--set", "optimiser.lr=1"], "optimizer.lr"),
                (["train", "classify", "photos", "-m", VIT, "-o", "b", "--lr", "0"], "optimizer.lr"),
                (["train", "classify", "photos", "-m", VIT, "-o", "b", "-b", "99"], "larger than the 12 samples"),
                (["train"], "a task and data are needed"),
                (["train", "classify", "-o", "b"], "data is required (see 'ocelli train classify --help')"),
                (["train", "--resume"], "--resume: 1 required FOLDER missing"),
                (["train", "--resume", "b", "classify", "photos", "-o", "b"], "leave out the task and data")]:
            self.assertIn(message, self.run_program(*arguments, status=64).stderr)
        self.assertFalse(pathlib.Path("b/checkpoints").exists())


if __name__ == "__main__":
    unittest.main()
