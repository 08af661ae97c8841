// `troupe train --schedule auto`: profiles, searches, and says what was chosen.
#pragma once

#include "runtime/data.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_options.hpp"

#include <optional>

namespace troupe {

/// The plan for `spec`, whose schedule is auto; nothing when the user interrupted the profile. Prints one line on it to
/// stderr.
std::optional<plan> choose_plan(const run_spec& spec, const data_source& data, const run_options& options);

} // namespace troupe
