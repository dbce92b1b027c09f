"""The ops of whole models beside the roofs of the processor and its memory.

usage: roofline.py [--only MODEL,...] [--batch 8] [--threads 2] [--seconds 1] [--ocelli build/cli/ocelli]
                   [--kernels build/bench/kernels] [--json out.json] [--svg picture.svg]

Run with the reference environment, after `make bench-build`. A kind of op is all its calls of the fastest forward
together: multiply-adds and bytes (of inputs, outputs and weights, each once) over the time they took, from
`ocelli bench --trace`. The roofs are loops in registers and a read of more memory than any cache holds, from
`kernels --benchmark_filter=roof`. Rows that are in out.json are not measured again.
"""
import argparse
import collections
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

from results import Results

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODELS = {"vit_base16": "ViT-B/16", "efficientnet_lite0": "EfficientNet-Lite0"}
PRECISIONS = ["f32", "bf16", "int8"]


def roofs(options):
    """GFLOP/s of products in each precision that the processor has, and GB/s of memory."""
    command = [options.kernels, "--benchmark_filter=roof", "--benchmark_format=json"]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(options.threads)}).stdout
    rates = {row["name"].split("_roof")[0]: row.get("GFLOP/s", row.get("GB/s")) for row in json.loads(answer)["benchmarks"]}
    return {"f32" if name == "fma" else name: rate for name, rate in rates.items() if rate}


def ops(model, precision, options):
    """What each kind of op took of a forward, did and moved."""
    folder = ROOT / "build/bench" / model
    subprocess.run([sys.executable, ROOT / "bench/versus_peers.py", "--prepare", model, "", precision], check=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [options.ocelli, "bench", folder, "-b", options.batch, "-t", options.threads, "--precision", precision, "--seconds", options.seconds,
                   "--trace", f"{scratch}/trace.json", "--json"]
        answer = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
        events = json.loads(pathlib.Path(scratch, "trace.json").read_text())["traceEvents"]
    sums = collections.defaultdict(lambda: {"us": 0, "gflop": 0, "gb": 0})
    for event in events:
        if event["ph"] == "X":
            op, seconds = sums[event["name"]], event["dur"] * 1e-6
            op["us"] += event["dur"]
            op["gflop"] += event["args"].get("GFLOP/s", 0) * seconds
            op["gb"] += event["args"]["GB/s"] * seconds
    return {"isa": json.loads(answer)[0]["isa"], "ops": sums}


def points(rows):
    """The share of its forward, GFLOP/s, GB/s, multiply-adds a byte, and roof there, of each kind of op that takes a hundredth or more."""
    roof = next(row for row in rows if row.get("part") == "roofs")
    for row in rows:
        total = sum(op["us"] for op in row.get("ops", {}).values())
        for name, op in sorted(row.get("ops", {}).items(), key=lambda item: -item[1]["us"]):
            seconds, work, moved = op["us"] * 1e-6, op["gflop"], op["gb"]
            if op["us"] >= total / 100:
                yield {"model": row["model"], "precision": row["precision"], "op": name, "share": op["us"] / total, "gflops": work / seconds,
                       "gbs": moved / seconds, "intensity": work / moved, "roof": min(roof[row["precision"]], roof["memory"] * work / moved)}


# --- The picture: a panel for each precision, with its roof, those of the others faint, and a point for each kind of op. ---

LOW, HIGH = 2, 1000  # FLOP a byte
WIDTH, HEIGHT, LEFT, TOP, GAP = 340, 330, 60, 60, 32  # of a panel, and around
LINE = 14  # of text


def text(x, y, words, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{words}</text>'


def ticks(low, high):
    return [n * 10**power for power in range(6) for n in (1, 2, 5) if low <= n * 10**power <= high]


class Panel:
    """Logarithmic axes, from the left of the memory's line or the lowest point to above the highest roof."""

    def __init__(self, left, roof, points):
        self.left, self.roof = left, roof
        self.top = 1.5 * max(roof[p] for p in PRECISIONS if p in roof)
        self.bottom = min([LOW * roof["memory"], *(0.8 * point["gflops"] for point in points)])

    def x(self, intensity):
        return self.left + WIDTH * math.log(intensity / LOW) / math.log(HIGH / LOW)

    def y(self, gflops):
        return TOP + HEIGHT * (1 - math.log(gflops / self.bottom) / math.log(self.top / self.bottom))

    def axes(self, precision):
        yield text(self.left + WIDTH / 2, TOP - 12, precision, "middle", 'font-weight="bold"')
        yield text(self.left + WIDTH / 2, TOP + HEIGHT + 36, "FLOP a byte of inputs, outputs and weights", "middle")
        for value in ticks(LOW, HIGH):
            yield f'<path class="grid" d="M{self.x(value):.1f} {TOP}v{HEIGHT}"/>' + text(self.x(value), TOP + HEIGHT + 16, value, "middle")
        for value in ticks(self.bottom, self.top):
            yield f'<path class="grid" d="M{self.left} {self.y(value):.1f}h{WIDTH}"/>'
            if self.left == LEFT:
                yield text(LEFT - 6, self.y(value) + 4, value, "end")
        yield f'<rect x="{self.left}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>'

    def roofs(self, precision):
        memory = self.roof["memory"]
        for name in sorted((p for p in PRECISIONS if p in self.roof), key=lambda p: p == precision):
            yield (f'<path class="{"roof" if name == precision else "other"}" d="M{self.x(LOW):.1f} {self.y(LOW * memory):.1f}'
                   f'L{self.x(self.roof[name] / memory):.1f} {self.y(self.roof[name]):.1f}H{self.x(HIGH):.1f}"/>')
        yield text(self.x(HIGH) - 6, self.y(self.roof[precision]) - 6, f"{self.roof[precision]:.0f} GFLOP/s", "end")
        x, y = self.x(1.3 * LOW) - 7, self.y(1.3 * LOW * memory) - 3
        slope = math.degrees(math.atan2(self.y(1) - self.y(10), self.x(10) - self.x(1)))
        yield text(x, y, f"memory, {memory:.0f} GB/s", more=f'transform="rotate({-slope:.1f} {x:.1f} {y:.1f})"')

    def points(self, points):
        """A circle or a square each; its name where it hides neither a point nor another name."""
        places = [(self.x(point["intensity"]), self.y(point["gflops"])) for point in points]
        taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
        for point, (x, y) in zip(points, places):
            first = point["model"] == next(iter(MODELS))
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>' if first else f'<rect class="point" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
            words = f"{point['op']}, {100 * point['share']:.0f} %"
            wide = 6.4 * len(words)  # at most
            sides = [(x + 9, "start", 0), (x - 9, "end", wide), (x, "middle", wide / 2)]
            for middle, (at, anchor, before) in itertools.product((y + LINE * step for step in (0, 1, -1, 2, -2, 3, -3)), sides):
                box = (at - before, middle - LINE / 2, at - before + wide, middle + LINE / 2)
                free = all(box[0] >= b[2] or b[0] >= box[2] or box[1] >= b[3] or b[1] >= box[3] for b in taken)
                if free and self.left < box[0] and box[2] < self.left + WIDTH:
                    break
            taken.append(box)
            yield text(at, middle + 4, words, anchor, 'class="name"')


def draw(rows, file):
    roof = next(row for row in rows if row.get("part") == "roofs")
    products = sorted((point for point in points(rows) if point["gflops"]), key=lambda point: -point["gflops"])
    precisions = [p for p in PRECISIONS if p in roof]
    width, height = LEFT + len(precisions) * (WIDTH + GAP), TOP + HEIGHT + 50
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             "<style>path{fill:none}.grid{stroke:#e4e4e4}.roof{stroke:#000;stroke-width:2}.other{stroke:#999;stroke-dasharray:4 3}"
             "circle{fill:#1f6fb2;stroke:#000}.point{fill:#fff;stroke:#000;stroke-width:1.5}.name{paint-order:stroke;stroke:#fff;stroke-width:3}</style>",
             f'<rect width="{width}" height="{height}" fill="#fff"/>',
             f'<circle cx="{LEFT + 6}" cy="20" r="5"/>', text(LEFT + 16, 24, list(MODELS.values())[0]),
             f'<rect class="point" x="{LEFT + 90}" y="15.5" width="9" height="9"/>', text(LEFT + 105, 24, list(MODELS.values())[1]),
             text(LEFT + 240, 24, f"batch {max(row.get('batch', 0) for row in rows)}, {roof['threads']} threads; beside each kind of op its share of the time"),
             text(16, TOP + HEIGHT / 2, "GFLOP/s", "middle", f'transform="rotate(-90 16 {TOP + HEIGHT / 2})"')]
    for i, precision in enumerate(precisions):
        panel = Panel(LEFT + i * (WIDTH + GAP), roof, products)
        lines += [*panel.axes(precision), *panel.roofs(precision), *panel.points([point for point in products if point["precision"] == precision])]
    pathlib.Path(file).write_text("\n".join([*lines, "</svg>\n"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--ocelli", default=ROOT / "build/cli/ocelli")
    parser.add_argument("--kernels", default=ROOT / "build/bench/kernels")
    parser.add_argument("--json")
    parser.add_argument("--svg")
    options = parser.parse_args()
    results = Results(options.json)
    roof = results.row({"part": "roofs", "threads": options.threads}, lambda: roofs(options))
    for model in MODELS:
        for precision in PRECISIONS:
            if precision in roof and any(part in model for part in options.only.split(",")):
                results.row({"model": model, "precision": precision, "batch": options.batch, "threads": options.threads},
                            lambda: ops(model, precision, options))
    for point in points(results.rows):
        print("{model:<20} {precision:<5} {op:<18} {gflops:>7.1f} GFLOP/s {gbs:>6.1f} GB/s {intensity:>6.1f} FLOP/byte".format(**point))
    if options.svg:
        draw(results.rows, options.svg)


if __name__ == "__main__":
    main()
