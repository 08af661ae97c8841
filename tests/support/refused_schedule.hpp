// Why a schedule is refused.
#pragma once

#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"
#include "tests/support/error_text.hpp"

#include <string>

namespace troupe::test {

/// Why `wanted` is not generated; empty when it is.
inline std::string refusal_of(const schedule_request& wanted) {
  return error_text<spec_error>([&] { generate_schedule(wanted); });
}

/// Why `plan` is not correct; empty when it is.
inline std::string check_error(const schedule& plan) {
  return error_text<spec_error>([&] { check_schedule(plan); });
}

} // namespace troupe::test
