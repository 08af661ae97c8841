// PipeDream (Narayanan et al., SOSP'19, sections 3.2 and 3.3): 1F1B without a flush. A stage updates after each
// microbatch's backward pass, and that pass uses the weights that the microbatch's forward pass used.
#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

/// Weight stashing: F uses the newest weights of its stage, which are p - 1 - stage updates behind what they will be
/// when the microbatch's gradient comes.
schedule generate_pipedream(const schedule_request& request) {
  schedule result = continuous_one_f_one_b(request);
  result.asynchronous->lag = result.asynchronous->ahead;
  return result;
}

/// Vertical sync: all stages use the version that the first stage had when the microbatch came in.
schedule generate_pipedream_vertical_sync(const schedule_request& request) {
  schedule result = continuous_one_f_one_b(request);
  result.asynchronous->lag.assign(request.ranks, request.ranks - 1);
  return result;
}

} // namespace troupe
