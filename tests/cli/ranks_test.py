"""`mpirun ocelli train`. usage: ranks_test.py OCELLI"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

import fixtures
from support import PROGRAM, VIT, Case
from train_test import CLASSES, FAST, metrics, photographs, selfsup_model, written_text

MODULE = pathlib.Path(PROGRAM).parent / "libocelli_mpi.so"


@unittest.skipUnless(shutil.which("mpirun") and MODULE.exists(), "no mpirun, or a build without MPI")
class Ranks(Case):
    def setUp(self):
        super().setUp()
        photographs()
        # As root, in containers, on fewer processors than ranks.
        self.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1",
                             "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
                             "ASAN_OPTIONS": "detect_leaks=0"}  # of Open MPI's own

    def command(self, ranks, *arguments):
        return ["mpirun", "-n", str(ranks), PROGRAM, "train", *arguments]

    def ranks(self, ranks, *arguments, status=0):
        result = subprocess.run(self.command(ranks, *arguments), capture_output=True, text=True, env=self.environment, timeout=120)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def assert_near(self, run, other):
        self.assertEqual(len(metrics(run)), len(metrics(other)))
        for line, expected in zip(metrics(run), metrics(other)):
            self.assertEqual(line.keys(), expected.keys())
            for key, value in expected.items():
                self.assertAlmostEqual(line[key], value, delta=1e-5 * max(1, abs(value)), msg=f"{line} {expected}")

    def test_of_classes_two_and_four_ranks_learn_as_one_process(self):
        arguments = ["classify", "photos", "--test", "photos", "-m", VIT, *FAST, "--epochs", "4"]
        self.run_program("train", *arguments, "-o", "1")
        for ranks in 2, 4:
            result = self.ranks(ranks, *arguments, "-o", str(ranks))
            self.assertEqual(result.stdout.count("grad_norm "), 1)  # rank 0 alone prints
            self.assert_near(str(ranks), "1")
        self.json("classify", "photos", "-m", "4/checkpoints/step-00000012")

    def test_images_are_mixed_as_in_one_process(self):
        arguments = ["classify", "photos", "-m", VIT, "--lr", "1e-3", "-b", "12", "--epochs", "12", "--set", "augment.mixup=0.8", "augment.cutmix=1"]
        self.run_program("train", *arguments, "-o", "1")
        for ranks in 2, 3:
            self.ranks(ranks, *arguments, "-o", str(ranks))
            self.assert_near(str(ranks), "1")

    def test_captions_are_compared_over_all_ranks(self):
        rows = [f"photos/{name}/{i}_{image}\ta {name} {i}" for name, image in CLASSES.items() for i in range(4)]
        pathlib.Path("captions.tsv").write_text("image\tcaption\n" + "\n".join(rows) + "\n")
        fixtures.siglip()
        for model in fixtures.clip(), "siglip":
            arguments = ["contrastive", "captions.tsv", "-m", model, "-b", "4", "--epochs", "4", "--lr", "1e-3"]
            name = pathlib.Path(model).name
            self.run_program("train", *arguments, "-o", f"{name}1")
            for ranks in 2, 4:
                self.ranks(ranks, *arguments, "-o", f"{name}{ranks}")
                self.assert_near(f"{name}{ranks}", f"{name}1")

    def test_views_are_compared_over_all_ranks(self):
        begin = ["selfsup", "photos", "--test", "photos", *selfsup_model(), "--epochs", "4", "--lr", "1e-3"]
        for centring in "sinkhorn_knopp", "centring":
            arguments = [*begin, "--set", f"selfsup.centring={centring}", "selfsup.separate_heads=true"]
            self.run_program("train", *arguments, "-o", f"{centring}1")
            for ranks in 2, 4:  # of four, some have a batch of one without a mask
                self.ranks(ranks, *arguments, "-o", f"{centring}{ranks}")
                self.assert_near(f"{centring}{ranks}", f"{centring}1")
        self.json("embed", "photos/coffee", "-m", "centring4/checkpoints/step-00000012/teacher", "-o", "e.npy")

    def adapt(self):
        target = pathlib.Path("target")
        target.mkdir()
        for i, image in enumerate([*CLASSES.values()] * 3):
            (target / f"{i}_{image}").symlink_to(fixtures.IMAGES / image)
        return ["adapt", "photos", "target", "--test", "photos", "-m", VIT, *FAST, "--lr", "1e-3", "--set", "adapt.threshold=0.34"]

    def test_domains_are_compared_over_all_ranks(self):
        arguments = [*self.adapt(), "--epochs", "4"]
        self.run_program("train", *arguments, "-o", "1")
        self.assertTrue(any(line.get("target_used", 0) > 0 for line in metrics("1")))
        for ranks in 2, 4:  # of nine target images, eight are in batches of four
            self.ranks(ranks, *arguments, "-o", str(ranks))
            self.assert_near(str(ranks), "1")
        self.json("classify", "photos", "-m", "4/checkpoints/step-00000012/teacher")

    def test_adapting_ranks_stop_and_go_on_as_if_undisturbed(self):
        arguments = [*self.adapt(), "--epochs", "12", "--set", "checkpoints.every_epochs=1000"]
        self.ranks(2, *arguments, "-o", "whole")
        process = self.start_and_learn(2, *arguments, "-o", "run")
        process.send_signal(signal.SIGUSR1)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.assert_stopped()
        self.ranks(2, "--resume", "run")
        self.assertEqual(pathlib.Path("run/metrics.jsonl").read_bytes(), pathlib.Path("whole/metrics.jsonl").read_bytes())

    def test_projections_of_shared_features_learn_as_in_one_process(self):
        rows = [f"photos/{name}/0_{image}\ta {name} {i}" for name, image in CLASSES.items() for i in range(4)][:11]
        pathlib.Path("captions.tsv").write_text("image\tcaption\n" + "\n".join(rows) + "\n")
        arguments = ["contrastive", "captions.tsv", "--test", "captions.tsv", "--image", str(fixtures.GOLDENS / "vit_hf_classifier"), "--text",
                     written_text(), "--lock-image", "--lock-text", "-b", "4", "--epochs", "6", "--lr", "0.003", "--set", "projections.caption_mix=0.5",
                     "projections.image_dropout=0.1", "classes.weight=0.1"]
        self.run_program("train", *arguments, "-o", "1")
        for ranks in 2, 4:  # of four, the third has captions alone
            self.ranks(ranks, *arguments, "-o", str(ranks))
            self.assert_near(str(ranks), "1")

    def test_what_does_not_fill_a_batch_is_left_out_by_all_ranks(self):
        rows = [f"photos/{name}/{i}_{image}\ta {name} {i}" for name, image in CLASSES.items() for i in range(4)][:11]
        pathlib.Path("captions.tsv").write_text("image\tcaption\n" + "\n".join(rows) + "\n")
        arguments = ["contrastive", "captions.tsv", "-m", fixtures.clip(), "-b", "4", "--epochs", "5", "--lr", "1e-3"]
        self.run_program("train", *arguments, "-o", "1")
        self.ranks(2, *arguments, "-o", "2")
        self.assert_near("2", "1")

    def test_killed_ranks_go_on_as_if_undisturbed(self):
        arguments = ["classify", "photos", "-m", VIT, *FAST, "--epochs", "30", "--set", "average=0.9"]
        self.ranks(2, *arguments, "-o", "whole")
        process = self.start(2, *arguments, "-o", "killed")
        while not pathlib.Path("killed/checkpoints/last").exists():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        for rank in self.processes(process):
            os.kill(rank, signal.SIGKILL)
        process.communicate(timeout=30)
        self.ranks(2, "--resume", "killed")
        self.assertEqual(pathlib.Path("killed/metrics.jsonl").read_bytes(), pathlib.Path("whole/metrics.jsonl").read_bytes())

    def start(self, ranks, *arguments):
        return subprocess.Popen(self.command(ranks, *arguments), env=self.environment, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True)

    def processes(self, mpirun):
        return [int(word) for word in subprocess.run(["pgrep", "-P", str(mpirun.pid)], capture_output=True, text=True).stdout.split()]

    def start_and_learn(self, ranks, *arguments):
        """Returns when a few steps of the run in run/ are done."""
        def size():
            file = pathlib.Path("run/metrics.jsonl")
            return file.stat().st_size if file.exists() else 0

        before = size()
        process = self.start(ranks, *arguments)
        while size() <= before + 200:
            self.assertIsNone(process.poll())
            time.sleep(0.02)
        return process

    def assert_stopped(self):
        run = self.json("runs", "run")[0]
        self.assertEqual(run["status"], "cancelled")
        self.assertTrue(pathlib.Path(f"run/checkpoints/step-{run['step']:08}").is_dir())

    def test_ranks_stop_together_and_go_on_as_if_undisturbed(self):
        arguments = ["classify", "photos", "-m", VIT, *FAST, "--epochs", "60", "--set", "checkpoints.every_epochs=1000"]
        self.ranks(2, *arguments, "-o", "whole")
        process = self.start_and_learn(2, *arguments, "-o", "run")
        process.send_signal(signal.SIGUSR1)  # which mpirun passes on to all
        self.assertIn("cancelled", process.communicate(timeout=60)[1])
        self.assertEqual(process.returncode, 130)
        self.assert_stopped()
        process = self.start_and_learn(2, "--resume", "run")
        os.kill(self.processes(process)[1], signal.SIGINT)  # one alone
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        self.ranks(2, "--resume", "run")
        self.assertEqual(pathlib.Path("run/metrics.jsonl").read_bytes(), pathlib.Path("whole/metrics.jsonl").read_bytes())

    def test_control_c_writes_a_checkpoint(self):
        self.environment["OMPI_MCA_odls_base_sigkill_timeout"] = "3"  # seconds that mpirun leaves
        process = self.start_and_learn(2, "classify", "photos", "-m", VIT, *FAST, "--epochs", "100000", "-o", "run")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertNotEqual(process.returncode, 0)
        self.assert_stopped()

    def test_a_dead_rank_ends_the_job(self):
        process = self.start_and_learn(2, "classify", "photos", "-m", VIT, *FAST, "--epochs", "100000", "-o", "run")
        os.kill(self.processes(process)[1], signal.SIGKILL)
        error = process.communicate(timeout=30)[1]
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("rank 1", error)
        self.assertEqual(self.json("runs", "run")[0]["status"], "interrupted")

    def reports_agree(self, *arguments, status=0):
        """Of one process, and of ranks with as many images each, and with more and fewer."""
        result = self.run_program("train", *arguments, "--json", status=status)
        for ranks in 2, 5:
            shared = self.ranks(ranks, *arguments, "--json", status=status)
            self.assertEqual(json.loads(shared.stdout), json.loads(result.stdout))
        return shared

    def test_probes_of_shared_images_are_those_of_one_process(self):
        for probe in "linear", "knn", "prototype":
            self.reports_agree(probe, "photos", "-m", VIT, "--shots", "2", "--episodes", "5")
        photographs("held_out", 1)  # of five ranks, two embed none
        learn = ["linear", "photos", "--test", "held_out", "-m", VIT]
        self.reports_agree(*learn)
        self.run_program("train", *learn, "-o", "1")
        self.ranks(2, *learn, "-o", "2")
        found = [self.json("classify", "photos", "-m", model) for model in "12"]
        for one, two in zip(*found):
            for a, b in zip(one["predictions"], two["predictions"]):
                self.assertEqual(a["label"], b["label"])
                self.assertAlmostEqual(a["probability"], b["probability"], delta=1e-5)

    def test_prompts_of_shared_images_are_those_of_one_process(self):
        learn = ["prompts", "photos", "-m", fixtures.clip(), "--shots", "2", "--episodes", "2", "--context", "4", "--epochs", "3"]
        self.reports_agree(*learn)
        self.ranks(2, *learn, "-o", "prompts")
        self.json("classify", "photos", "-m", "clip", "--prompts", "prompts")

    def test_images_that_cannot_be_read_are_told_once(self):
        for name in "a.png", "z.png":
            pathlib.Path("photos/rocket", name).write_text("bad")  # the last rank's
        error = self.reports_agree("knn", "photos", "-m", VIT, "--shots", "2", status=65).stderr
        self.assertEqual([error.count(f"rocket/{name}:") for name in ("a.png", "z.png")], [1, 1])
        error = self.ranks(2, "knn", "photos", "-m", VIT, "--shots", "2", "--strict", status=65).stderr
        self.assertIn("rank 1: photos/rocket/a.png", error)

    def test_bad_input(self):
        for arguments, status, message in [
                (["classify", "photos", "-m", VIT, "-b", "3", "-o", "a"], 64, "a batch of 3 does not divide among 2 ranks"),
                (["classify", "none", "-m", VIT, "-o", "a"], 66, "none"),
                (["knn", "photos", "-m", VIT], 64, "images to test on are needed"),
                (["prompts", "photos", "-m", VIT], 69, "texts need a model with a text tower")]:
            self.assertIn(message, self.ranks(2, *arguments, status=status).stderr)


if __name__ == "__main__":
    unittest.main()
