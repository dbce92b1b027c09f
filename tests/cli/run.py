"""Runs cases of the program's use that are written down as data.

usage: run.py OCELLI FILE.test

A line `fixtures: NAME ...` makes files by the functions of fixtures.py, in the empty folder in which
all commands run. Then come cases, with a blank line between them:

    ocelli classify none.jpg -m $VIT          commands for bash, one or more lines
    ---- 66                                   the exit status
    none.jpg: No such file                    text that some line of the output has
    ! warning                                 text that no line has

`...` in an expected text stands for anything. Lines that start with `#` are remarks. Whatever is
expected, each line on standard error must be one of the program's own, starting with "ocelli: ".
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import fixtures
import support

TEST = pathlib.Path(sys.argv[1]).resolve()


def parse(text):
    """fixtures, [(line number, commands, status, expected lines)]"""
    names, cases, block = [], [], []
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("fixtures:"):
            names += line.split()[1:]
        elif line and not line.startswith("#"):
            block.append((number, line))
        elif not line and block:
            lines = [content for _, content in block]
            rule = next(i for i, content in enumerate(lines) if content.startswith("----"))
            cases.append((block[0][0], lines[:rule], int(lines[rule].split()[1]), lines[rule + 1:]))
            block = []
    return names, cases


def differences(status, expected_status, result, expected):
    if status != expected_status:
        yield f"the status is {status}, not {expected_status}"
    output = (result.stdout + result.stderr).splitlines()
    for line in expected:
        absent = line.startswith("! ")
        pattern = ".*".join(re.escape(part.strip()) for part in line.removeprefix("! ").split("..."))
        if any(re.search(pattern, found) for found in output) == absent:
            yield f"there should be {'no' if absent else 'a'} line with {pattern!r}"
    for line in result.stderr.splitlines():
        if not line.startswith("ocelli: "):
            yield f"a stray line on standard error: {line!r}"


def main():
    failures = 0
    names, cases = parse(TEST.read_text())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.chdir(folder)
        for fixture in names:
            getattr(fixtures, fixture)()
        for number, commands, expected_status, expected in cases:
            result = subprocess.run(["bash", "-c", "\n".join(commands)], capture_output=True, text=True,
                                    env=support.environment(folder), stdin=subprocess.DEVNULL, timeout=300)
            wrong = list(differences(result.returncode, expected_status, result, expected))
            if wrong:
                failures += 1
                print(f"{TEST.name}:{number}: {commands[0]}", *wrong, result.stdout, result.stderr, sep="\n  ")
        os.chdir("/")
    print(f"{len(cases) - failures} of {len(cases)} cases pass")
    return 1 if failures else 0


sys.exit(main())
