// A schedule is data: for each rank, the list of actions it runs in one step, in order.
#pragma once

#include "runtime/schedule/action.hpp"

#include <cstdint>
#include <optional>
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

/// What makes a schedule asynchronous: its steps run into one another without a flush, and a stage updates its weights
/// while microbatches that saw older ones are still in flight. Microbatches are counted over the whole run here: number
/// i of step t (from 0) is k = t * m + i. F and B of microbatch k use the weights after weights_version(k) updates.
struct asynchrony {
  std::uint32_t update_every = 1;   ///< u: a stage updates after every u-th microbatch's gradient; divides m
  std::vector<std::uint32_t> lag;   ///< by stage, in microbatches; see weights_version in asynchronous.hpp
  std::vector<std::uint32_t> ahead; ///< by rank: forward passes of a step that run before the end of the step before

  friend bool operator==(const asynchrony&, const asynchrony&) = default;
};

/// Microbatches [first, last) of a step.
struct microbatch_range {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

/// A step's microbatches form as many contiguous groups of equal size as there are copies of the model's weights: one
/// copy, or two for schedules that feed the pipeline from both ends. Group k runs through copy k, so an action needs no
/// word about the copy: its microbatch tells.
struct schedule {
  std::string name;
  std::uint32_t ranks = 0;
  std::uint32_t microbatches = 0;
  std::vector<std::vector<std::uint32_t>> placements; ///< by copy: the rank of each stage
  std::vector<std::vector<action>> actions;           ///< by rank
  /// By rank: places in its list, ascending, whose action and the next one are meant to overlap: F of one stage, and
  /// the backward pass of another stage. They run one after the other here. Empty when there is no such pair at all.
  std::vector<std::vector<std::uint32_t>> overlapped;
  /// Present when the schedule is asynchronous. Then `actions` is one step between two flushes, and asynchronous.hpp
  /// joins such steps.
  std::optional<asynchrony> asynchronous;

  std::uint32_t copies() const { return static_cast<std::uint32_t>(placements.size()); }
  std::uint32_t stages() const {
    return placements.empty() ? 0 : static_cast<std::uint32_t>(placements.front().size());
  }
  /// Microbatches that run through one copy.
  std::uint32_t group_size() const { return copies() == 0 ? 0 : microbatches / copies(); }
  std::uint32_t copy_of(std::uint32_t microbatch) const { return copies() == 1 ? 0 : microbatch / group_size(); }
  /// The rank on which `stage` works on `microbatch`.
  std::uint32_t rank_of(std::uint32_t stage, std::uint32_t microbatch) const {
    return placements[copy_of(microbatch)][stage];
  }
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

/// The actions of one rank that evaluates: forward passes through copy 0 only, microbatch by microbatch, its stages
/// ascending.
std::vector<action> evaluation_actions(const schedule& plan, std::uint32_t rank, std::uint32_t microbatches);

} // namespace troupe
