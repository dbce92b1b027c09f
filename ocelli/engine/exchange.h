// Indexes as other programs keep them: folders of clip-retrieval and img2dataset, files of FAISS.
//
// FOLDER/img_emb/img_emb_N.npy        [rows, D], f16 or f32
// FOLDER/metadata/metadata_N.jsonl    an object a row: image_path (or path, url, key), caption,
//                                     width, height, sha256; other fields are left alone
// https://github.com/rom1504/clip-retrieval
#pragma once

#include "ocelli/engine/index_images.h"

namespace ocelli {

struct ImportResult {
  int64_t added = 0, replaced = 0;
  std::vector<ItemError> errors;  // rows without a direction: zeros, NaN
};

// Puts the rows of a folder into an index; an image that it knows already gets the new vector.
// `source` may be a file of FAISS, too, with its metadata in the folder beside it.
// Nothing says which model they are of: their width is held against the index's. Throws
// invalid_argument, not_found or corrupt_data naming the file; then nothing is committed.
ImportResult import_embeddings(IndexWriter& writer, const std::filesystem::path& source,
                               const Progress& progress = {});

// Writes the images of an index as such a folder, a million rows a file. Returns their number.
// Throws invalid_argument when there are embeddings in it already.
int64_t export_folder(const ImageIndex& index, const std::filesystem::path& folder,
                      const Progress& progress = {});

// Writes the vectors in the same order as a file of FAISS: with the graph where the index has one
// of all images and no removed ones (`ocelli index --compact`). Returns what was written.
IndexKind export_faiss(const ImageIndex& index, const std::filesystem::path& file);

}  // namespace ocelli
