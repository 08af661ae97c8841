// The first plays of the search: rules that say in which order passes should run, from the pipeline's times alone.
#pragma once

#include "runtime/schedule/search/list_player.hpp"

#include <vector>

namespace troupe {

/// As if one block of passes repeated for every microbatch, a cycle of the busiest rank's work later each: a pass's key
/// is the time at which it would start then.
struct starting_rule {
  /// How often the time that F and I of a stage could start for the first microbatch counts. 0: the oldest microbatch
  /// comes first; 1: the critical path; more: blocks that leave room for one another, as in V-Half (arXiv 2405.15362).
  double stretch = 1.0;
  /// Cycles by which W comes behind its I; W is last where it is `in_gaps`.
  double deferral = 0.0;
  /// Cycles by which F comes behind: 0: in the block's order; more: backward passes come first.
  double forward_lag = 0.0;
  double patience = 0.0; ///< see play_rules
};

/// Of starting_rule::deferral: W only fills gaps and frees memory.
constexpr double in_gaps = 1e6;

/// Those that are best most often come first.
std::vector<starting_rule> starting_rules();

play_rules to_play_rules(const starting_rule& rule, const pipeline_model& model);

} // namespace troupe
