// A schedule is data: for each rank, the list of actions it runs in one step, in order.
#pragma once

#include "runtime/schedule/action.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// What the user asks a schedule generator for.
struct schedule_request {
  std::string name = "1f1b";
  std::uint32_t ranks = 1;
  std::uint32_t microbatches = 1;
  std::uint32_t chunks = 0;     ///< stages per rank, v; 0: what the schedule needs
  std::uint32_t group_size = 0; ///< of the interleaved ones: microbatches that visit a chunk in a row; 0: about ranks
  std::uint32_t waves = 1;      ///< of hanayo: times that a microbatch runs down the ranks and up again
};

struct schedule {
  std::string name;
  std::uint32_t ranks = 0;
  std::uint32_t microbatches = 0;
  std::vector<std::uint32_t> rank_of_stage; ///< one entry a stage
  std::vector<std::vector<action>> actions; ///< by rank
  /// By rank: places in its list, ascending, whose action and the next one are meant to overlap: F of one stage, and
  /// the backward pass of another stage. They run one after the other here. Empty when there is no such pair at all.
  std::vector<std::vector<std::uint32_t>> overlapped;

  std::uint32_t stages() const { return static_cast<std::uint32_t>(rank_of_stage.size()); }
  friend bool operator==(const schedule&, const schedule&) = default;
};

/// The schedule that is searched, not generated: see search/search.hpp.
inline constexpr const char* searched_schedule_name = "auto";

/// Names of all generators, in the order in which help texts list them.
std::vector<std::string> schedule_names();
/// One line on the named schedule, for help texts. Throws spec_error when the name is unknown.
std::string schedule_summary(const std::string& name);

/// Stages per rank of the schedule that is asked for: the request's own number, or what the schedule needs. Throws
/// spec_error when the name is unknown or the schedule cannot use the request's chunks or waves.
std::uint32_t chunks_of(const schedule_request& request);

/// The request without the chunks, group size and waves that the named schedule leaves no choice of. Throws spec_error
/// when the name is unknown.
schedule_request without_unused_options(const schedule_request& request);

/// Builds the named schedule. Throws spec_error naming the rule that the request breaks (unknown name with the nearest
/// known one; zero ranks or microbatches; more than 2^24 stages * microbatches; chunks, group size, waves or a number
/// of microbatches that this schedule cannot use).
schedule generate_schedule(const schedule_request& request);

/// The actions of one rank that evaluates: forward passes only, microbatch by microbatch, its stages ascending.
std::vector<action> evaluation_actions(const schedule& plan, std::uint32_t rank, std::uint32_t microbatches);

} // namespace troupe
