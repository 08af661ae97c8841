// One entry of the decision log.
#pragma once

#include "runtime/traffic.hpp"

namespace troupe {

/// What the scheduler made of a step: the loss and the norm that it saw, and what it told the ranks. Of a validation
/// only the loss means anything.
struct logged_decision {
  step_id at;
  double loss = 0.0;
  double gradient_norm = 0.0;
  double gradient_scale = 0.0;
  double learning_rate = 0.0;
  bool skipped = false;  ///< the update was, by faults.on_nan
  bool snapshot = false; ///< the ranks were told to hand out snapshots of the state after it
};

} // namespace troupe
