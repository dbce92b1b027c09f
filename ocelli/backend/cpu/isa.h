// Which instruction set the kernels of backend/cpu use. The best one of the processor is taken,
// unless OCELLI_MAX_ISA=sse4|avx2|avx512|... in the environment asks for less.
#pragma once

#include <string>
#include <vector>

namespace ocelli::backend {

// Of this processor, best first: "avx512_bf16" (with VNNI), "avx512_vnni", "avx512", "avx2",
// "sse4", "baseline".
std::vector<std::string> supported_isas();

std::string current_isa();

// Limits the kernels to `isa` from now on; packed weights made before must not be used any more.
// For tests and benchmarks. Throws invalid_argument for a name that is not supported here.
void limit_isa(const std::string& isa);

// Whether the kernels may use AVX-512's products of bf16 and of 8-bit numbers.
bool has_bf16_dots();
bool has_byte_dots();

}  // namespace ocelli::backend
