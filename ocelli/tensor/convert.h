// Element type conversion and compaction on the host, for loading and saving.
#pragma once

#include "ocelli/tensor/tensor.h"

namespace ocelli {

// `t` as `dtype`, contiguous; `t` itself when it is both already. Floats round to nearest even,
// floats to integers truncate. i64 to i32 throws when a value does not fit.
Tensor to(const Tensor& t, DType dtype);

// `t` itself when contiguous, else a compact copy.
Tensor contiguous(const Tensor& t);

}  // namespace ocelli
