// Everything that a rank can send.
#pragma once

#include "runtime/traffic.hpp"

#include <variant>
#include <vector>

namespace troupe {

using rank_output = std::variant<activation_message, gradient_message, group_gradient_message, tied_gradient_message,
                                 tied_value_message, loss_message, credit_message, step_report, slice_batch,
                                 rank_snapshot, digest_report, rank_ready>;
using rank_outputs = std::vector<rank_output>;

} // namespace troupe
