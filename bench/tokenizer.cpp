// The processor's time, on one thread, that a tokenizer takes for the lines of a file: one by one,
// and in batches of 256. The first pass, whose words are new, and the fastest of five more. usage:
// tokenizer FOLDER TEXTS [IDS], IDS a file for the ids: of each line how many, then they, int32
#include "ocelli/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <functional>

#include "ocelli/base/file.h"

namespace {

using namespace ocelli;

std::vector<std::string> lines_of(const std::string& file) {
  const std::string text = read_file(file);
  std::vector<std::string> lines;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
  }
  return lines;
}

double processor_seconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

void write_ids(const Tokenizer& tokenizer, const std::vector<std::string>& texts,
               const std::string& file) {
  std::vector<int32_t> all;
  for (const std::string& text : texts) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    all.push_back(static_cast<int32_t>(ids.size()));
    all.insert(all.end(), ids.begin(), ids.end());
  }
  write_file(file, {reinterpret_cast<const char*>(all.data()), all.size() * sizeof(int32_t)});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: tokenizer FOLDER TEXTS [IDS]\n");
    return 64;
  }
  const auto tokenizer = open_tokenizer(argv[1]);
  const std::vector<std::string> texts = lines_of(argv[2]);
  const auto one_by_one = [&] {
    for (const std::string& text : texts) tokenizer->encode(text);
  };
  const auto in_batches = [&] {
    constexpr size_t kBatch = 256;
    for (size_t i = 0; i < texts.size(); i += kBatch) {
      tokenizer->encode_batch(std::span(texts).subspan(i, std::min(kBatch, texts.size() - i)),
                              {.pad_to_longest = true});
    }
  };
  const double first = processor_seconds(one_by_one);
  double one = first, batch = processor_seconds(in_batches);
  for (int i = 0; i < 5; ++i) {
    one = std::min(one, processor_seconds(one_by_one));
    batch = std::min(batch, processor_seconds(in_batches));
  }
  if (argc > 3) write_ids(*tokenizer, texts, argv[3]);
  const double micro = 1e6 / static_cast<double>(texts.size());
  fmt::print(
      "{{\"texts\": {}, \"first_us\": {:.3f}, \"encode_us\": {:.3f}, \"encode_batch_us\": "
      "{:.3f}}}\n",
      texts.size(), first * micro, one * micro, batch * micro);
}
