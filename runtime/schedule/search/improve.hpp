// Local search: makes the lists of a pipeline better, step by step. Random, but from a seed; bounded by the passes that
// it runs, not by time, so that the same input always has the same outcome.
#pragma once

#include "runtime/schedule/search/dice.hpp"
#include "runtime/schedule/search/pipeline_model.hpp"

#include <cstdint>

namespace troupe {

struct timed_pass_lists {
  pass_lists lists{};
  double makespan = 0.0;
};

/// Ends when `passes` were run, or the makespan is down to `goal`.
struct search_bound {
  std::uint64_t passes = 0;
  double goal = 0.0;
};

/// Plays the pipeline again and again, each time with keys between the earliest and the latest start of each pass in
/// the best lists so far, some of them disturbed.
void replay_with_slack(const pipeline_model& model, timed_pass_lists& best, const search_bound& bound, dice& random);

/// Moves one pass at a time to another place in its list, and keeps what does not take longer. Within a stage F, I and
/// W stay in ascending order, so the lists stay canonical; no rank holds more than the model's limit.
void move_passes(const pipeline_model& model, timed_pass_lists& best, const search_bound& bound, dice& random);

} // namespace troupe
