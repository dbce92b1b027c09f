"""The processor's time for a caption, on one thread, beside huggingface/tokenizers, and whether the ids are the same.
usage: versus_tokenizers.py BENCH_TOKENIZER CAPTIONS FOLDER... [--json out.json], CAPTIONS tables with a column `caption`,
separated by commas; folders with a tokenizer.json. Twice: each caption once, and all of them repeated to 100 000. Rows that
are in out.json are not measured again."""
import argparse
import csv
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
import numpy  # noqa: E402
import tokenizers  # noqa: E402

from results import Results  # noqa: E402

COUNT = 100_000


def captions(tables):
    for table in tables.split(","):
        with (gzip.open if table.endswith(".gz") else open)(table, "rt", newline="") as file:
            yield from (" ".join(row["caption"].splitlines()) for row in csv.DictReader(file))


def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start


def ids_of(file):
    values, rows, at = numpy.fromfile(file, numpy.int32), [], 0
    while at < len(values):
        rows.append(values[at + 1:at + 1 + values[at]].tolist())
        at += 1 + values[at]
    return rows


def compare(bench, folder, texts):
    theirs = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    theirs.no_padding()
    theirs.no_truncation()
    ways = [lambda: theirs.encode_batch(texts), lambda: theirs.encode_batch_fast(texts),
            lambda: [theirs.encode(text) for text in texts]]
    slow = min(seconds(way) for way in ways * 2) / len(texts) * 1e6
    with tempfile.TemporaryDirectory() as scratch:
        with open(f"{scratch}/texts", "w") as file:
            file.write("".join(f"{text}\n" for text in texts))
        output = subprocess.run([bench, folder, f"{scratch}/texts", f"{scratch}/ids"], check=True, capture_output=True)
        ours = json.loads(output.stdout)
        same = ids_of(f"{scratch}/ids") == [encoding.ids for encoding in theirs.encode_batch_fast(texts)]
    fast = min(ours["encode_us"], ours["encode_batch_us"])
    return {**ours, "tokenizers_us": round(slow, 3),
            "ratio": round(slow / fast, 1), "ratio_first": round(slow / ours["first_us"], 1), "same_ids": same}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("captions")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--json")
    options = parser.parse_args()
    every = list(captions(options.captions))
    distinct = list(dict.fromkeys(every))
    repeated = (every * (COUNT // len(every) + 1))[:COUNT]
    results = Results(options.json, "tokenizers")
    for folder in options.folders:
        for texts in (distinct, repeated):
            row = results.row({"model": folder.resolve().name, "texts": len(texts), "threads": 1}, lambda: compare(options.bench, folder, texts))
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
