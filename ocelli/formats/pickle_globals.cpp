#include "ocelli/formats/pickle_globals.h"

#include <algorithm>
#include <array>

namespace ocelli::pickle {
namespace {

struct StorageType {
  std::string_view name;
  DType dtype;
};

constexpr StorageType kStorages[] = {
    {"FloatStorage", DType::f32},  {"HalfStorage", DType::f16}, {"BFloat16Storage", DType::bf16},
    {"DoubleStorage", DType::f32}, {"LongStorage", DType::i64}, {"IntStorage", DType::i32},
    {"ShortStorage", DType::i32},  {"CharStorage", DType::i8},  {"ByteStorage", DType::u8},
    {"BoolStorage", DType::u8},
};

constexpr std::string_view kKnownGlobals[] = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "builtins.set",
    "builtins.frozenset",
    "builtins.dict",
    "builtins.list",
    "builtins.tuple",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "__builtin__.set",
    "__builtin__.frozenset",
    "__builtin__.dict",
    "__builtin__.list",
    "__builtin__.tuple",
    "__builtin__.int",
    "__builtin__.long",
    "__builtin__.float",
    "__builtin__.str",
    "__builtin__.unicode",
    "__builtin__.bool",
    "collections.Counter",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "pathlib.PosixPath",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.restore_type_tag",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "_codecs.encode",
};

bool is_dtype(std::string_view name) {
  constexpr std::array kNames = {"float32", "float16", "bfloat16", "float64", "int64", "int32",
                                 "int16",   "int8",    "uint8",    "bool",    "float", "half"};
  return name.starts_with("torch.") &&
         std::ranges::any_of(kNames, [&](std::string_view n) { return n == name.substr(6); });
}

}  // namespace

std::optional<DType> storage_dtype(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || !name.starts_with("torch")) return std::nullopt;
  const auto* found = std::ranges::find(kStorages, name.substr(dot + 1), &StorageType::name);
  if (found == std::end(kStorages)) return std::nullopt;
  return found->dtype;
}

bool is_known_global(std::string_view name) {
  // TorchScript's classes: their attributes are taken, their code is not run.
  return name.starts_with("__torch__.") || storage_dtype(name) || is_dtype(name) ||
         std::ranges::find(kKnownGlobals, name) != std::end(kKnownGlobals);
}

}  // namespace ocelli::pickle
