// The plan: which layers form which stage, and which rank owns which stage.
#pragma once

#include "runtime/partition.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

struct plan {
  schedule order;
  schedule_facts facts;
  /// Into how many groups of microbatches, one after the other, a step's gradients are added up; see gradient_groups.
  std::uint32_t gradient_groups = 1;
  std::vector<layer_range> stages; ///< by stage
  csv_notes notes;                 ///< of a schedule that came from a file

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

/// Stages a rank of the schedule that the spec asks for; of auto, the least that it may have. Throws spec_error as
/// chunks_of does.
std::uint32_t least_chunks(const run_spec& spec);

/// Of auto: the stages a rank that the spec's chunks or its partition ask for; 0: it may choose.
std::uint32_t searched_chunks(const pipeline_spec& pipeline);

/// Generates (or reads) and checks the schedule, settles the number of gradient groups, and partitions the model. Of
/// auto: searches both by the layers' matrix products, for want of a measurement (see searched_plan.hpp). Throws
/// spec_error.
plan make_plan(const run_spec& spec, const model_family& family);

} // namespace troupe
