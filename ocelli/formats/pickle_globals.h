// The globals that a pickle of tensors may name. None of them is ever imported or called.
#pragma once

#include <optional>
#include <string_view>

#include "ocelli/tensor/dtype.h"

namespace ocelli::pickle {

// "torch.FloatStorage", "collections.OrderedDict", ...: those that only build data.
bool is_known_global(std::string_view name);

// What "torch.FloatStorage" or "torch.storage.FloatStorage" holds; nothing for other names. Double,
// Short and Bool are converted by the reader of the data (torch_file.cpp).
std::optional<DType> storage_dtype(std::string_view name);

}  // namespace ocelli::pickle
