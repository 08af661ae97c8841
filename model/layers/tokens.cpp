#include "model/layers/tokens.hpp"

#include "model/error.hpp"

namespace troupe {

void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocabulary) {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary)
      throw data_error("token " + std::to_string(i) + " of a microbatch: found " + std::to_string(tokens[i]) +
                       ", expected 0 to " + std::to_string(vocabulary - 1) + " (model.vocabulary is " +
                       std::to_string(vocabulary) + ")");
}

} // namespace troupe
