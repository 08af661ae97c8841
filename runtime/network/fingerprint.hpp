// What a process computes with, as far as bits may depend on it.
#pragma once

#include "runtime/wire/control.hpp"

#include <cstdint>
#include <string>

namespace troupe {

/// Of this process, for ranks whose matrix products use so many threads.
arithmetic_fingerprint fingerprint_here(std::uint32_t threads = 1);

/// What differs, as "instruction set: found A, expected B; ..."; empty when nothing does.
std::string difference(const arithmetic_fingerprint& found, const arithmetic_fingerprint& expected);

} // namespace troupe
