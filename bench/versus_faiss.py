#!/usr/bin/env python3
"""HNSW32 of faiss-cpu on the rows that build/bench/vectors measures: build on all cores, queries on
one, recall@10 against exact search.

usage: build/bench/vectors --write FOLDER 100000 && bench/versus_faiss.py FOLDER"""
import pathlib
import sys
import time

import faiss
import numpy

folder = pathlib.Path(sys.argv[1])
rows = numpy.load(folder / "rows.npy").astype(numpy.float32)
queries = numpy.load(folder / "queries.npy")
print(f"faiss {faiss.__version__}, {len(rows)} rows of {rows.shape[1]}, {faiss.omp_get_max_threads()} threads")
exact = faiss.IndexFlatIP(rows.shape[1])
exact.add(rows)
truth = exact.search(queries, 10)[1]
index = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
start = time.perf_counter()
index.add(rows)
print(f"  HNSW32 {time.perf_counter() - start:.3f} s")
faiss.omp_set_num_threads(1)
for ef in (16, 24, 32, 48, 64, 96, 128):
    index.hnsw.efSearch = ef
    start = time.perf_counter()
    found = numpy.concatenate([index.search(query[None], 10)[1] for query in queries])
    seconds = time.perf_counter() - start
    recall = numpy.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth)])
    print(f"  ef {ef}: {seconds / len(queries) * 1e3:.3f} ms a query, one thread; recall@10 {recall:.3f}")
