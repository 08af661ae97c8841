#include "model/error.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/simulate.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/refused_schedule.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

schedule make(const std::string& name, std::uint32_t ranks, std::uint32_t microbatches) {
  return generate_schedule({.name = name, .ranks = ranks, .microbatches = microbatches});
}

/// By microbatch of the joined list: how many backward passes the rank has run before its forward pass.
std::vector<std::uint64_t> done_before_forward(const std::vector<action>& list) {
  std::map<std::uint32_t, std::uint64_t> seen;
  std::uint64_t done = 0;
  for (const action& one : list) {
    if (one.op == operation::forward)
      seen[one.microbatch] = done;
    else
      ++done;
  }
  std::vector<std::uint64_t> result;
  for (const auto& [microbatch, count] : seen)
    result.push_back(count);
  return result;
}

constexpr std::uint32_t steps = 3;

/// Calls `check` with (ranks, microbatches) that the asynchronous schedules can use.
void for_sizes(const std::function<void(std::uint32_t, std::uint32_t)>& check) {
  for (std::uint32_t ranks = 1; ranks <= 8; ++ranks)
    for (const std::uint32_t microbatches : {ranks, ranks + 1, 2 * ranks + 1, 4 * ranks}) {
      INFO(ranks << " ranks, " << microbatches << " microbatches");
      check(ranks, microbatches);
    }
}

} // namespace

TEST_CASE("in pipedream a microbatch sees the newest weights that its stage has when it comes by", "[schedule]") {
  for_sizes([](std::uint32_t ranks, std::uint32_t microbatches) {
    const schedule plan = make("pipedream", ranks, microbatches);
    const schedule joined = unrolled(plan, steps);
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      const std::vector<std::uint64_t> newest = done_before_forward(joined.actions[rank]);
      // After the last step there is a flush; the forward passes before it see what they would see without it.
      for (std::uint32_t k = 0; k < newest.size(); ++k)
        CHECK(weights_version(*plan.asynchronous, rank, k) == newest[k]);
    }
  });
}

TEST_CASE("with vertical sync a microbatch sees the version that the first stage had when it came in", "[schedule]") {
  for_sizes([](std::uint32_t ranks, std::uint32_t microbatches) {
    const schedule plan = make("pipedream-vertical-sync", ranks, microbatches);
    const std::vector<std::uint64_t> at_admission = done_before_forward(unrolled(plan, steps).actions[0]);
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      for (std::uint32_t k = 0; k < at_admission.size(); ++k)
        CHECK(weights_version(*plan.asynchronous, rank, k) == at_admission[k]);
  });
}

TEST_CASE("in 2bw all microbatches of step t see the weights after t - 1 updates", "[schedule]") {
  for_sizes([](std::uint32_t ranks, std::uint32_t microbatches) {
    const schedule plan = make("pipedream-2bw", ranks, microbatches);
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      for (std::uint64_t k = 0; k < std::uint64_t{5} * microbatches; ++k)
        CHECK(weights_version(*plan.asynchronous, rank, k) == (k < microbatches ? 0 : k / microbatches - 1));
  });
}

TEST_CASE("pipedream holds p - rank versions, with vertical sync p, and 2bw two", "[schedule]") {
  for_sizes([](std::uint32_t ranks, std::uint32_t microbatches) {
    const schedule_facts stashing = check_schedule(make("pipedream", ranks, microbatches));
    const schedule_facts sync = check_schedule(make("pipedream-vertical-sync", ranks, microbatches));
    const schedule_facts two = check_schedule(make("pipedream-2bw", ranks, microbatches));
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
      CHECK(stashing.versions_by_rank[rank] == ranks - rank);
      CHECK(sync.versions_by_rank[rank] == ranks);
      CHECK(two.versions_by_rank[rank] == 2);
      CHECK(stashing.peak_by_rank[rank] == ranks - rank);
    }
    CHECK_FALSE(two.canonical);
  });
}

TEST_CASE("joined steps of an asynchronous schedule leave no rank idle, where passes take the same time",
          "[schedule]") {
  for_sizes([](std::uint32_t ranks, std::uint32_t microbatches) {
    const steady_step steady = simulate_steady_step(make("pipedream-2bw", ranks, microbatches), {{{2.0, 1.0, 3.0}}});
    CHECK(steady.seconds == Approx(6.0 * microbatches));
    CHECK(steady.bubble_fraction == Approx(0.0).margin(1e-12));
  });
}

TEST_CASE("a synchronous schedule's steady step is its makespan", "[schedule]") {
  const schedule plan = make("1f1b", 4, 8);
  const simulation_costs costs{{{1.0, 1.0, 1.0}}};
  CHECK(simulate_steady_step(plan, costs).seconds == simulate(plan, costs).makespan);
  CHECK(simulate_steady_step(plan, costs).bubble_fraction == simulate(plan, costs).bubble_fraction);
}

TEST_CASE("a step that carries on interleaves the next one's first forward passes", "[schedule]") {
  const schedule plan = make("pipedream-2bw", 3, 3);
  const auto text = [&](step_start start, step_end end) {
    std::string all;
    for (const action& one : step_actions(plan, 0, start, end))
      all += to_string(one) + " ";
    return all;
  };
  CHECK(text(step_start::afresh, step_end::flush) == "0F0 0F1 0F2 0B0 0B1 0B2 ");
  CHECK(text(step_start::afresh, step_end::carry_on) == "0F0 0F1 0F2 0B0 0F3 0B1 0F4 0B2 ");
  CHECK(text(step_start::continued, step_end::carry_on) == "0F2 0B0 0F3 0B1 0F4 0B2 ");
  CHECK(text(step_start::continued, step_end::flush) == "0F2 0B0 0B1 0B2 ");
}

TEST_CASE("an asynchronous schedule with fewer microbatches than ranks is refused with the rule", "[schedule]") {
  CHECK(
      error_text<spec_error>([] { make("pipedream", 4, 3); }) ==
      "schedule 'pipedream': found 3 microbatches, expected at least 4, one a rank, so that no rank runs further ahead "
      "than into the next step");
}

TEST_CASE("weights that a microbatch needs before they exist are refused with rank, action and versions",
          "[schedule]") {
  schedule plan = make("pipedream", 3, 4);
  plan.asynchronous->lag[1] = 0;
  CHECK(check_error(plan) == "schedule 'pipedream': rank 1 runs 1F1 (of all steps), which needs the weights after 1 "
                             "updates, found 0 done by then");
  plan = make("pipedream-2bw", 3, 4);
  plan.asynchronous->lag.assign(3, 1);
  CHECK(check_error(plan) ==
        "schedule 'pipedream-2bw': rank 0 runs 0F5 (of all steps), which needs the weights after 1 "
        "updates, found 0 done by then");
}

TEST_CASE("gradients out of order are refused where updates cannot wait", "[schedule]") {
  schedule plan = make("pipedream", 1, 3);
  for (action& one : plan.actions[0]) // 0 1 2 becomes 1 0 2
    one.microbatch = one.microbatch == 2 ? 2 : 1 - one.microbatch;
  plan.asynchronous->lag = {1};
  CHECK(check_error(plan) ==
        "schedule 'pipedream': rank 0 runs 0B1 (of all steps), expected microbatch 0 to be the next "
        "whose gradient is added, as updates cannot wait");
}

TEST_CASE("an asynchronous rule that does not fit its lists is refused", "[schedule]") {
  schedule plan = make("pipedream", 3, 4);
  const auto with = [&](const std::function<void(asynchrony&)>& change) {
    schedule changed = plan;
    change(*changed.asynchronous);
    return check_error(changed);
  };
  CHECK(with([](asynchrony& rule) { rule.lag.pop_back(); }) ==
        "schedule 'pipedream': lag: found 2 numbers, expected 3");
  CHECK(with([](asynchrony& rule) { rule.ahead.push_back(0); }) ==
        "schedule 'pipedream': ahead: found 4 numbers, expected 3");
  CHECK(with([](asynchrony& rule) { rule.update_every = 3; }) ==
        "schedule 'pipedream': update_every: found 3, expected a divisor of the step's 4 microbatches");
  CHECK(with([](asynchrony& rule) { rule.ahead[1] = 4; }) ==
        "schedule 'pipedream': rank 1 runs 4 forward passes ahead, expected fewer than the step's 4 microbatches");
  CHECK(with([](asynchrony& rule) { rule.ahead[2] = 2; }) ==
        "schedule 'pipedream': rank 2 has 2B0 among its first 2 actions, expected forward passes, which run ahead");
  plan = make("pipedream", 1, 3);
  std::vector<action>& only = plan.actions[0]; // F0 B0 F1 B1 F2 B2 becomes F0 F1 B0 B1 F2 B2
  std::swap(only[1], only[2]);
  plan.asynchronous->ahead[0] = 2;
  CHECK(check_error(plan) == "schedule 'pipedream': rank 0 has 0F2 among its last 2 actions, expected backward passes");
}

TEST_CASE("an asynchronous schedule keeps its rule in a CSV file", "[schedule]") {
  for (const std::string name : {"pipedream", "pipedream-vertical-sync", "pipedream-2bw"}) {
    const schedule plan = make(name, 3, 5);
    const schedule read = parse_csv(to_csv(plan), name);
    CHECK(read == plan);
  }
}

TEST_CASE("a comment in a CSV file that is not an asynchronous rule is refused", "[schedule]") {
  for (const std::string line :
       {"# hello", "#asynchronous", "#asynchronous update_every=1/2 lag=0 ahead=0",
        "#asynchronous update_every=1 lag=0", "#asynchronous update_every=1 lag=0/ ahead=0",
        "#asynchronous update_every=1 lag=0 ahead=0 x", "#asynchronous update_every=-1 lag=0 ahead=0",
        "#asynchronous update_every=99999999999 lag=0 ahead=0"})
    CHECK(error_text<spec_error>([&] { parse_csv(line + "\n0F0,0B0\n", "x.csv"); }) ==
          "x.csv: line 1: found a comment, expected '#asynchronous update_every=U lag=K/K/.. ahead=N/N/..' with a lag "
          "for each stage and an ahead for each rank, or none");
}
