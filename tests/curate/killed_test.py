"""`ocelli curate`, killed at random moments and taken up again, ends as one that was left alone.
usage: killed_test.py OCELLI SOURCE_FOLDER"""
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

ocelli, source = sys.argv[1], pathlib.Path(sys.argv[2])
images = source / "examples/images"
if not (source / "models/default/efficientnet-lite0.pth").exists():
    print("skipped: the default model has not been fetched (tools/fetch-default-model)")
    sys.exit(77)


def command(folder, output, *more):
    return [ocelli, "curate", folder / "raw", "-o", folder / output, "--recipe", folder / "r.toml", "-q", *more]


def result(folder, output):
    files = sorted((folder / output / "images").iterdir())
    return (folder / output / "manifest.jsonl").read_text(), [(f.name, f.read_bytes()) for f in files]


with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    (folder / "raw").mkdir()
    for i in range(3):
        for path in sorted(images.iterdir()):
            shutil.copy(path, folder / "raw" / f"{i}-{path.name}")
    (folder / "raw/empty.jpg").touch()
    (folder / "r.toml").write_text("[retrieve]\ntarget = 4\n")
    start = time.monotonic()
    subprocess.run(command(folder, "whole"), check=True)
    took = time.monotonic() - start
    again = subprocess.run(command(folder, "whole"), capture_output=True, text=True)
    assert again.returncode != 0 and "--resume" in again.stderr, again.stderr
    random.seed(1)
    kills = 0
    for n in range(8):
        output = f"killed{n}"
        process = subprocess.Popen(command(folder, output))
        try:
            process.wait(random.uniform(0.1, 0.9) * took)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        subprocess.run(command(folder, output, "--resume"), check=True)
        assert result(folder, output) == result(folder, "whole"), n
    assert kills > 0
    (folder / "r.toml").write_text("[retrieve]\ntarget = 5\n")
    other = subprocess.run(command(folder, "whole", "--resume"), capture_output=True, text=True)
    assert other.returncode != 0 and "another recipe" in other.stderr, other.stderr
print(f"killed {kills} times")
