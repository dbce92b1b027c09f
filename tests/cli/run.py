"""Runs the program as a user would. usage: run.py OCELLI; prints what differs, exit status 1."""
import json
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ROOT / "examples/images"
VIT = str(ROOT / "tests/goldens/vit_timm_token")
CLIP = str(ROOT / "tests/goldens/clip_hf")
failures = 0


def run(*arguments, status=0, has="", stdin=None):
    global failures
    result = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, input=stdin)
    text = result.stdout + result.stderr
    if result.returncode != status or has not in text:
        failures += 1
        print(f"{arguments}: status {result.returncode}, expected {status} and '{has}' in:\n{text}")
    return result


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    run("--version", has="ocelli ")
    run("classify", "--help", has="Examples")
    run("nonsense", status=64)
    answer = json.loads(run("classify", IMAGES, "-m", VIT, "--json", "-k", 2).stdout)
    assert [pathlib.Path(a["path"]).name for a in answer] == sorted(p.name for p in IMAGES.iterdir() if p.suffix in (".png", ".jpg"))
    assert all(len(a["predictions"]) == 2 for a in answer)
    run("classify", "-", "-m", VIT, stdin=f"{IMAGES}/coffee.png\n", has="coffee.png")
    run("classify", folder / "none.jpg", "-m", VIT, status=66, has="none.jpg")
    run("classify", f"{folder}/*.jpg", "-m", VIT, status=66, has="no file matches")
    (folder / "empty.jpg").write_bytes(b"")
    run("classify", folder / "empty.jpg", "-m", VIT, status=65, has="empty.jpg")
    (folder / "text.jpg").write_text("this is no image")
    run("classify", folder / "text.jpg", "-m", VIT, status=65, has="text.jpg")
    (folder / "cut.jpg").write_bytes((IMAGES / "rocket.jpg").read_bytes()[:9000])
    run("classify", folder / "cut.jpg", "-m", VIT, status=65, has="cut.jpg")
    run("classify", IMAGES / "coffee.png", "-m", VIT, "--max-pixels", 100, status=64, has="coffee.png")
    hundred = folder / "hundred"
    hundred.mkdir()
    for i in range(99):
        (hundred / f"{i:03}.png").symlink_to(IMAGES / "coffee.png")
    (hundred / "050x.png").write_text("bad")
    result = run("classify", hundred, "-m", VIT, "--json", status=65, has="050x.png")
    assert sum("predictions" in a for a in json.loads(result.stdout)) == 99
    run("classify", hundred, "-m", VIT, "--strict", status=65, has="050x.png")
    run("embed", hundred, "-m", VIT, "--strict", "-o", folder / "out.npy", status=65)
    assert not [p for p in folder.iterdir() if "out" in p.name], "something half-written is left"
    run("embed", IMAGES, "-m", VIT, "-o", folder / "out.npy", has="6 rows")
    assert len((folder / "out.jsonl").read_text().splitlines()) == 6
    run("embed", IMAGES, "-m", VIT, "-o", "/dev/full/x.npy", status=74)
    for precision in ("auto", "f32"):
        run("classify", IMAGES / "coffee.png", "-m", VIT, "--precision", precision)
    for precision in ("bf16", "f16", "int8", "int4"):
        run("classify", IMAGES / "coffee.png", "-m", VIT, "--precision", precision, status=69, has="not built yet")
    run("classify", IMAGES / "coffee.png", "-m", VIT, "--precision", "f8", status=64)
    run("classify", IMAGES / "coffee.png", "-m", CLIP, status=69, has="--labels")
    run("classify", IMAGES / "coffee.png", "-m", CLIP, "--labels", " , ", status=64, has="no labels")
    run("classify", IMAGES / "coffee.png", "-m", VIT, "--labels", "a,b", status=69, has="text tower")
    run("info", VIT, has="vit")
    (folder / "unknown").mkdir()
    (folder / "unknown/model.safetensors").write_bytes((pathlib.Path(VIT) / "model.safetensors").read_bytes()[:50])
    run("info", folder / "unknown", status=65)
    run("convert", VIT, "-o", folder / "bf16", "--dtype", "bf16", has="read back and equal")
    run("classify", IMAGES / "coffee.png", "-m", folder / "bf16")
    rows = json.loads(run("bench", VIT, "-b", "1,2", "-t", "1", "--seconds", "0.05", "--json").stdout)
    assert set(rows[0]) == {"model", "batch", "threads", "precision", "best_ms", "median_ms", "images_per_second", "gflops", "roof_share", "peak_rss_mb"}
    byclass = folder / "byclass"
    for label in ("0", "1"):
        (byclass / label).mkdir(parents=True)
        (byclass / label / "a.png").symlink_to(IMAGES / "coffee.png")
    assert json.loads(run("eval", byclass, "-m", VIT, "--json").stdout)["count"] == 2
    run("pull", "not-an-id", status=64)
sys.exit(1 if failures else 0)
