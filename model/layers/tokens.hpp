// Tokens come from the world, so they are checked where they become addresses.
#pragma once

#include <cstdint>
#include <span>

namespace troupe {

/// Throws data_error when a token is negative or not below `vocabulary`, naming it and its position.
void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocabulary);

} // namespace troupe
