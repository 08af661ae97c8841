// "Did you mean ...?": the known word nearest to a misspelt one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The word of `known` with the fewest single-character edits from `word` (Levenshtein), the first such in the list;
/// empty when all are more than half of the word's length away.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

/// ", did you mean 'X'?" or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

} // namespace troupe
