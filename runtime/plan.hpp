// The plan: which layers form which stage, and which rank owns which stage.
#pragma once

#include "model/model_spec.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// Layers [first, last) of the model.
struct layer_range {
  std::int64_t first = 0;
  std::int64_t last = 0;

  std::int64_t size() const { return last - first; }
  friend bool operator==(const layer_range&, const layer_range&) = default;
};

/// Cuts layers of the given costs into `stages` contiguous, non-empty runs so that the most expensive run is as cheap
/// as possible; of several such cuts the one whose early stages are shortest. Throws spec_error when there are more
/// stages than layers.
std::vector<layer_range> balance_layers(const std::vector<double>& costs, std::uint32_t stages);

/// Reads "2,3,1". Throws spec_error unless it has `stages` positive numbers whose sum is `layers`.
std::vector<layer_range> parse_partition(const std::string& text, std::int64_t layers, std::uint32_t stages);

struct plan {
  schedule order;
  schedule_facts facts;
  /// Into how many groups of microbatches, one after the other, a step's gradients are added up; see gradient_groups.
  std::uint32_t gradient_groups = 1;
  std::vector<layer_range> stages; ///< by stage

  std::uint32_t ranks() const { return order.ranks; }
  /// The rank that holds this copy of the stage.
  std::uint32_t rank_of(std::uint32_t stage, std::uint32_t copy) const { return order.placements[copy][stage]; }
  /// Which copy of one of its stages the rank holds.
  std::uint32_t copy_on(std::uint32_t rank, std::uint32_t stage) const { return rank_of(stage, 0) == rank ? 0 : 1; }
  /// The stages of which the rank holds a copy, ascending.
  std::vector<std::uint32_t> stages_of(std::uint32_t rank) const;
};

/// What the spec asks a generator for.
schedule_request to_request(const run_spec& spec);

/// Generates (or reads) and checks the schedule, settles the number of gradient groups, and partitions the model.
/// Throws spec_error.
plan make_plan(const run_spec& spec, const model_family& family);

} // namespace troupe
