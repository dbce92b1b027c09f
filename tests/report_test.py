"""bench/report.py: tables between their marks, and nothing else; bench/results.py: no row is measured twice. usage: report_test.py"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.dom.minidom

BENCH = pathlib.Path(__file__).resolve().parent.parent / "bench"
sys.path.insert(0, str(BENCH))
from results import Results  # noqa: E402

ABOUT = {"machine": "A machine, 2 cores", "isa": "avx2", "beside": "torch 2", "date": "2026-11-26"}
PEERS = [{"model": "vit_tiny16", "precision": "f32", "batch": batch, "threads": 2, "ocelli": 10.0, "torch": 10 * ratio, "ratio": ratio,
          "roof_share": 0.9, **ABOUT} for batch, ratio in ((8, 1.0), (1, 4.0))]
ROOFLINE = [{"part": "roofs", "threads": 2, "f32": 200.0, "memory": 20.0, **ABOUT},
            {"model": "vit_base16", "precision": "f32", "batch": 8, "threads": 2,
             "ops": {"linear": {"us": 9e5, "gflop": 90.0, "gb": 9.0}, "layer_norm": {"us": 1e5, "gflop": 0, "gb": 1.0}}, **ABOUT}]


class Report(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)
        self.document = self.folder / "document.md"
        (self.folder / "pictures").mkdir()

    def report(self, *parts):
        return subprocess.run([sys.executable, BENCH / "report.py", self.folder, *parts, "--write-only", "--document", self.document],
                              capture_output=True, text=True)

    def test_a_table_is_replaced(self):
        (self.folder / "peers-f32.json").write_text(json.dumps(PEERS))
        self.document.write_text("Before.\n\n<!-- begin: peers-f32 -->\nold\n<!-- end: peers-f32 -->\n\nAfter.\n")
        for _ in range(2):
            self.assertEqual(self.report("peers").returncode, 0)
            self.assertEqual(self.document.read_text(), """Before.

<!-- begin: peers-f32 -->
*A machine, 2 cores; avx2; 2 threads; 2026-11-26; torch 2; `bench/report.py FOLDER peers-f32`.*

| model | batch | threads | Ocelli | PyTorch | ratio | roof |
| --- | --- | --- | --- | --- | --- | --- |
| ViT-Ti/16 | 1 | 2 | 10.0 | 40.0 | 4.00 | 90 % |
| ViT-Ti/16 | 8 | 2 | 10.0 | 10.0 | 1.00 | 90 % |
| geometric mean; worst: ViT-Ti/16, f32, batch 8, threads 2 |  |  |  |  | **2.00**, worst 1.00 | **90 %**, worst 90 % |
<!-- end: peers-f32 -->

After.
""")

    def test_roofline(self):
        (self.folder / "roofline.json").write_text(json.dumps(ROOFLINE))
        self.document.write_text("<!-- begin: roofline -->\n<!-- end: roofline -->\n")
        self.assertEqual(self.report().returncode, 0)
        self.assertIn("| ViT-B/16 | f32 | linear | 90 % | 100 | 10.0 | 10 | 50 % |\n", self.document.read_text())
        self.assertIn("| ViT-B/16 | f32 | layer_norm | 10 % | – | 10.0 | – | – |\n", self.document.read_text())
        picture = xml.dom.minidom.parse(str(self.folder / "pictures/roofline.svg"))
        words = [node.firstChild.data for node in picture.getElementsByTagName("text")]
        for expected in ("linear, 90 %", "200 GFLOP/s", "memory, 20 GB/s"):
            self.assertIn(expected, words)

    def test_what_is_wrong_is_said(self):
        self.assertIn("there is no part pears", self.report("pears").stderr)
        (self.folder / "peers-f32.json").write_text(json.dumps(PEERS))
        self.document.write_text("nothing")
        self.assertIn("<!-- begin: peers-f32 -->", self.report().stderr)
        self.assertEqual(self.document.read_text(), "nothing")

    def test_no_row_is_measured_twice(self):
        file = self.folder / "rows.json"
        for batch, ratio in ((1, 1.5), (8, 1.2)):
            Results(file).row({"model": "a", "batch": batch}, lambda: {"ratio": ratio})
        again = Results(file)
        self.assertEqual([again.row({"model": "a", "batch": batch}, self.fail)["ratio"] for batch in (1, 8)], [1.5, 1.2])
        file.write_text(json.dumps([row | {"machine": "another"} for row in again.rows]))
        with self.assertRaises(SystemExit):
            Results(file)


unittest.main()
