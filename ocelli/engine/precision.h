// Which precision a model is computed in, and why.
#pragma once

#include <span>
#include <string>

#include "ocelli/models/folder.h"

namespace ocelli {

struct PrecisionChoice {
  backend::Precision precision = backend::Precision::f32;
  std::string reason;         // for people
  bool as_quantised = false;  // the folder says it for each weight
};

// A row of the ledger (docs/accuracy.md): a precision of a family's model with real weights, on an
// instruction set, beside f32 there.
struct LedgerRow {
  const char* family;
  const char* isa;
  backend::Precision precision;
  double cosine;  // of embeddings, mean
  int64_t lost;   // photographs of kLedgerPhotographs whose first class is no longer right
  double speed;   // images a second, as a ratio
};
constexpr int64_t kLedgerPhotographs = 600;
std::span<const LedgerRow> ledger();

// "f32", "bf16", "int8" or "int4". Empty and "auto" are what the folder was quantised to; of
// others, empty is f32 and "auto" the fastest precision whose loss is published for the family on
// the instruction set `isa` and holds: a mean cosine of 0.999 and half a point of top-1 for bf16,
// 0.995 and a point for int8. "f16" throws unsupported, others invalid_argument.
PrecisionChoice choose_precision(const std::string& asked, const std::string& family,
                                 const std::string& isa, const Quantization* quantization);

}  // namespace ocelli
