"""Installs what was built, then builds and runs examples/ against it as a project of its own.
usage: install_test.py CMAKE BUILD"""
import os
import pathlib
import subprocess
import sys
import tempfile

CMAKE, BUILD = sys.argv[1], pathlib.Path(sys.argv[2])
ROOT = pathlib.Path(__file__).resolve().parents[1]
MODEL, IMAGE = ROOT / "tests/goldens/vit_timm_token", ROOT / "examples/images/coffee.png"


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{command}: status {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


with tempfile.TemporaryDirectory() as name:
    prefix, build = pathlib.Path(name, "prefix"), pathlib.Path(name, "build")
    run(CMAKE, "--install", BUILD, "--prefix", prefix)
    for file in ("bin/ocelli", "share/man/man1/ocelli.1", "share/bash-completion/completions/ocelli",
                 "share/zsh/site-functions/_ocelli", "share/fish/vendor_completions.d/ocelli.fish"):
        assert (prefix / file).stat().st_size > 0, file
    run(CMAKE, "-S", ROOT / "examples", "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run(CMAKE, "--build", build)
    answer = run(build / "classify", MODEL, IMAGE)
    assert answer == run(BUILD / "examples/classify", MODEL, IMAGE), answer
    assert len(answer.splitlines()) == 5, answer
    if (ROOT / "models/default").is_dir():
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OCELLI_")}
        found = run(prefix / "bin/ocelli", "info", "--json", cwd=name, env=environment)
        assert str(prefix / "share/ocelli/models/default") in found, found
