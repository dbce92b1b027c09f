"""bench/compare.py: equal runs pass, a row that is slower or missing fails. usage: compare_test.py"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

COMPARE = pathlib.Path(__file__).resolve().parent.parent / "bench/compare.py"


def rows(ratio):
    return [{"model": "vit", "precision": "f32", "batch": batch, "threads": 1, "ratio": r, "roof_share": 0.9}
            for batch, r in ((1, 1.1), (8, ratio))]


def kernels(rate):
    return {"benchmarks": [{"name": "fma_roof/real_time", "GFLOP/s": 100.0}, {"name": "linear/197", "GFLOP/s": rate}]}


class Compare(unittest.TestCase):
    def status(self, old, new, *more):
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder, name) for name in ("old.json", "new.json")]
            for file, data in zip(files, (old, new)):
                file.write_text(json.dumps(data))
            return subprocess.run([sys.executable, COMPARE, *files, *more], capture_output=True).returncode

    def test_ratios(self):
        self.assertEqual(self.status(rows(1.0), rows(1.0)), 0)
        self.assertEqual(self.status(rows(1.0), rows(0.96)), 0)
        self.assertEqual(self.status(rows(1.0), rows(0.94)), 1)
        self.assertEqual(self.status(rows(1.0), rows(0.94), "--tolerance", "0.1"), 0)

    def test_times_do_not_matter(self):
        self.assertEqual(self.status([row | {"ocelli": 10.0} for row in rows(1.0)], [row | {"ocelli": 20.0} for row in rows(1.0)]), 0)

    def test_without_peers_the_roof_is_compared(self):
        old, new = ([{"model": "vit", "precision": "f32", "roof_share": share}] for share in (0.9, 0.8))
        self.assertEqual(self.status(old, old), 0)
        self.assertEqual(self.status(old, new), 1)

    def test_every_ratio_of_a_row(self):
        old, new = ([{"model": "bert", "texts": 9, "ratio": 50.0, "ratio_first": first}] for first in (30.0, 20.0))
        self.assertEqual(self.status(old, new), 1)

    def test_a_row_that_is_missing(self):
        self.assertEqual(self.status(rows(1.0), rows(1.0)[:1]), 1)
        self.assertEqual(self.status([], rows(1.0)), 1)

    def test_folders(self):
        with tempfile.TemporaryDirectory() as scratch:
            for folder, ratio in (("old", 1.0), ("same", 0.97), ("worse", 0.9)):
                pathlib.Path(scratch, folder).mkdir()
                for part in ("peers-f32", "training"):
                    pathlib.Path(scratch, folder, f"{part}.json").write_text(json.dumps(rows(ratio)))
            for new, status in (("same", 0), ("worse", 1)):
                self.assertEqual(subprocess.run([sys.executable, COMPARE, f"{scratch}/old", f"{scratch}/{new}"], capture_output=True).returncode, status)

    def test_kernels_are_shares_of_the_roof(self):
        self.assertEqual(self.status(kernels(90.0), kernels(89.0)), 0)
        self.assertEqual(self.status(kernels(90.0), kernels(80.0)), 1)


unittest.main()
