#include "ocelli/base/error.h"
#include "ocelli/curate/recipe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocelli;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    // What is written down is read back.
    const std::string written = recipe_text(parse_recipe(text, "fuzz"));
    if (recipe_text(parse_recipe(written, "written")) != written) __builtin_trap();
  } catch (const Error&) {
  }
  try {
    Recipe recipe;
    override_setting(recipe_settings(recipe), text);
  } catch (const Error&) {
  }
  return 0;
}
