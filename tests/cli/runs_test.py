"""Training runs as `ocelli runs` and `ocelli plot` show them. usage: runs_test.py OCELLI"""
import json
import pathlib
import struct
import unittest

from support import Case


def make_run(folder, values, **status):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("seed = 1\n")
    (folder / "metrics.jsonl").write_text("".join(
        json.dumps({"step": step, "loss": value, "lr": 0.1}) + "\n" for step, value in enumerate(values, 1)))
    (folder / "status.json").write_text(json.dumps(
        {"status": "finished", "total_steps": len(values), "metric": "loss", "maximise": False} | status))


class Runs(Case):
    def setUp(self):
        super().setUp()
        make_run("runs/first", [3.0, 1.0, 2.0])
        make_run("runs/second", [4.0], status="failed", message="loss is NaN at step 2", total_steps=9)

    def test_json(self):
        self.assertEqual(self.json("runs", "runs"), [
            {"run": "runs/first", "status": "finished", "step": 3, "total_steps": 3,
             "last": {"loss": 2, "lr": 0.1}, "best": {"metric": "loss", "value": 1, "step": 2}},
            {"run": "runs/second", "status": "failed", "step": 1, "total_steps": 9, "last": {"loss": 4, "lr": 0.1},
             "best": {"metric": "loss", "value": 4, "step": 1}, "message": "loss is NaN at step 2"}])

    def test_text(self):
        lines = self.run_program("runs", "runs/first").stdout.splitlines()
        self.assertEqual(lines[:2], ["runs/first", "  finished, step 3/3, best loss 1 at step 2"])
        self.assertIn("  loss is NaN at step 2", self.run_program("runs", "runs").stdout.splitlines())

    def test_a_run_whose_process_is_gone_is_interrupted(self):
        make_run("gone", [1.0], status="running")
        self.assertEqual(self.json("runs", "gone")[0]["status"], "interrupted")

    def test_nothing_there(self):
        pathlib.Path("empty").mkdir()
        self.assertEqual(self.run_program("runs", "empty").stdout, "no runs in empty\n")
        self.assertIn("none: there is no such folder", self.run_program("runs", "none", status=66).stderr)
        self.assertIn("empty: there is no run in it", self.run_program("plot", "empty", "-o", "x.png", status=64).stderr)

    def test_a_damaged_run_is_named(self):
        pathlib.Path("runs/first/metrics.jsonl").write_text("[1]\n")
        self.assertIn("runs/first/metrics.jsonl: line 1", self.run_program("runs", "runs", status=65).stderr)

    def size(self, path):
        return struct.unpack(">II", pathlib.Path(path).read_bytes()[16:24])

    def test_plot(self):
        self.assertEqual(self.json("plot", "runs/first/", "runs/second", "-o", "all.png"),
                         {"output": "all.png", "metrics": ["loss", "lr"], "runs": 2})
        width, height = self.size("all.png")
        self.run_program("plot", "runs", "-o", "loss.png", "--metric", "loss", "--log")
        self.assertEqual(self.size("loss.png"), (width, height // 2))

    def test_plot_names_the_nearest_metric(self):
        error = self.run_program("plot", "runs", "-o", "x.png", "--metric", "lss", status=64).stderr
        self.assertIn("there is no metric 'lss'; did you mean loss?", error)
        self.assertFalse(pathlib.Path("x.png").exists())


if __name__ == "__main__":
    unittest.main()
