// DeepSeek's eight steps, which DualPipe and its half DualPipeV have in common: a rank's order of passes over its early
// and its late stage.
#pragma once

#include "runtime/schedule/generators/v_list.hpp"

namespace troupe {

struct dualpipe_place {
  std::uint32_t depth = 0;        ///< ranks between this one and the nearest end of the pipeline
  std::uint32_t behind = 0;       ///< ranks between this one and the place where early and late stages meet
  std::uint32_t microbatches = 0; ///< of each arm; at least twice the ranks from the end to that place
};

void write_dualpipe_steps(v_list& list, const dualpipe_place& at);

} // namespace troupe
