// The plan: which layers form which stage, and which rank owns which stage.
#pragma once

#include "runtime/partition.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

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
