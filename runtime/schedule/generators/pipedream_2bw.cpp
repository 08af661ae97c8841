// PipeDream-2BW (arXiv 2006.09503, section 3.1): 1F1B without a flush and one update a step, computed with the weights
// before the step's own: W(t+1) = W(t) - lr * grad f(W(t-1)). Two versions of the weights are held.
#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

schedule generate_pipedream_2bw(const schedule_request& request) {
  schedule result = continuous_one_f_one_b(request);
  result.asynchronous->update_every = request.microbatches;
  result.asynchronous->lag.assign(request.ranks, request.microbatches);
  return result;
}

} // namespace troupe
