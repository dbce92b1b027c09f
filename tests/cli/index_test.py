"""Indexing and searching as a user does it, and what goes wrong. usage: index_test.py OCELLI"""
import hashlib
import os
import pathlib
import random
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import tarfile
import time
import unittest

import fixtures
from support import PROGRAM, VIT, Case


def photo(path, seed):
    """A PPM of random colours."""
    path = pathlib.Path(os.fsdecode(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 24 24 255\n" + random.Random(seed).randbytes(24 * 24 * 3))


def npy(path, values, shape=None):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape or (len(values),),)
    header += " " * (-(len(header) + 11) % 64) + "\n"
    pathlib.Path(path).write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() +
                                   struct.pack(f"<{len(values)}f", *values))


def contents(index):
    """The lines of the catalogue, and their vectors."""
    connection = sqlite3.connect(pathlib.Path(index) / "catalogue.sqlite")
    lines = connection.execute("SELECT id, path, sha256, width, height, row, error FROM images ORDER BY id").fetchall()
    connection.close()
    return lines, (pathlib.Path(index) / "vectors-1/vectors.f16").read_bytes()


class Index(Case):
    def index(self, *arguments, status=0):
        return self.json("index", *arguments, status=status)

    def photos(self, count, folder="photos"):
        for i in range(count):
            photo(f"{folder}/{i:03}.ppm", i)

    def paths(self, *arguments):
        return [pathlib.Path(found["path"]).name for found in self.json("search", "p.oci", *arguments)]

    def error(self, *arguments, status):
        return self.run_program(*arguments, status=status).stderr

    def test_only_what_is_new_changed_or_gone_is_touched(self):
        self.photos(10)
        first = self.index("photos", "-m", VIT, "-o", "p.oci")
        self.assertEqual(first, {"index": "p.oci", "images": 10, "added": 10, "changed": 0, "removed": 0,
                                 "unchanged": 0, "failed": 0})
        ids = dict(line[1::-1] for line in contents("p.oci")[0])
        photo("photos/new/010.ppm", 10)
        photo("photos/003.ppm", 99)
        os.utime("photos/004.ppm", (1, 1))
        pathlib.Path("photos/005.ppm").unlink()
        pathlib.Path("photos/006.ppm").write_text("no image")
        again = self.index("photos", "-o", "p.oci", status=65)
        self.assertEqual({key: again[key] for key in ("images", "added", "changed", "removed", "unchanged", "failed")},
                         {"images": 9, "added": 1, "changed": 1, "removed": 1, "unchanged": 7, "failed": 1})
        after = dict(line[1::-1] for line in contents("p.oci")[0])
        for name in ("000", "003", "004", "006"):
            path = str(self.folder / f"photos/{name}.ppm")
            self.assertEqual(after[path], ids[path])
        self.assertEqual(self.paths("photos/003.ppm", "-k", "1"), ["003.ppm"])
        status = self.index("p.oci", "--status")
        self.assertEqual((status["images"], status["failed"], status["removed_vectors"]), (9, 1, 3))
        self.assertEqual(self.index("p.oci", "--compact")["vectors"], 9)
        self.assertEqual(self.index("p.oci", "--verify"), {"index": "p.oci", "problems": []})

    def test_add_and_remove(self):
        self.photos(4)
        self.photos(3, "more")
        self.index("photos", "-m", VIT, "-o", "p.oci")
        self.assertEqual(self.index("p.oci", "--add", "more/000.ppm", "more/001.ppm")["images"], 6)
        self.assertEqual(self.index("p.oci", "--remove", "photos/001.ppm", "more")["images"], 3)
        self.assertIn("more: the index has no such image", self.error("index", "p.oci", "--remove", "more", status=66))

    def test_a_folder_that_was_emptied_takes_nothing_out(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        shutil.rmtree("photos")
        self.assertIn("photos", self.error("index", "photos", "-o", "p.oci", status=66))
        pathlib.Path("photos").mkdir()
        self.assertIn("holds no images", self.error("index", "photos", "-o", "p.oci", status=66))
        self.assertEqual(self.index("p.oci", "--status")["images"], 3)

    def test_search(self):
        fixtures.clip()
        self.photos(30)
        photo("photos/trip/copy.ppm", 7)
        self.index("photos", "-m", "clip", "-o", "p.oci")
        found = self.json("search", "p.oci", "photos/007.ppm", "-k", "3")
        self.assertEqual([pathlib.Path(f["path"]).name for f in found[:2]], ["007.ppm", "copy.ppm"])
        self.assertEqual(len(found), 3)
        self.assertEqual((found[1]["folder"], found[1]["width"]), ("trip", 24))
        folded = self.json("search", "p.oci", "photos/007.ppm", "-k", "3", "--fold", "0.9999")
        self.assertEqual([pathlib.Path(p).name for p in folded[0]["folded"]], ["copy.ppm"])
        self.assertEqual(len(folded), 3)
        self.assertEqual(len(self.paths("a dog")), 20)
        self.assertEqual(self.paths("photos/000.ppm", "--where", "folder = 'trip'"), ["copy.ppm"])
        self.assertEqual(self.paths("--less-like", "photos/007.ppm", "-k", "31")[-2:], ["007.ppm", "copy.ppm"])
        self.run_program("search", "p.oci", "a <dog>", "--open", "gallery.html")
        page = pathlib.Path("gallery.html").read_text()
        self.assertIn("a &lt;dog&gt;", page)
        self.assertEqual(page.count("data:image/jpeg"), 20)

    def test_captions(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        pathlib.Path("t.csv").write_text("path,caption\nphotos/001.ppm,a 'red' car\nabsent.ppm,a dog\n")
        self.assertEqual(self.index("p.oci", "--captions", "t.csv")["captions"], 1)
        found = self.json("search", "p.oci", "photos/000.ppm", "--where", "caption LIKE '%red%'")
        self.assertEqual([f["caption"] for f in found], ["a 'red' car"])
        photo("photos/001.ppm", 44)
        self.index("photos", "-o", "p.oci")
        self.assertEqual(self.paths("photos/000.ppm", "--where", "caption NOT NULL"), ["001.ppm"])

    def test_another_model_is_refused(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        other = str(fixtures.GOLDENS / "vit_timm_reg4")
        for arguments in (("index", "photos", "-m", other, "-o", "p.oci"), ("search", "p.oci", "photos/000.ppm", "-m", other),
                          ("search", "p.oci", "photos/000.ppm", "-m", VIT, "--size", "64")):
            message = self.error(*arguments, status=64)
            self.assertIn(VIT, message)
            self.assertIn(arguments[arguments.index("-m") + 1], message)
        fixtures.vit("tuned", lambda t: t.update({"norm.bias": ("F32", [32], struct.pack("<32f", *range(32)))}))
        self.assertIn("tuned", self.error("index", "photos", "-m", "tuned", "-o", "p.oci", status=64))
        shutil.copytree(VIT, "same")
        self.assertEqual(self.index("photos", "-m", "same", "-o", "p.oci")["unchanged"], 3)

    def test_vectors(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        self.run_program("embed", "photos", "-m", VIT, "-o", "rows.npy")
        row = struct.unpack("<32f", pathlib.Path("rows.npy").read_bytes()[-3 * 128:][128:256])
        npy("q.npy", row)
        self.assertEqual(self.paths("--vector", "q.npy", "-k", "1"), ["001.ppm"])
        npy("short.npy", row[:12])
        self.assertIn("short.npy: is [12]; the vectors of the index have 32 numbers",
                      self.error("search", "p.oci", "--vector", "short.npy", status=64))
        npy("zero.npy", [0] * 32)
        self.assertIn("no direction", self.error("search", "p.oci", "--vector", "zero.npy", status=64))

    def test_where_cannot_write(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        before = contents("p.oci")
        for where in ("1); DELETE FROM images --", "1; DELETE FROM images", "1) OR (1", "id IN (SELECT value FROM state)"):
            self.assertIn("--where", self.error("search", "p.oci", "photos/000.ppm", "--where", where, status=64))
        self.assertEqual(contents("p.oci"), before)

    def test_names(self):
        names = [b"with space.ppm", b"new\nline.ppm", b"\xff\xfe.ppm", "\u00e9\u4e2d.ppm".encode(), b"'quote\".ppm", b"-dash.ppm"]
        for i, name in enumerate(names):
            photo(b"photos/" + name, i)
        self.assertEqual(self.index("photos", "-m", VIT, "-o", "p.oci")["added"], 6)
        self.assertEqual(self.index("photos", "-o", "p.oci")["unchanged"], 6)
        output = subprocess.run([PROGRAM, "search", "p.oci", b"photos/" + names[2], "-k", "1"], capture_output=True,
                                env=self.environment, check=True).stdout
        self.assertIn(names[2], output)
        pathlib.Path(os.fsdecode(b"photos/" + names[2])).unlink()
        self.assertEqual(self.index("photos", "-o", "p.oci")["removed"], 1)

    def test_links_in_circles(self):
        self.photos(3)
        os.symlink("..", "photos/up")
        os.symlink(self.folder / "photos", "photos/itself")
        os.symlink("nowhere.ppm", "photos/broken.ppm")
        result = self.index("photos", "-m", VIT, "-o", "p.oci", status=66)
        self.assertEqual((result["added"], result["failed"]), (3, 1))

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root reads every folder")
    def test_a_folder_that_cannot_be_read(self):
        self.photos(3)
        photo("photos/locked/x.ppm", 5)
        # The checkout may lie in a folder that nobody else may enter.
        shutil.copytree(VIT, "model")
        shutil.copy(PROGRAM, "ocelli")
        self.index("photos", "-m", "model", "-o", "p.oci")
        command = ["./ocelli", "index", "photos", "-m", "model", "-o", "p.oci"]
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, 65534, 65534)
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        os.chmod("photos/locked", 0)
        self.addCleanup(os.chmod, self.folder / "photos/locked", 0o755)
        refused = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 74, refused.stderr)
        self.assertIn("locked: cannot be listed", refused.stderr)
        self.assertEqual(self.index("p.oci", "--status")["images"], 4)

    def test_two_writers_and_a_reader(self):
        self.photos(5)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        writer = subprocess.Popen([PROGRAM, "index", "p.oci", "--add", "-"], stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.stdin.close)
        lock = self.folder / "p.oci/lock"
        while lock.read_text() != str(writer.pid):
            time.sleep(0.01)
        for arguments in (("photos", "-o", "p.oci"), ("p.oci", "--compact"), ("p.oci", "--remove", "photos")):
            self.assertIn(f"process {writer.pid} is writing", self.error("index", *arguments, status=74))
        self.assertEqual(len(self.paths("photos/000.ppm")), 5)
        self.assertEqual(self.index("p.oci", "--verify")["problems"], [])

    def test_damage_is_named(self):
        self.photos(3)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        file = self.folder / "p.oci/vectors-1/vectors.f16"
        data = bytearray(file.read_bytes())
        data[4096 + 64 + 5] ^= 16
        file.write_bytes(data)
        message = self.error("index", "p.oci", "--verify", status=65)
        self.assertIn("vectors.f16: rows 0 to 2 are damaged (3 images", message)
        self.assertIn("is no index", self.error("index", "photos", "--verify", status=66))
        self.assertIn("exists and is no index", self.error("index", "photos", "-m", VIT, "-o", "photos", status=64))

    def test_images_in_shards_are_indexed_in_place(self):
        self.photos(4)

        def shard(numbers):
            with tarfile.open("s.tar", "w") as archive:
                for i in numbers:
                    archive.add(f"photos/{i:03}.ppm", f"{i:03}.ppm")

        shard([0, 1, 2])
        self.assertEqual(self.index("s.tar", "-m", VIT, "-o", "p.oci")["added"], 3)
        self.assertEqual(self.paths("s.tar/001.ppm", "-k", "1"), ["001.ppm"])
        self.assertEqual(self.index("s.tar", "-o", "p.oci")["unchanged"], 3)
        shard([0, 2, 3])
        again = self.index("s.tar", "-o", "p.oci")
        self.assertEqual([again[key] for key in ("added", "removed", "unchanged")], [1, 1, 2])
        data = pathlib.Path("s.tar").read_bytes()
        pathlib.Path("s.tar").write_bytes(data[:len(data) // 4])
        cut = self.index("s.tar", "-o", "p.oci", status=65)
        self.assertEqual([cut["removed"], cut["failed"]], [0, 1])

    def test_killed_at_random_moments(self):
        self.photos(300)
        pathlib.Path("photos/100.ppm").write_text("no image")
        command = [PROGRAM, "index", "photos", "-m", VIT, "-q", "-o"]
        begin = time.monotonic()
        self.run_program(*command[1:], "whole.oci", status=65)
        duration = time.monotonic() - begin
        whole = contents("whole.oci")
        moments = random.Random(3)
        for _ in range(10):
            shutil.rmtree("p.oci", ignore_errors=True)
            for _ in range(5):
                process = subprocess.Popen([*command, "p.oci"], env=self.environment, stderr=subprocess.DEVNULL)
                time.sleep(moments.uniform(0, duration / 2))
                process.send_signal(signal.SIGKILL)
                process.wait()
            self.run_program(*command[1:], "p.oci", status=65)
            self.assertEqual(self.index("p.oci", "--verify")["problems"], [])
            lines, vectors = contents("p.oci")
            self.assertEqual(lines, whole[0])
            self.assertEqual(vectors, whole[1])

    def test_a_full_disk(self):
        self.photos(300)
        self.index("photos", "-m", VIT, "-o", "whole.oci")
        command = [PROGRAM, "index", "photos", "-m", VIT, "-q", "-o", "p.oci"]
        full = subprocess.run(command, env=self.environment, capture_output=True, text=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)))
        self.assertEqual(full.returncode, 74, full.stderr)
        self.assertIn("ocelli: error: p.oci/catalogue.sqlite", full.stderr)
        self.assertEqual(self.index("p.oci", "--verify")["problems"], [])
        self.run_program(*command[1:])
        self.assertEqual(contents("p.oci"), contents("whole.oci"))

    def test_files_that_vanish_and_change_meanwhile(self):
        self.photos(300)
        command = [PROGRAM, "index", "photos", "-m", VIT, "-q", "-o", "p.oci"]
        process = subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL)
        for i in range(0, 300, 3):
            photo(f"photos/{i:03}.ppm", 1000 + i)
            pathlib.Path(f"photos/{i + 1:03}.ppm").unlink()
        self.assertIn(process.wait(), (0, 65, 66))
        self.run_program(*command[1:])
        self.run_program(*command[1:-1], "fresh.oci")

        def vectors(index):
            lines, rows = contents(index)
            return {line[1]: (line[2], rows[4096 + 64 * line[5]:4160 + 64 * line[5]]) for line in lines}

        self.assertEqual(len(vectors("p.oci")), 200)
        self.assertEqual(vectors("p.oci"), vectors("fresh.oci"))

    def test_kinds(self):
        self.photos(40)
        self.index("photos", "-m", VIT, "-o", "p.oci", "--kind", "ivfpq")
        best = self.paths("photos/007.ppm", "-k", "3", "--exact")
        for kind in ("ivfpq", "hnsw", "auto"):
            self.index("p.oci", "--compact", "--kind", kind)
            status = self.index("p.oci", "--status")
            self.assertEqual((status["kind"], status["covered_vectors"]),
                             ("flat", 0) if kind == "auto" else (kind, 40))
            self.assertEqual(self.paths("photos/007.ppm", "-k", "3"), best)
        self.assertIn("tree: no kind", self.error("index", "photos", "-o", "p.oci", "--kind", "tree", status=64))
        self.assertIn("--kind goes with", self.error("index", "p.oci", "--status", "--kind", "flat", status=64))

    def test_export_and_import(self):
        self.photos(5)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        pathlib.Path("t.csv").write_text("path,caption\nphotos/001.ppm,a red car\n")
        self.index("p.oci", "--captions", "t.csv")
        self.index("p.oci", "--remove", "photos/002.ppm")
        self.assertEqual(self.index("p.oci", "--export", "out")["images"], 4)
        self.assertIn("there are embeddings in it", self.error("index", "p.oci", "--export", "out", status=64))
        self.assertEqual(self.index("--import", "out", "-m", VIT, "-o", "q.oci")["added"], 4)
        self.assertEqual(self.index("--import", "out", "-o", "q.oci")["replaced"], 4)
        self.assertEqual(self.index("q.oci", "--verify")["problems"], [])
        again = self.index("photos", "-o", "q.oci")
        self.assertEqual((again["unchanged"], again["added"]), (4, 1))
        found = self.json("search", "q.oci", "photos/001.ppm", "-k", "1")[0]
        self.assertEqual((found["path"], found["caption"], found["sha256"]),
                         (str(self.folder / "photos/001.ppm"), "a red car",
                          hashlib.sha256(pathlib.Path("photos/001.ppm").read_bytes()).hexdigest()))

    def test_foreign_embeddings(self):
        self.photos(1)
        metadata = pathlib.Path("in/metadata/metadata_0.jsonl")
        for folder in ("img_emb", "metadata"):
            pathlib.Path("in", folder).mkdir(parents=True)
        command = ("index", "--import", "in", "-m", VIT, "-o", "p.oci")
        self.assertIn("in: holds no img_emb", self.error(*command, status=66))
        npy("in/img_emb/img_emb_0.npy", [3.0] * 32 + [0.0] * 32, (2, 32))
        metadata.with_suffix(".parquet").write_bytes(b"PAR1")
        self.assertIn("tools/parquet_to_jsonl.py", self.error(*command, status=66))
        for text, message in (("{", "line 1 is no JSON object"), ("[1]\n[2]", "line 1 is no JSON object"),
                              ('{"url": "http://a/1.jpg"}', "has 1 lines for 2 rows"),
                              ('{"url": "http://a/1.jpg"}\n{}', "line 2 names no image")):
            metadata.write_text(text)
            self.assertIn(message, self.error(*command, status=64 if "lines" in message or "names" in message else 65))
            self.assertEqual(self.index("p.oci", "--status")["images"], 0)
        metadata.write_text('{"url": "http://a/1.jpg", "caption": "one"}\n{"image_path": "zero.jpg"}\n')
        result = self.index(*command[1:], status=65)
        self.assertEqual((result["images"], result["added"], result["failed"]), (1, 1, 1))
        found = self.json("search", "p.oci", "photos/000.ppm")
        self.assertEqual([(f["path"], f["caption"]) for f in found], [("http://a/1.jpg", "one")])
        npy("in/img_emb/img_emb_0.npy", [3.0] * 24, (2, 12))
        self.assertIn("is [2, 12]; the vectors of the index have 32 numbers", self.error(*command, status=64))

    def test_faiss_reads_what_is_exported(self):
        try:
            import faiss
        except ImportError:
            self.skipTest("faiss-cpu is not installed")
        self.photos(40)
        for kind in ("flat", "hnsw"):
            self.index("photos", "-m", VIT, "-o", "p.oci", "--kind", kind)
            self.assertEqual(self.index("p.oci", "--export", "p.faiss")["written"], "faiss " + kind)
            read = faiss.read_index("p.faiss")
            self.assertEqual((read.ntotal, read.d, "HNSW" in type(read).__name__), (40, 32, kind == "hnsw"))
            scores, ids = read.search(read.reconstruct_n(0, 40), 3)
            self.assertEqual(ids[:, 0].tolist(), list(range(40)))

    def test_faiss_files_are_imported(self):
        self.photos(4)
        for kind in ("flat", "hnsw"):
            index, folder = f"{kind}.oci", pathlib.Path(f"out-{kind}")
            self.index("photos", "-m", VIT, "-o", index, "--kind", kind)
            self.index(index, "--export", folder)
            shutil.rmtree(folder / "img_emb")
            self.index(index, "--export", folder / "image.faiss")
            taken = ("--import", folder / "image.faiss", "-m", VIT, "-o", f"again-{kind}.oci")
            self.assertEqual(self.index(*taken)["added"], 4)
            self.assertEqual(self.index(*taken)["replaced"], 4)
            found = self.json("search", f"again-{kind}.oci", "photos/001.ppm", "-k", "1")
            self.assertEqual([pathlib.Path(f["path"]).name for f in found], ["001.ppm"])
        lines = (folder / "metadata/metadata_0.jsonl").read_text().splitlines(keepends=True)
        (folder / "metadata/metadata_0.jsonl").write_text("".join(lines[:3]))
        self.assertIn("metadata: has 3 lines for 4 rows of image.faiss", self.error("index", *taken, status=64))
        cut = (folder / "image.faiss").read_bytes()[:-4]
        (folder / "image.faiss").write_bytes(cut)
        self.assertIn("image.faiss: the FAISS index is cut off", self.error("index", *taken, status=65))

    def test_clusters_and_outliers(self):
        self.photos(20)
        self.index("photos", "-m", VIT, "-o", "p.oci")
        levels = self.json("cluster", "p.oci", "-k", "9", "--hierarchical", "2", "--csv", "c.csv")["levels"]
        self.assertEqual([len(level) for level in levels], [9, 3])
        self.assertEqual([sum(cluster["size"] for cluster in level) for level in levels], [20, 20])
        lines = pathlib.Path("c.csv").read_text().splitlines()
        self.assertEqual((lines[0], len(lines)), ("path,cluster,level2", 21))
        self.assertIn("1 to 20 clusters", self.error("cluster", "p.oci", "-k", "21", status=64))
        found = self.json("outliers", "p.oci", "-n", "4")
        self.assertEqual(len(found), 4)
        self.assertEqual(found, sorted(found, key=lambda f: f["score"]))

    def test_knn(self):
        for label in range(3):
            for i in range(5):
                photo(f"train/{label}/{i}.ppm", label)
            photo(f"test/{label}/0.ppm", label)
        result = self.json("knn", "train", "test", "-m", VIT, "-k", "4")
        self.assertEqual({key: result[key] for key in ("top1", "count", "train", "classes", "temperature")},
                         {"top1": 1, "count": 3, "train": 15, "classes": 3, "temperature": 0.07})
        photo("test/other/0.ppm", 9)
        self.assertIn("no class 'other'", self.error("knn", "train", "test", "-m", VIT, status=64))


unittest.main()
