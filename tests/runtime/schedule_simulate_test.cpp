#include "runtime/schedule/check.hpp"
#include "runtime/schedule/simulate.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

using namespace troupe;

namespace {

using end_times = std::map<action, double>;

double duration(const action& one, const simulation_costs& costs) {
  const stage_cost& cost = costs.stages.size() == 1 ? costs.stages[0] : costs.stages[one.stage];
  if (one.op == operation::forward)
    return cost.forward;
  if (one.op == operation::backward_input)
    return cost.backward_input;
  if (one.op == operation::backward_weight)
    return cost.backward_weight;
  return cost.backward_input + cost.backward_weight;
}

/// When all that `one` needs is at `rank`, or nothing while some of it has no end yet.
std::optional<double> arrival(const schedule& plan, const action& one, std::uint32_t rank, double communication,
                              const end_times& ends) {
  double latest = 0.0;
  for (const std::vector<action>& forms : test::needs_of(one, plan.stages())) {
    const auto done = std::find_if(forms.begin(), forms.end(), [&](const action& form) { return ends.contains(form); });
    if (done == forms.end())
      return std::nullopt;
    const double way = plan.rank_of(done->stage, done->microbatch) == rank ? 0.0 : communication;
    latest = std::max(latest, ends.at(*done) + way);
  }
  return latest;
}

/// All ends start at infinity's opposite, 0, and rise until every action ends as late as what it waits for demands.
end_times relax(const schedule& plan, const simulation_costs& costs) {
  end_times ends;
  for (const auto& list : plan.actions)
    for (const action& one : list)
      ends[one] = 0.0;
  bool moved = true;
  while (std::exchange(moved, false))
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
      double free = 0.0;
      for (const action& one : plan.actions[rank]) {
        const double start = std::max(free, arrival(plan, one, rank, costs.communication, ends).value());
        free = start + duration(one, costs);
        moved = moved || ends[one] != free;
        ends[one] = free;
      }
    }
  return ends;
}

/// Lists on a few processors, one decision at a time: of all ranks whose next action can be dated, the one that is
/// ready first takes the processor that is free first. Any other rank becomes ready later, as it waits for one of
/// these.
end_times serve_in_order(const schedule& plan, const simulation_costs& costs) {
  end_times ends;
  std::vector<std::size_t> next(plan.ranks, 0);
  std::vector<double> rank_free(plan.ranks, 0.0);
  std::vector<double> processor_free(costs.processors, 0.0);
  while (true) {
    double first = std::numeric_limits<double>::infinity();
    std::uint32_t chosen = plan.ranks;
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
      if (next[rank] == plan.actions[rank].size())
        continue;
      const auto input = arrival(plan, plan.actions[rank][next[rank]], rank, costs.communication, ends);
      if (input && std::max(*input, rank_free[rank]) < first) {
        first = std::max(*input, rank_free[rank]);
        chosen = rank;
      }
    }
    if (chosen == plan.ranks)
      return ends;
    const action one = plan.actions[chosen][next[chosen]++];
    double& processor = *std::min_element(processor_free.begin(), processor_free.end());
    processor = rank_free[chosen] = ends[one] = std::max(first, processor) + duration(one, costs);
  }
}

end_times ends_of(const simulation& timing) {
  end_times ends;
  for (const auto& ran : timing.ranks)
    for (const timed_action& one : ran)
      ends[one.what] = one.end;
  return ends;
}

/// Half of the time whole numbers, which make many events fall on the same instant.
simulation_costs random_costs(std::mt19937& random, std::uint32_t stages) {
  std::uniform_real_distribution<double> real(0.1, 2.0);
  const bool whole = test::pick(random, 0, 1) == 0;
  const auto time = [&] { return whole ? test::pick(random, 1, 3) : real(random); };
  simulation_costs costs;
  for (std::uint32_t stage = 0; stage < stages; ++stage)
    costs.stages.push_back({time(), time(), time()});
  costs.communication = test::pick(random, 0, 1) == 0 ? 0.0 : time();
  return costs;
}

simulation run(const char* name, std::uint32_t p, std::uint32_t m, const simulation_costs& costs) {
  return simulate(generate_schedule({name, p, m, 1}), costs);
}

} // namespace

TEST_CASE("gpipe and 1f1b lose p - 1 forward and backward passes to the bubble") {
  const simulation_costs costs{{{.forward = 1.0, .backward_input = 1.25, .backward_weight = 0.75}}};
  for (std::uint32_t p = 1; p <= 8; ++p)
    for (std::uint32_t m = 1; m <= 16; ++m)
      for (const char* name : {"gpipe", "1f1b"}) {
        CAPTURE(name, p, m);
        const simulation timing = run(name, p, m, costs);
        CHECK(timing.makespan == 3.0 * (m + p - 1));
        CHECK(timing.bubble_fraction == Approx((p - 1.0) / (m + p - 1.0)).margin(1e-12));
        CHECK(timing.busy == std::vector<double>(p, 3.0 * m));
      }
}

TEST_CASE("naive keeps one rank busy at a time") {
  const simulation_costs costs{{{.forward = 1.0, .backward_input = 1.0, .backward_weight = 1.0}}, 0.5};
  for (std::uint32_t p = 1; p <= 6; ++p)
    for (std::uint32_t m = 1; m <= 5; ++m) {
      CAPTURE(p, m);
      CHECK(run("naive", p, m, costs).makespan == m * (3.0 * p + 2.0 * 0.5 * (p - 1)));
      CHECK(run("naive", p, m, {{{}}}).bubble_fraction == Approx((p - 1.0) / p).margin(1e-12));
    }
}

TEST_CASE("a simulation states start and end of each action, spans and peaks") {
  const simulation timing = run("1f1b", 2, 2, {{{}}});
  REQUIRE(timing.ranks.size() == 2);
  const auto starts = [&](std::size_t rank) {
    std::vector<double> times;
    for (const timed_action& one : timing.ranks[rank])
      times.push_back(one.start);
    return times;
  };
  CHECK(starts(0) == std::vector<double>{0, 1, 4, 7}); // 0F0 0F1 0B0 0B1
  CHECK(starts(1) == std::vector<double>{1, 2, 4, 5}); // 1F0 1B0 1F1 1B1
  CHECK(timing.makespan == 9.0);
  CHECK(timing.span == std::vector<double>{9.0, 6.0});
  CHECK(timing.busy == std::vector<double>{6.0, 6.0});
  CHECK(timing.bubble_fraction == Approx(1.0 - 12.0 / 18.0));
  CHECK(timing.peak_stash == std::vector<std::uint32_t>{2, 1});
}

TEST_CASE("sending takes time between ranks, none between stages of one rank") {
  schedule plan;
  plan.ranks = 2;
  plan.microbatches = 1;
  plan.placements = {{0, 0, 1}};
  plan.actions = {{{0, operation::forward, 0},
                   {1, operation::forward, 0},
                   {1, operation::backward, 0},
                   {0, operation::backward, 0}},
                  {{2, operation::forward, 0}, {2, operation::backward, 0}}};
  check_schedule(plan);
  CHECK(simulate(plan, {{{}}, 0.0}).makespan == 9.0);
  CHECK(simulate(plan, {{{}}, 10.0}).makespan == 29.0);
}

TEST_CASE("times of zero are allowed") {
  const simulation timing = run("1f1b", 3, 4, {{{0.0, 0.0, 0.0}}});
  CHECK(timing.makespan == 0.0);
  CHECK(timing.bubble_fraction == 0.0);
}

TEST_CASE("the simulator agrees with relaxation to a fixed point on random schedules and times") {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    const schedule plan = test::random_schedule(random);
    const simulation_costs costs = random_costs(random, plan.stages());
    const simulation timing = simulate(plan, costs);
    const end_times expected = relax(plan, costs);
    REQUIRE(ends_of(timing) == expected);
    const schedule_facts facts = check_schedule(plan);
    REQUIRE(timing.peak_stash == facts.peak_by_rank);
  }
}

TEST_CASE("with few processors ranks are served in the order in which they are ready") {
  std::mt19937 random(12);
  for (int round = 0; round < 500; ++round) {
    const schedule plan = test::random_schedule(random);
    simulation_costs costs = random_costs(random, plan.stages());
    costs.processors = test::pick(random, 1, plan.ranks + 1);
    REQUIRE(ends_of(simulate(plan, costs)) == serve_in_order(plan, costs));
  }
}

TEST_CASE("ranks that are ready at the same time are served in the order of their numbers") {
  schedule plan;
  plan.ranks = 2;
  plan.microbatches = 1;
  plan.placements = {{1, 0}}; // the first stage is on the second rank
  plan.actions = {{{1, operation::forward, 0}, {1, operation::backward_input, 0}, {1, operation::backward_weight, 0}},
                  {{0, operation::forward, 0}, {0, operation::backward, 0}}};
  simulation_costs costs{{{}}};
  costs.processors = 1;
  const simulation timing = simulate(plan, costs);
  CHECK(timing.ranks[0][2].start == 3.0); // 1W0, ready together with 0B0
  CHECK(timing.ranks[1][1].start == 4.0);
}

TEST_CASE("one processor takes the sum of all work, as many as ranks take what unlimited ones take") {
  std::mt19937 random(13);
  for (int round = 0; round < 200; ++round) {
    const schedule plan = test::random_schedule(random);
    simulation_costs costs = random_costs(random, plan.stages());
    const simulation unlimited = simulate(plan, costs);
    costs.processors = plan.ranks + test::pick(random, 0, 2);
    REQUIRE(ends_of(simulate(plan, costs)) == ends_of(unlimited));
    costs.processors = 1;
    costs.communication = 0.0;
    const simulation single = simulate(plan, costs);
    const double work = std::accumulate(single.busy.begin(), single.busy.end(), 0.0);
    REQUIRE(single.makespan == Approx(work));
  }
}
