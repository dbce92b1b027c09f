// Index files that FAISS reads: "IxFI", the vectors alone (IndexFlatIP), and "IHNf", a graph over
// them (IndexHNSWFlat), by inner product. Fields as faiss/impl/index_write.cpp names them.
#pragma once

#include <filesystem>

#include "ocelli/index/hnsw.h"

namespace ocelli {

// Vectors become f32, as FAISS keeps them; a row's number is its id. With a graph of all these rows
// the file is an HNSW index. Throws invalid_argument for a graph of other rows.
void write_faiss(const std::filesystem::path& file, const HalfRows& rows,
                 const Hnsw* graph = nullptr);

}  // namespace ocelli
