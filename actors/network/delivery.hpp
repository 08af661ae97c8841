// Who in this process a message of a peer is for, and who may send it.
#pragma once

#include "actors/network/messages.hpp"
#include "runtime/wire/wire_message.hpp"

#include <optional>

namespace troupe {

/// Hands a message of the run to the actor that it is for. Returns any other one, which is for the link's owner. Throws
/// protocol_error when the peer may not send it, or nobody here is to get it.
std::optional<wire_message> deliver(const link_routes& routes, wire_message&& message);

} // namespace troupe
