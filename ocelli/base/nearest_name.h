// What somebody meant who mistyped a name.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ocelli {

// The name with the fewest letters to insert, delete or replace (Levenshtein); the first of equals,
// empty when there are no names. Names may be dotted: the last part alone is nearly as good.
std::string nearest_name(std::string_view wrong, std::span<const std::string> names);

}  // namespace ocelli
