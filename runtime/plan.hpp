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
  std::vector<layer_range> stages; ///< by stage

  std::uint32_t ranks() const { return order.ranks; }
  std::uint32_t rank_of(std::uint32_t stage) const { return order.rank_of_stage[stage]; }
  std::vector<std::uint32_t> stages_of(std::uint32_t rank) const;
};

/// What the spec asks a generator for.
schedule_request to_request(const run_spec& spec);

/// Generates (or reads) and checks the schedule, and partitions the model. Throws spec_error.
plan make_plan(const run_spec& spec, const model_family& family);

} // namespace troupe
