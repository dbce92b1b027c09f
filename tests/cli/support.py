"""What the tests of the program share. The first argument of each test is the program."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import fixtures

PROGRAM = pathlib.Path(sys.argv.pop(1)).resolve()
VIT = str(fixtures.GOLDENS / "vit_timm_token")


def environment(folder):
    """Nothing of the user's settings, nothing of a real hub."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OCELLI_", "HF_"))}
    return kept | {
        "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", "HOME": str(folder), "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(folder / "cache"), "IMAGES": str(fixtures.IMAGES), "GOLDENS": str(fixtures.GOLDENS),
        "VIT": VIT}


class Case(unittest.TestCase):
    """Each test runs in an empty folder of its own."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.environment = environment(self.folder)

    def run_program(self, *arguments, status=0):
        result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                                env=self.environment, stdin=subprocess.DEVNULL, timeout=120)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def json(self, *arguments, status=0):
        return json.loads(self.run_program(*arguments, "--json", status=status).stdout)
