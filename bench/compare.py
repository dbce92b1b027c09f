"""Compares two runs of a benchmark by their ratios and fails beyond a tolerance.

usage: compare.py OLD NEW [--tolerance 0.05]

OLD and NEW are folders that report.py filled, or files: what versus_*.py --json writes (the ratio to the best
peer), `ocelli bench --json` (the share of the roof) and Google Benchmark's --benchmark_out of `kernels` (GFLOP/s
as a share of fma_roof): times of two runs tell little, as machines differ and are shared, but a share measured
within one run holds. Ends with status 1 where a row of NEW is worse by more than the tolerance, or is missing.
"""
import argparse
import json
import pathlib
import sys

from results import KEYS


def name_of(row):
    return ", ".join(pathlib.Path(row[key]).name if key == "model" else f"{key} {row[key]}" for key in KEYS if key in row)


def figures(path):
    """What each row is called -> its ratio."""
    path = pathlib.Path(path)
    if path.is_dir():
        return {f"{file.stem}: {name}": figure for file in sorted(path.glob("*.json")) for name, figure in figures(file).items()}
    data = json.loads(path.read_text())
    if isinstance(data, dict):
        rates = {row["name"].removesuffix("/real_time"): row["GFLOP/s"] for row in data["benchmarks"] if "GFLOP/s" in row}
        roof = next(rate for name, rate in rates.items() if name.startswith("fma_roof"))
        return {name: rate / roof for name, rate in rates.items() if not name.startswith("fma_roof")}
    return {f"{name_of(row)}: {key}": row[key] for row in data
            for key in [key for key in row if key.startswith("ratio")] or ["roof_share"] if key in row}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--tolerance", type=float, default=0.05)
    options = parser.parse_args()
    old, new = figures(options.old), figures(options.new)
    if not old:
        sys.exit(f"{options.old} holds no measurements")
    worse = 0
    for name, before in old.items():
        after = new.get(name)
        bad = after is None or after < before * (1 - options.tolerance)
        worse += bad
        change = "missing" if after is None else f"{after:8.3f} {100 * (after / before - 1):+6.1f} %"
        print(f"{name:<76} {before:8.3f} {change}{'  worse' if bad else ''}")
    print(f"{worse} of {len(old)} rows are worse by more than {100 * options.tolerance:.0f} % or missing")
    return 1 if worse else 0


sys.exit(main())
