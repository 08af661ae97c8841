// The plan to and from its protobuf message, exactly. Only runtime's own .cpp files include this.
#pragma once

#include "runtime/plan.hpp"

namespace troupe::proto {
class ActionList;
class Plan;
} // namespace troupe::proto

namespace troupe {

void to_message(const plan& from, proto::Plan& out);

/// Checks the schedule and finds its facts anew; only peaks come from the message, where they may be higher than the
/// schedule's own (see make_plan). Throws protocol_error when the schedule cannot run, or the rest does not fit it.
plan from_message(const proto::Plan& message);

void append_action(const action& one, proto::ActionList& out);
/// Throws protocol_error on half an action, or an operation or a stage that there is none of.
std::vector<action> to_actions(const proto::ActionList& from);

} // namespace troupe
