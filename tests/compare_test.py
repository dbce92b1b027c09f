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

    def test_a_row_that_is_missing(self):
        self.assertEqual(self.status(rows(1.0), rows(1.0)[:1]), 1)

    def test_kernels_are_shares_of_the_roof(self):
        self.assertEqual(self.status(kernels(90.0), kernels(89.0)), 0)
        self.assertEqual(self.status(kernels(90.0), kernels(80.0)), 1)


unittest.main()
