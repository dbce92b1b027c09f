"""Many images, files and labels: neither memory nor time grows as it should not. usage: scale_test.py OCELLI"""
import os
import pathlib
import struct
import subprocess
import unittest
import zlib

import fixtures
from support import PROGRAM, VIT, Case


def png(i):
    """8 x 8 pixels of a colour of its own."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((i & 255, i >> 8, 7 * i & 255)) * 8
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b""))


class Scale(Case):
    def peak_mb(self, folder, command, *arguments):
        process = subprocess.Popen([PROGRAM, command, folder, "-m", VIT, "-q", *arguments], env=self.environment,
                                   stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss / 1024

    def test_ten_thousand_images_take_the_memory_of_a_thousand(self):
        for folder, count in (("few", 1000), ("many", 10_000)):
            pathlib.Path(folder).mkdir()
            for i in range(count):
                pathlib.Path(folder, f"{i:05}.png").write_bytes(png(i))
        for command, arguments in (("embed", ("-o", "x.npy")), ("classify", ())):
            few, many = self.peak_mb("few", command, *arguments), self.peak_mb("many", command, *arguments)
            # The names of 9000 more files, and nothing a picture.
            self.assertLess(many - few, 8, command)

    def test_100_000_files_in_one_folder(self):
        pathlib.Path("photos").mkdir()
        for i in range(100_000):
            first = i // 50_000 * 50_000  # a file system allows 65 000 names of one file
            if i == first:
                pathlib.Path(f"photos/{i:06}.png").write_bytes(png(i // 50_000))
            else:
                os.link(f"photos/{first:06}.png", f"photos/{i:06}.png")
        first = self.json("index", "photos", "-m", VIT, "-o", "p.oci", "--kind", "flat")
        self.assertEqual(first["added"], 100_000)
        pathlib.Path("photos/099999.png").unlink()
        again = self.json("index", "photos", "-o", "p.oci")
        self.assertEqual((again["unchanged"], again["removed"]), (99_999, 1))
        found = self.json("search", "p.oci", "photos/000000.png", "-k", "1", "--where", "name = '077777.png'")
        self.assertEqual([pathlib.Path(each["path"]).name for each in found], ["077777.png"])

    def test_100_000_labels(self):
        fixtures.clip()
        pathlib.Path("many.txt").write_text("".join(f"thing {i}\n" for i in range(100_000)))
        # The time limit is some twenty times what it takes.
        result = subprocess.run([PROGRAM, "classify", fixtures.IMAGES / "coffee.png", "-m", "clip", "--labels", "many.txt", "-k", "2"],
                                capture_output=True, text=True, env=self.environment, timeout=20)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("thing", result.stdout)


unittest.main()
