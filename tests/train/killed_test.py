"""A run that is killed at random moments, taken up each time, ends as the undisturbed one; a full disk costs no
checkpoint. usage: killed_test.py TRAIN_DUMMY"""
import json
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = sys.argv.pop(1)
STEPS = 350


def start(folder, mode, steps=STEPS, **options):
    return subprocess.Popen([PROGRAM, str(folder), str(steps), mode], stderr=subprocess.PIPE, text=True, **options)


def finish(folder, mode, **options):
    process = start(folder, mode, **options)
    error = process.communicate()[1]
    return process.returncode, error


class Killed(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def weights(self, run):
        name = (run / "checkpoints/last").read_text().strip()
        return [(run / "checkpoints" / name / file).read_bytes() for file in ("model.safetensors", "optimizer.safetensors")]

    def test_twenty_kills_leave_no_trace(self):
        began = time.time()
        self.assertEqual(finish(self.folder / "whole", "new"), (0, ""))
        whole = time.time() - began
        rng = random.Random(0)
        run = self.folder / "run"
        kills, mode = 0, "new"
        while kills < 20:
            process = start(run, mode)
            time.sleep(rng.uniform(0.02, 0.25) * whole)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if process.returncode == 0:  # it was through before the kill; begin another
                self.assert_equal_to_whole(run)
                run, mode = self.folder / f"run{kills}", "new"
                continue
            kills += 1
            if (run / "metrics.jsonl").exists():
                mode = "resume"
            else:  # killed before there was anything
                run, mode = self.folder / f"run{kills}", "new"
        self.assertEqual(finish(run, mode), (0, ""))
        self.assert_equal_to_whole(run)

    def assert_equal_to_whole(self, run):
        whole = self.folder / "whole"
        self.assertEqual((run / "metrics.jsonl").read_text(), (whole / "metrics.jsonl").read_text())
        self.assertEqual(self.weights(run), self.weights(whole))
        self.assertFalse([p for p in (run / "checkpoints").iterdir() if p.name.startswith(".")])

    def test_a_full_disk_leaves_the_old_checkpoint(self):
        run = self.folder / "run"
        self.assertEqual(finish(run, "new", steps=50), (0, ""))
        before = (run / "checkpoints/last").read_text(), self.weights(run)

        def full():  # enough for the model, not for the optimiser's state
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))

        status, error = finish(run, "resume", preexec_fn=full)
        self.assertEqual(status, 1)
        self.assertIn("File too large", error)
        self.assertEqual(((run / "checkpoints/last").read_text(), self.weights(run)), before)
        self.assertEqual(finish(run, "resume"), (0, ""))
        self.assertEqual(json.loads((run / "status.json").read_text())["status"], "finished")

    def test_the_last_and_the_best_are_kept(self):
        run = self.folder / "run"
        self.assertEqual(finish(run, "new"), (0, ""))
        names = sorted(p.name for p in (run / "checkpoints").iterdir())
        self.assertIn("step-00000350", names)
        self.assertIn((run / "checkpoints/best").read_text().strip(), names)
        self.assertLessEqual(len(names), 5)  # best, last, two of the last, and the best


if __name__ == "__main__":
    unittest.main()
