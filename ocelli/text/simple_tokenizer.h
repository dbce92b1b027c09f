// CLIP's byte-level BPE as OpenAI published it (clip/simple_tokenizer.py) and open_clip 3.3 has it
// (open_clip/tokenizer.py, SimpleTokenizer): ftfy.fix_text, HTML references resolved twice, white
// space to single spaces, lower case; then its own words. Padding is 0; of a text that is too long
// the first tokens stay, and the last of them is the end of the text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ocelli/text/clean/clean.h"
#include "ocelli/text/tokenizer.h"

namespace ocelli {

struct SimpleTokenizerOptions {
  Clean clean = Clean::lower;
  int64_t context_length = 77;
};

// The merges of bpe_simple_vocab_16e6.txt, best first: those of the lines that CLIP uses. Throws
// corrupt_data naming `name`.
std::vector<std::pair<std::string, std::string>> read_simple_merges(std::string_view text,
                                                                    const std::string& name);

// The vocabulary follows from the merges: bytes, bytes that end a word, merges, and the two special
// tokens <start_of_text> and <end_of_text>.
std::shared_ptr<const Tokenizer> make_simple_tokenizer(
    const std::vector<std::pair<std::string, std::string>>& merges, const std::string& name,
    const SimpleTokenizerOptions& options);

}  // namespace ocelli
