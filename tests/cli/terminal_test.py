"""The progress bar on a terminal, and interruption. usage: terminal_test.py OCELLI"""
import fcntl
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import unittest

import fixtures
from support import PROGRAM, VIT, Case

COLUMNS = 60


def folder_of_images(count):
    folder = pathlib.Path("folder")
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:03}.png").symlink_to(fixtures.IMAGES / "astronaut.png")
    return folder


class Terminal(Case):
    def on_terminal(self, *arguments):
        """What the program writes to standard error when that is a terminal."""
        control, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        with subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=terminal,
                              env=self.environment | {"TERM": "xterm"}) as process:
            os.close(terminal)
            output = b""
            try:
                while data := os.read(control, 65536):
                    output += data
            except OSError:  # the other end is closed
                pass
            os.close(control)
        return output.decode()

    def test_bar(self):
        folder = folder_of_images(300)
        (folder / "bad.jpg").write_text("bad")
        output = self.on_terminal("classify", "folder", "-m", VIT, "-t", 1)
        bars = re.findall(r"classifying[^\r]*", output)
        self.assertGreater(len(bars), 3, output)
        for bar in bars:
            self.assertLess(len(bar), COLUMNS)
        self.assertRegex(bars[-1], r"classifying  \[=+> *\]  \d+/301  [\d.]+/s  \d:\d\d left")
        # The message has a line of its own, and the bar is gone at the end.
        self.assertIn("\r\x1b[Kocelli: error: folder/bad.jpg", output.replace("\x1b[K\x1b[K", "\x1b[K"))
        self.assertTrue(output.endswith('starts with "bad"\r\n'), output[-200:])

    def test_no_bar_when_quiet(self):
        self.assertEqual(self.on_terminal("classify", fixtures.IMAGES, "-m", VIT, "-q"), "")


class Interruption(Case):
    DELAYS = (0.02, 0.1, 0.3, 0.6)

    def interrupt(self, arguments, delay, signals=(signal.SIGINT,)):
        """The exit status; negative for a signal that ended the program."""
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=self.environment)
        time.sleep(delay)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.01)
        errors = process.communicate(timeout=60)[1]
        if process.returncode == 130 and len(signals) == 1:
            self.assertEqual(errors, "ocelli: error: cancelled\n")
        return process.returncode

    def check(self, arguments, outputs, signals=(signal.SIGINT,)):
        """Interrupted at any time, a command has written all of its outputs or nothing."""
        before = set(os.listdir())
        stopped = 0
        for delay in self.DELAYS:
            status = self.interrupt(arguments, delay, signals)
            written = set(os.listdir()) - before
            self.assertIn(status, (0, 130, -signal.SIGKILL, -signal.SIGINT))
            self.assertEqual(written, outputs if status == 0 else set(), f"after {delay} s")
            for name in written:
                subprocess.run(["rm", "-r", name], check=True)
            stopped += status != 0
        self.assertGreater(stopped, 0)

    def test_embed(self):
        self.check(["embed", folder_of_images(800), "-m", VIT, "-o", "out.npy"], {"out.npy", "out.jsonl"})

    def test_report(self):
        self.check(["classify", folder_of_images(800), "-m", VIT, "--html", "out.html"], {"out.html"})

    def test_convert(self):
        tensors = {f"tensor.{i}": ("F32", [1 << 20], bytes(4 << 20)) for i in range(60)}
        fixtures.write_safetensors("large.safetensors", tensors)
        self.check(["convert", "large.safetensors", "-o", "out", "--dtype", "bf16"], {"out"})

    def test_twice(self):
        self.require_unnamed_files()
        self.check(["embed", folder_of_images(800), "-m", VIT, "-o", "out.npy"], {"out.npy", "out.jsonl"},
                   (signal.SIGINT, signal.SIGINT))

    def test_killed(self):
        self.require_unnamed_files()
        self.check(["embed", folder_of_images(800), "-m", VIT, "-o", "out.npy"], {"out.npy", "out.jsonl"},
                   (signal.SIGKILL,))

    def test_while_names_are_awaited(self):
        for arguments in (["classify", "-", "-m", VIT], ["embed", "--text", "-", "-m", VIT, "-o", "out.npy"]):
            process = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True, env=self.environment)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=10)
            self.assertEqual((process.returncode, process.stderr.read()), (130, "ocelli: error: cancelled\n"))
            process.stdin.close()
            process.stderr.close()

    def require_unnamed_files(self):
        try:
            os.close(os.open(".", os.O_TMPFILE | os.O_WRONLY))
        except OSError:
            self.skipTest("this file system has no files without a name")


if __name__ == "__main__":
    unittest.main()
