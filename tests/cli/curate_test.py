"""Finding copies and curating as a user does it, and what goes wrong. usage: curate_test.py OCELLI"""
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tarfile
import time
import unittest

from support import PROGRAM, VIT, Case


def photo(path, seed, side=96):
    """A PPM of 6 x 6 coloured fields with some noise."""
    rng = random.Random(seed)
    fields = [[rng.randrange(30, 226) for _ in range(3)] for _ in range(36)]
    pixels = bytearray()
    for y in range(side):
        for x in range(side):
            field = fields[y * 6 // side * 6 + x * 6 // side]
            pixels += bytes(min(255, max(0, v + rng.randrange(-20, 21))) for v in field)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 %d %d 255\n" % (side, side) + pixels)


def shard(path, members):
    with tarfile.open(path, "w") as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))


class Curate(Case):
    def setUp(self):
        super().setUp()
        for i in range(4):
            photo(f"photos/{i}.ppm", i)
        shutil.copy("photos/1.ppm", "photos/copy of 1.ppm")

    def curate(self, *arguments, status=0):
        return self.json("curate", "-m", VIT, *arguments, status=status)

    def manifest(self, folder):
        return [json.loads(line) for line in (pathlib.Path(folder) / "manifest.jsonl").read_text().splitlines()]

    def error(self, *arguments, status):
        return self.run_program(*arguments, status=status).stderr

    def test_dedup_says_what_is_a_copy_of_what_and_why(self):
        found = self.json("dedup", "photos", "--exact")
        self.assertEqual(found["images"], 5)
        self.assertEqual(len(found["groups"]), 1)
        group = found["groups"][0]
        self.assertEqual(group["keep"], "photos/1.ppm")
        self.assertIsInstance(group["why"], str)
        self.assertEqual(group["duplicates"], [{"path": "photos/copy of 1.ppm", "score": 1, "why": "the same bytes"}])
        self.assertEqual(self.json("dedup", "photos", "-m", VIT, "--report", "d.html")["groups"], found["groups"])
        self.assertIn("copy of 1.ppm", pathlib.Path("d.html").read_text())

    def test_dedup_finds_a_turned_negative(self):
        side = 192
        photo("two/a.ppm", 5, side)
        photo("two/c.ppm", 6, side)
        pixels = pathlib.Path("two/a.ppm").read_bytes()[-side * side * 3:]
        turned = bytearray()
        for y in range(side):
            for x in range(side):
                at = (x * side + side - 1 - y) * 3
                turned += bytes(255 - value for value in pixels[at:at + 3])
        pathlib.Path("two/b.ppm").write_bytes(b"P6 %d %d 255\n" % (side, side) + turned)
        pairs = self.json("dedup", "two", "-m", VIT)["pairs"]
        best = max(pairs, key=lambda pair: pair["score"])
        self.assertEqual({best["a"], best["b"]}, {"two/a.ppm", "two/b.ppm"})
        self.assertGreater(best["score"], 0.9)
        self.assertIn("negative", best["why"])

    def test_dedup_takes_no_sky_for_another_in_the_same_frame(self):
        side = 256
        os.makedirs("skies")
        for name, sky, left, top in (("clear", 170, 90, 90), ("cloudy", 140, 60, 220)):
            rows = [bytes(3 * [top]) * side] * 2 + [bytes(6 * [left]) + bytes(3 * [sky]) * (side - 2)] * (side - 2)
            pathlib.Path(f"skies/{name}.ppm").write_bytes(b"P6 %d %d 255\n" % (side, side) + b"".join(rows))
        self.assertEqual(self.json("dedup", "skies", "-m", VIT)["groups"], [])

    def test_dedup_against_a_test_set_keeps_all_of_it(self):
        os.makedirs("test")
        shutil.copy("photos/2.ppm", "test/x.ppm")
        shutil.copy("photos/2.ppm", "test/y.ppm")
        found = self.json("dedup", "photos", "--against", "test", "--exact")
        kept = [group["keep"] for group in found["groups"]]
        copies = [d["path"] for group in found["groups"] for d in group["duplicates"]]
        self.assertEqual(copies, ["photos/2.ppm"])
        self.assertTrue(all(path.startswith("test/") for path in kept))

    def test_dedup_keeps_the_original_of_a_larger_screenshot(self):
        photo("shots/a.ppm", 5, side=96)
        original = pathlib.Path("shots/a.ppm").read_bytes()[-96 * 96 * 3:]
        bar = bytes([240, 240, 240]) * (96 * 40)
        pathlib.Path("shots/b.ppm").write_bytes(b"P6 96 176 255\n" + bar + original + bar)
        found = self.json("dedup", "shots", "-m", VIT)
        self.assertEqual([group["keep"] for group in found["groups"]], ["shots/a.ppm"])
        self.assertEqual(found["groups"][0]["why"], "most pixels without borders")

    def test_shards_are_read_in_place_and_written(self):
        members = {}
        for i in range(3):
            members[f"k{i}.ppm"] = pathlib.Path(f"photos/{i}.ppm").read_bytes()
            members[f"k{i}.txt"] = f"caption {i}".encode()
            members[f"k{i}.cls"] = b"%d" % i
        shard("s-00.tar", members)
        shard("s-01.tar", {"k9.ppm": pathlib.Path("photos/3.ppm").read_bytes()})
        self.run_program("embed", "s-{00..01}.tar", "-m", VIT, "-o", "x.npy")
        rows = [json.loads(line)["path"] for line in pathlib.Path("x.jsonl").read_text().splitlines()]
        self.assertEqual(rows, ["s-00.tar/k0.ppm", "s-00.tar/k1.ppm", "s-00.tar/k2.ppm", "s-01.tar/k9.ppm"])
        self.run_program("embed", "s-*.tar", "-m", VIT, "-o", "y.npy")
        self.assertEqual(pathlib.Path("x.npy").read_bytes(), pathlib.Path("y.npy").read_bytes())
        pathlib.Path("r.toml").write_text("[export]\nformat = 'shards'\nshard_images = 3\n")
        for output in ("one", "two"):
            self.curate("s-{00..01}.tar", "-o", output, "--recipe", "r.toml")
        self.assertEqual(sorted(os.listdir("one/shards")), ["000000.tar", "000001.tar"])
        for name in os.listdir("one/shards"):
            self.assertEqual(pathlib.Path("one/shards", name).read_bytes(), pathlib.Path("two/shards", name).read_bytes())
        with tarfile.open("one/shards/000000.tar") as archive:
            self.assertEqual(archive.getnames()[:4], ["00000000.pnm", "00000000.txt", "00000000.json", "00000000.cls"])
            self.assertEqual(archive.extractfile("00000001.txt").read(), b"caption 1")
            self.assertEqual(archive.extractfile("00000002.pnm").read(), members["k2.ppm"])
            self.assertEqual(json.load(archive.extractfile("00000000.json"))["path"], "s-00.tar/k0.ppm")
        self.assertEqual(self.manifest("one")[3]["file"], "shards/000001.tar/00000003.pnm")

    def test_a_cut_shard_is_named_and_its_good_members_go_on(self):
        shard("s.tar", {f"k{i}.ppm": pathlib.Path(f"photos/{i}.ppm").read_bytes() for i in range(3)})
        whole = pathlib.Path("s.tar").read_bytes()
        pathlib.Path("s.tar").write_bytes(whole[:len(whole) // 2])
        result = self.run_program("embed", "s.tar", "-m", VIT, "-o", "x.npy", status=65)
        self.assertIn("s.tar: the archive is cut off", result.stderr)
        self.assertEqual(len(pathlib.Path("x.jsonl").read_text().splitlines()), 1)

    def test_curate_reads_tables_and_says_the_fate_of_every_file(self):
        pathlib.Path("photos/none.jpg").write_text("no image")
        pathlib.Path("photos/empty.jpg").touch()
        photo("photos/small.ppm", 7, side=20)
        names = sorted(os.listdir("photos"))
        pathlib.Path("t.jsonl").write_text("".join(
            json.dumps({"path": f"photos/{name}", "caption": name}) + "\n" for name in names) + '"photos/gone.jpg"\n')
        result = self.curate("t.jsonl", "-o", "out")
        self.assertEqual(result, {"output": "out", "files": 9, "kept": 4, "left_out": {"collect": 3, "dedup": 1, "quality": 1}})
        fates = {pathlib.Path(line["path"]).name: line for line in self.manifest("out")}
        self.assertEqual(fates["empty.jpg"]["why"], "empty")
        self.assertEqual(fates["none.jpg"]["why"], "no image")
        self.assertIn("No such file", fates["gone.jpg"]["why"])
        self.assertIn("small", fates["small.ppm"]["why"])
        self.assertIn("copy of photos/1.ppm (1.000), kept for:", fates["copy of 1.ppm"]["why"])
        self.assertEqual(fates["0.ppm"]["caption"], "0.ppm")
        self.assertEqual(pathlib.Path("out", fates["0.ppm"]["file"]).read_bytes(), pathlib.Path("photos/0.ppm").read_bytes())

    def test_a_dry_run_exports_nothing(self):
        self.curate("photos", "-o", "out", "--dry-run")
        self.assertEqual(sorted(os.listdir("out")), [".curate", "manifest.jsonl", "report.html"])
        self.assertTrue(all("file" not in line for line in self.manifest("out")))

    def test_a_folder_that_holds_something_else_is_refused(self):
        self.assertIn("not empty", self.error("curate", "photos", "-m", VIT, "-o", "photos", status=64))
        self.curate("photos", "-o", "out")
        self.assertIn("--resume", self.error("curate", "photos", "-m", VIT, "-o", "out", status=64))
        photo("photos/new.ppm", 8)
        self.assertIn("another recipe, model or list",
                      self.error("curate", "photos", "-m", VIT, "-o", "out", "--resume", status=64))

    def test_a_recipe_with_an_unknown_key_is_refused(self):
        pathlib.Path("r.toml").write_text("[export]\nformt = 'list'\n")
        self.assertIn("there is no key 'export.formt'; did you mean export.format?",
                      self.error("curate", "photos", "-m", VIT, "-o", "out", "--recipe", "r.toml", status=64))
        self.assertFalse(pathlib.Path("out").exists())

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root reads everything")
    def test_an_unreadable_folder_is_an_error(self):
        os.chmod("photos", 0)
        self.addCleanup(os.chmod, "photos", 0o755)
        command = [PROGRAM, "dedup", self.folder / "photos", "--exact"]
        os.chmod(self.folder, 0o755)
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        result = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("photos: cannot be listed: Permission denied", result.stderr)

    def test_a_full_disk_is_an_error_that_resume_mends(self):
        command = f"ulimit -f 8; exec '{PROGRAM}' curate photos -m '{VIT}' -o out -q"
        result = subprocess.run(["bash", "-c", f"trap '' XFSZ; {command}"], capture_output=True, text=True,
                                env=self.environment)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("File too large", result.stderr)
        self.curate("photos", "-o", "out", "--resume")
        self.assertEqual(len(os.listdir("out/images")), 4)

    def test_killed_before_it_began(self):
        photo("photos/a.ppm", 1)
        os.makedirs("out/.curate")
        self.curate("photos", "-o", "out", "--resume")

    def test_killed_at_random_moments(self):
        for i in range(12):
            photo(f"heap/{i:02}.ppm", i % 10, side=64)
        pathlib.Path("heap/empty.jpg").touch()
        pathlib.Path("r.toml").write_text("[retrieve]\ntarget = 4\n")
        arguments = ["heap", "-m", VIT, "--recipe", "r.toml", "-q", "-o"]
        begin = time.monotonic()
        self.run_program("curate", *arguments, "whole")
        latest = (time.monotonic() - begin) / 2

        def result(output):
            images = sorted(pathlib.Path(output, "images").iterdir())
            return self.manifest(output), [(image.name, image.read_bytes()) for image in images]

        self.assertEqual(len(result("whole")[1]), 4)
        moments = random.Random(4)
        kills = 0
        for _ in range(4):
            shutil.rmtree("out", ignore_errors=True)
            for i in range(5):
                process = subprocess.Popen([PROGRAM, "curate", *arguments, "out", *["--resume"] * (i > 0)],
                                           env=self.environment, stderr=subprocess.DEVNULL)
                time.sleep(moments.uniform(0, latest))
                process.send_signal(signal.SIGKILL)
                if process.wait() == -signal.SIGKILL:
                    kills += 1
                else:
                    latest *= 0.7  # the first run was slowed by others
            self.run_program("curate", *arguments, "out", "--resume")
            self.assertEqual(result("out"), result("whole"))
        self.assertGreater(kills, 10)


if __name__ == "__main__":
    unittest.main()
