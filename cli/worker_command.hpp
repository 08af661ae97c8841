// `troupe worker`: a process that hosts ranks.
#pragma once

#include <CLI/CLI.hpp>

namespace troupe {

/// What a worker writes to standard output before its address, once it can be reached.
inline constexpr const char* listening_prefix = "listening on ";

void add_worker_command(CLI::App& program);

} // namespace troupe
