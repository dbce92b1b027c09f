"""Index files as FAISS writes them (faiss-cpu 1.15): vectors alone, and a graph of two of them.

usage: faiss_files.py OUTPUT"""
import pathlib
import sys

import faiss
import numpy

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
rows = (numpy.arange(12, dtype=numpy.float32).reshape(3, 4) - 5) / 8
flat = faiss.IndexFlatIP(4)
flat.add(rows)
faiss.write_index(flat, str(folder / "flat.faiss"))
graph = faiss.IndexHNSWFlat(4, 32, faiss.METRIC_INNER_PRODUCT)
graph.add(rows[:2])
faiss.write_index(graph, str(folder / "hnsw.faiss"))
