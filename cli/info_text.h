// The description of a model as lines for people.
#pragma once

#include <string>

#include "ocelli/engine/describe.h"

namespace ocelli::cli {

std::string info_text(const Description& description, bool checked);

}  // namespace ocelli::cli
