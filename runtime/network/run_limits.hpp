// How large a message of a run can be: what a link accepts of a peer that belongs to it.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/wire/wire_message.hpp"

namespace troupe {

/// From the shapes of activations, tokens and parameters alone; builds no layer.
wire_limits limits_of(const run_spec& spec, const model_family& family, const plan& pipeline);

} // namespace troupe
