"""Compares two runs of a benchmark by their ratios and fails beyond a tolerance.

usage: compare.py OLD.json NEW.json [--tolerance 0.05]

Reads what versus_peers.py --json writes (the ratio to the best peer), `ocelli bench --json` (the share of the
roof) and Google Benchmark's --benchmark_out of `kernels` (GFLOP/s as a share of fma_roof): times of two runs
tell little, as machines differ and are shared, but a share measured within one run holds. Ends with status 1
where a row of NEW is worse by more than the tolerance, or is missing.
"""
import argparse
import json
import pathlib
import sys


def figures(path):
    """What each row is called -> its ratio."""
    data = json.loads(pathlib.Path(path).read_text())
    if isinstance(data, dict):
        rates = {row["name"].removesuffix("/real_time"): row["GFLOP/s"] for row in data["benchmarks"] if "GFLOP/s" in row}
        roof = next(rate for name, rate in rates.items() if name.startswith("fma_roof"))
        return {name: rate / roof for name, rate in rates.items() if not name.startswith("fma_roof")}
    return {f"{pathlib.Path(row['model']).name} {row['precision']}, batch {row['batch']}, {row['threads']} threads":
            row.get("ratio", row["roof_share"]) for row in data}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--tolerance", type=float, default=0.05)
    options = parser.parse_args()
    old, new = figures(options.old), figures(options.new)
    worse = 0
    for name, before in old.items():
        after = new.get(name)
        bad = after is None or after < before * (1 - options.tolerance)
        worse += bad
        change = "missing" if after is None else f"{after:8.3f} {100 * (after / before - 1):+6.1f} %"
        print(f"{name:<60} {before:8.3f} {change}{'  worse' if bad else ''}")
    print(f"{worse} of {len(old)} rows are worse by more than {100 * options.tolerance:.0f} % or missing")
    return 1 if worse else 0


sys.exit(main())
