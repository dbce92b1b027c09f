"""Completion scripts and the manual page. usage: shells_test.py OCELLI"""
import shutil
import subprocess
import unittest

from support import Case


class Shells(Case):
    def script(self, shell):
        return self.run_program("completion", shell).stdout

    def complete_in_bash(self, *words):
        program = self.script("bash") + """
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _ocelli; printf '%s\\n' "${COMPREPLY[@]}"
        """
        result = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True, text=True, check=True)
        self.assertEqual(result.stderr, "")
        return result.stdout.split()

    def test_bash(self):
        self.assertEqual(self.complete_in_bash("ocelli", "c"), ["classify", "cluster", "curate", "convert", "completion"])
        self.assertEqual(self.complete_in_bash("ocelli", "convert", "--dtype", ""), ["f32", "f16", "bf16"])
        self.assertEqual(self.complete_in_bash("ocelli", "classify", "--t"), ["--templates", "--threads", "--top"])
        self.assertEqual(self.complete_in_bash("ocelli", "completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.complete_in_bash("ocelli", "train", "c"), ["classify", "contrastive"])
        self.assertEqual(self.complete_in_bash("ocelli", "train", "--r"), ["--resume"])
        self.assertEqual(self.complete_in_bash("ocelli", "train", "classify", "--r"), ["--recipe"])
        self.assertEqual(self.complete_in_bash("ocelli", "train", "classify", "x", "--precision", ""), ["f32", "bf16"])
        self.assertEqual(self.complete_in_bash("ocelli", "classify", "photo"), [])  # left to bash: files

    def test_fish(self):
        self.require("fish")
        script = self.script("fish")
        for line, words in (("ocelli conv", ["convert"]), ("ocelli convert --dtype ", ["bf16", "f16", "f32"]),
                            ("ocelli train cl", ["classify"]), ("ocelli train classify x --precision ", ["bf16", "f32"]),
                            ("ocelli classify --precision f", ["f16", "f32"])):
            result = subprocess.run(["fish", "--no-config", "-c", f"{script}\ncomplete -C '{line}'"],
                                    capture_output=True, text=True, check=True, env=self.environment)
            self.assertEqual([entry.split("\t")[0] for entry in result.stdout.splitlines()], words, result.stderr)

    def test_zsh(self):
        self.require("zsh")
        subprocess.run(["zsh", "-n"], input=self.script("zsh"), text=True, check=True)

    def test_manual_page(self):
        page = self.run_program("man").stdout
        self.assertIn(".SS train classify", page)
        for words in (".TH OCELLI 1", ".SS classify", "\\-\\-templates", ".SH EXIT STATUS", "HF_HUB_OFFLINE"):
            self.assertIn(words, page)
        self.environment["SOURCE_DATE_EPOCH"] = "0"
        self.assertIn('"1970-01-01"', self.run_program("man").stdout)
        for checker in (["mandoc", "-Tlint"], ["groff", "-man", "-Tutf8", "-ww", "-z"]):
            if shutil.which(checker[0]):
                result = subprocess.run(checker, input=page, capture_output=True, text=True)
                self.assertEqual(result.stdout + result.stderr, "")

    def require(self, shell):
        if not shutil.which(shell):
            self.skipTest(f"{shell} is not installed")


if __name__ == "__main__":
    unittest.main()
