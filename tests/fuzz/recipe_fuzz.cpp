#include "ocelli/base/error.h"
#include "ocelli/curate/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  try {
    recipe_text(parse_recipe(std::string(reinterpret_cast<const char*>(data), size), "fuzz"));
  } catch (const Error&) {
  }
  return 0;
}
