#include "ocelli/engine/precision.h"

namespace ocelli {
namespace {

using backend::Precision;

constexpr LedgerRow kLedger[] = {
#include "ocelli/engine/ledger.inc"
};

bool holds(const LedgerRow& row) {
  const double points = 100.0 * static_cast<double>(row.lost) / kLedgerPhotographs;
  if (row.precision == Precision::bf16) return row.cosine >= 0.999 && points <= 0.5;
  return row.precision == Precision::int8 && row.cosine >= 0.995 && points <= 1;
}

PrecisionChoice fastest(const std::string& family, const std::string& isa) {
  const LedgerRow* best = nullptr;
  bool published = false;
  for (const LedgerRow& row : kLedger) {
    if (row.family != family || row.isa != isa) continue;
    published = true;
    if (holds(row) && row.speed > (best ? best->speed : 1)) best = &row;
  }
  if (best) {
    return {best->precision,
            fmt::format("{:.2f} times as fast as f32 on {}, cosine {:.5f}, {} of {} photographs "
                        "lost (docs/accuracy.md)",
                        best->speed, isa, best->cosine, best->lost, kLedgerPhotographs)};
  }
  return {Precision::f32,
          published ? fmt::format("on {} no other precision is faster and loses little", isa)
                    : fmt::format("what others lose is not published for {} on {}", family, isa)};
}

std::string quantised_reason(const Quantization& q) {
  std::string text = fmt::format("the folder was quantised so, {} weights", q.weights.size());
  if (!q.kept.empty()) text += fmt::format(", {} kept in bf16", q.kept.size());
  if (q.images > 0)
    text += fmt::format("; worst cosine of {} photographs {:.5f}", q.images, q.worst_cosine);
  return text;
}

}  // namespace

std::span<const LedgerRow> ledger() {
  return kLedger;
}

PrecisionChoice choose_precision(const std::string& asked, const std::string& family,
                                 const std::string& isa, const Quantization* quantization) {
  if (asked.empty() || asked == "auto") {
    if (quantization) return {quantization->precision, quantised_reason(*quantization), true};
    const PrecisionChoice choice = fastest(family, isa);
    if (asked == "auto") return choice;
    return {Precision::f32, fmt::format("unless another is asked for; auto is {}: {}",
                                        backend::precision_name(choice.precision), choice.reason)};
  }
  if (const auto precision = backend::parse_precision(asked))
    return {*precision, "it was asked for"};
  if (asked == "f16") {
    fail(ErrorCode::unsupported,
         "--precision f16: a type to store weights in (ocelli convert --dtype f16), not one to "
         "compute in; bf16 is as small");
  }
  fail(ErrorCode::invalid_argument,
       "--precision {}: no such precision; there are auto, f32, bf16, int8, int4", asked);
}

}  // namespace ocelli
