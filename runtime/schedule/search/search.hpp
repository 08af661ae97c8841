// The schedule `auto`: searches a list for the times that a pipeline's passes really take, within a limit of memory.
#pragma once

#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/search/stage_cuts.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// One line for help texts, as schedule_summary gives of the others.
inline constexpr const char* searched_schedule_summary =
    "searched for the given times and memory (--cost, --memory-limit): never longer than the best above that fits";

/// How much the search may run, in passes over one microbatch at one stage. A play runs about 5 million a second, a
/// move about 100 million.
struct search_effort {
  std::uint64_t plays = 6'000'000;   ///< with starting rules, for each way to place the stages
  std::uint64_t replays = 2'000'000; ///< from the best, for each of the best two ways
  std::uint64_t moves = 30'000'000;  ///< the same
  std::uint64_t largest = 1'000'000; ///< of a schedule; those with more passes are not searched
};

struct search_request {
  std::uint32_t ranks = 1;
  std::uint32_t microbatches = 1;
  std::uint32_t chunks = 0; ///< stages per rank; 0: 1, 2 and 4 are tried
  /// Microbatches that a rank may hold at once, from F until W, a stage's share counted as 1 / chunks; 0: `ranks`, what
  /// 1F1B needs on its first rank. That is what whoever runs a pipeline has, and enough for no bubble but the ramp.
  std::uint32_t memory_limit = 0;
  stage_cutter cut;
  /// All but the stages' costs and sizes, which come from `cut`.
  simulation_costs costs;
  search_effort effort{};
};

/// A schedule and what the simulator says of it.
struct simulated_schedule {
  schedule plan;
  std::uint32_t chunks = 0;
  double step_time = 0.0;
  double bubble_fraction = 0.0;
};

struct search_result {
  simulated_schedule found;        ///< its name is "auto"; canonical, and within the limit
  std::vector<stage_cost> stages;  ///< what its stages cost
  std::vector<stage_size> sizes;   ///< and how large they are, if that is known
  std::vector<layer_range> layers; ///< and which layers they have, if the request's cut is one of layers
  /// The best of published_schedules() within the limit, for the same numbers of chunks, with stages as equal as they
  /// can be. There is none when the limit is below what each of them needs.
  simulated_schedule published; ///< of no ranks: none
};

/// Finds a schedule whose step takes no longer than the best published one within the memory limit. Deterministic: the
/// same request has the same result. Throws spec_error when the model cannot be cut for any number of chunks, or when
/// ranks or microbatches are 0 or too many.
search_result search_schedule(const search_request& request);

/// "auto: 2 stages a rank, predicted bubble 2.1 %; best published: zb-v, 2 stages a rank, predicted bubble 3.0 %".
std::string describe(const search_result& result);

} // namespace troupe
