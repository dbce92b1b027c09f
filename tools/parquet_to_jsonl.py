#!/usr/bin/env python3
"""Writes the tables FOLDER/metadata/*.parquet of clip-retrieval beside themselves as .jsonl, for
`ocelli index --import FOLDER`. Needs pyarrow.

usage: parquet_to_jsonl.py FOLDER"""
import json
import pathlib
import sys

import pyarrow.parquet

for table in sorted(pathlib.Path(sys.argv[1], "metadata").glob("*.parquet")):
    with table.with_suffix(".jsonl").open("w") as lines:
        for batch in pyarrow.parquet.ParquetFile(table).iter_batches():
            for row in batch.to_pylist():
                lines.write(json.dumps(row, default=str) + "\n")
