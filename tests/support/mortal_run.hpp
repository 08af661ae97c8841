// A run that restarts what dies, for tests of what a death or a loss costs.
#pragma once

#include "runtime/one_thread_trainer.hpp"
#include "runtime/plan.hpp"
#include "runtime/reference_trainer.hpp"
#include "runtime/report.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace troupe::test {

/// p = 3 (or what the schedule needs), m = 4, 3 steps, with a validation between two of them.
inline run_spec mortal_spec(const std::string& schedule) {
  run_spec spec = tiny_spec();
  spec.model.dropout = 0.1;
  spec.pipeline.stages = schedule == "interleaved-1f1b" || schedule == "zb-v" ? 2 : 3;
  if (schedule == "dualpipe") {
    spec.pipeline.stages = 4;
    spec.training.microbatches = 8;
    spec.training.gradient_groups = 2;
  }
  spec.pipeline.schedule = schedule;
  spec.faults.max_restarts = 100;
  const bool asynchronous = schedule.starts_with("pipedream");
  spec.optimizer.clip = asynchronous ? 0.0 : 0.05;
  spec.model.tied_head = !asynchronous;
  return spec;
}

/// Of the run in which nothing happens.
inline run_report expected_of(run_spec spec, const data_source& data) {
  spec.faults.chaos.clear();
  spec.checkpoint = {};
  return spec.pipeline.schedule.starts_with("pipedream") ? run_one_thread(spec, data, {})
                                                         : run_reference(spec, data, {});
}

/// How many events the run has in which nothing happens.
inline std::uint64_t events_of(const run_spec& spec, const data_source& data, std::uint64_t seed) {
  unruly_run run(spec, data, {}, seed);
  run.play();
  return run.events();
}

/// Forward passes of a rank that does everything once.
inline std::uint64_t passes_of(const run_spec& spec, std::uint32_t rank) {
  const plan pipeline = make_plan(spec, find_family(spec.model.family));
  const auto is_forward = [](const action& one) { return one.op == operation::forward; };
  const std::vector<action>& list = pipeline.order.actions[rank];
  const auto training = static_cast<std::uint64_t>(std::ranges::count_if(list, is_forward));
  const std::vector<action> validation = evaluation_actions(pipeline.order, rank, spec.validation.microbatches);
  return training * spec.training.steps + validation.size() * (spec.training.steps / spec.validation.every);
}

inline void check_survivors(const run_spec& spec, const run_report& report, const std::set<std::uint32_t>& dead) {
  for (const rank_report& rank : report.ranks)
    if (!dead.contains(rank.rank)) {
      INFO("rank " << rank.rank);
      CHECK(rank.usage.forward_passes == passes_of(spec, rank.rank));
      CHECK(rank.usage.replayed_passes == 0);
    }
}

inline void check_finished(const outcome& seen, const run_report& expected) {
  INFO((seen.failure ? seen.failure->text : "no failure"));
  REQUIRE_FALSE(seen.failure);
  REQUIRE(seen.report);
  check_same_result(*seen.report, expected);
}

} // namespace troupe::test
