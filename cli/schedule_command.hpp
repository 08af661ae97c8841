// `troupe schedule`: shows, converts and checks a schedule without running it.
#pragma once

#include <CLI/CLI.hpp>

namespace troupe {

/// Adds the subcommand. Its callback prints to stdout and throws troupe::error when the schedule is wrong.
void add_schedule_command(CLI::App& app);

} // namespace troupe
