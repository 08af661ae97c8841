// Messages as text, for the log of events.
#pragma once

#include "tests/support/unruly_network.hpp"

#include <string>

namespace troupe::test {

std::string to_text(const actor_name& name);
/// Type, and the fields that tell it from others; nothing of it depends on an address or the time of day.
std::string to_text(const message_content& what);

} // namespace troupe::test
