"""Memory does not grow with the number of images. usage: memory_test.py OCELLI"""
import os
import pathlib
import struct
import subprocess
import unittest
import zlib

from support import PROGRAM, VIT, Case


def png(i):
    """8 x 8 pixels of a colour of its own."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((i & 255, i >> 8, 7 * i & 255)) * 8
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * 8)) + chunk(b"IEND", b""))


class Memory(Case):
    def peak_mb(self, folder, command, *arguments):
        process = subprocess.Popen([PROGRAM, command, folder, "-m", VIT, "-q", *arguments], env=self.environment,
                                   stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss / 1024

    def test_ten_thousand_images(self):
        for folder, count in (("few", 1000), ("many", 10_000)):
            pathlib.Path(folder).mkdir()
            for i in range(count):
                pathlib.Path(folder, f"{i:05}.png").write_bytes(png(i))
        for command, arguments in (("embed", ("-o", "x.npy")), ("classify", ())):
            few, many = self.peak_mb("few", command, *arguments), self.peak_mb("many", command, *arguments)
            # The names of 9000 more files, and nothing a picture.
            self.assertLess(many - few, 8, command)


unittest.main()
