// What the simulator knows besides the times of passes: links, the optimizer, memory.
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/simulate.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <utility>

using namespace troupe;

namespace {

constexpr operation forward = operation::forward;
constexpr operation backward = operation::backward;

/// Two ranks with a stage each; rank 0 sends three results in a row.
schedule two_by_three() {
  schedule plan;
  plan.ranks = 2;
  plan.microbatches = 3;
  plan.placements = {{0, 1}};
  plan.actions = {
      {{0, forward, 0}, {0, forward, 1}, {0, forward, 2}, {0, backward, 0}, {0, backward, 1}, {0, backward, 2}},
      {{1, forward, 0}, {1, forward, 1}, {1, forward, 2}, {1, backward, 0}, {1, backward, 1}, {1, backward, 2}}};
  check_schedule(plan);
  return plan;
}

/// Start times by rank.
std::vector<std::vector<double>> starts_of(const simulation& timing) {
  std::vector<std::vector<double>> starts;
  for (const auto& ran : timing.ranks) {
    starts.emplace_back();
    for (const timed_action& one : ran)
      starts.back().push_back(one.start);
  }
  return starts;
}

/// The sender's stage to the receiver's and the microbatch, which names a result.
using result_name = std::pair<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t>;

/// From which stage to which `one` sends, if it does.
std::optional<std::pair<std::uint32_t, std::uint32_t>> way_of(const action& one, std::uint32_t stages) {
  if (one.op == operation::backward_weight)
    return std::nullopt;
  if (one.op == operation::forward)
    return one.stage + 1 < stages ? std::optional(std::pair{one.stage, one.stage + 1}) : std::nullopt;
  return one.stage > 0 ? std::optional(std::pair{one.stage, one.stage - 1}) : std::nullopt;
}

/// Sends all results of all lists again and again, each time from the ends that the last round found, until nothing
/// moves.
std::map<action, double> relax_with_links(const schedule& plan, const simulation_costs& costs) {
  std::map<action, double> ends;
  std::map<result_name, double> arrivals;
  bool moved = true;
  while (std::exchange(moved, false))
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
      double now = 0.0;
      std::vector<double> link_free(plan.ranks, 0.0);
      for (const action& one : plan.actions[rank]) {
        const auto [stage, op, microbatch] = one;
        if (op == operation::forward && stage > 0)
          now = std::max(now, arrivals[{{stage - 1, stage}, microbatch}]);
        if ((op == backward || op == operation::backward_input) && stage + 1 < plan.stages())
          now = std::max(now, arrivals[{{stage + 1, stage}, microbatch}]);
        const stage_cost& cost = costs.stages[stage];
        now += op == forward                      ? cost.forward
               : op == operation::backward_input  ? cost.backward_input
               : op == operation::backward_weight ? cost.backward_weight
                                                  : cost.backward_input + cost.backward_weight;
        moved = moved || !ends.contains(one) || ends[one] != now;
        ends[one] = now;
        const auto way = way_of(one, plan.stages());
        if (!way)
          continue;
        const std::uint32_t receiver = plan.rank_of(way->second, microbatch);
        double there = now;
        if (receiver != rank) {
          const link_cost& link = costs.links[rank * plan.ranks + receiver];
          const double size = costs.sizes[std::min(way->first, way->second)].output;
          if (link.bandwidth > 0.0) {
            link_free[receiver] = std::max(now, link_free[receiver]) + size / link.bandwidth;
            there = link_free[receiver];
          }
          there += link.latency;
        }
        moved = moved || arrivals[{*way, microbatch}] != there;
        arrivals[{*way, microbatch}] = there;
      }
    }
  return ends;
}

} // namespace

TEST_CASE("a link carries one result at a time, in each direction of its own") {
  simulation_costs costs{{{}}};
  costs.communication = 0.5;
  costs.bandwidth = 2.0;
  costs.sizes = {{.output = 6.0}}; // 3 on the link, where a forward pass takes 1
  const simulation timing = simulate(two_by_three(), costs);
  // Forward: made at 1 2 3, on the link from 1 4 7 to 4 7 10. Backward: made at 13.5 15.5 17.5, there at 17 20 23.
  CHECK(starts_of(timing) ==
        std::vector<std::vector<double>>{{0, 1, 2, 17, 20, 23}, {4.5, 7.5, 10.5, 11.5, 13.5, 15.5}});
  CHECK(timing.makespan == 25.0);
}

TEST_CASE("links may differ by direction, and sizes by stage") {
  simulation_costs costs{{{}}};
  costs.links.resize(4);
  costs.links[0 * 2 + 1] = {.latency = 1.0, .bandwidth = 0.0};
  costs.links[1 * 2 + 0] = {.latency = 0.0, .bandwidth = 4.0};
  costs.sizes = {{.output = 20.0}, {.output = 1000.0}}; // nobody takes what the last stage puts out
  const simulation timing = simulate(two_by_three(), costs);
  CHECK(starts_of(timing) == std::vector<std::vector<double>>{{0, 1, 2, 12, 17, 22}, {2, 3, 4, 5, 7, 9}});
}

TEST_CASE("without sizes a bandwidth costs nothing") {
  simulation_costs costs{{{}}, 0.5};
  const double expected = simulate(two_by_three(), costs).makespan;
  costs.bandwidth = 0.001;
  CHECK(simulate(two_by_three(), costs).makespan == expected);
}

TEST_CASE("links agree with relaxation to a fixed point on random schedules, with processors for all ranks or not") {
  std::mt19937 random(21);
  std::uniform_real_distribution<double> real(0.1, 2.0);
  for (int round = 0; round < 300; ++round) {
    const schedule plan = test::random_schedule(random);
    simulation_costs costs;
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage) {
      costs.stages.push_back({real(random), real(random), real(random)});
      costs.sizes.push_back({.output = real(random)});
    }
    for (std::uint32_t link = 0; link < plan.ranks * plan.ranks; ++link)
      costs.links.push_back({real(random), test::pick(random, 0, 2) == 0 ? 0.0 : real(random)});
    const std::map<action, double> expected = relax_with_links(plan, costs);
    for (const std::uint32_t processors : {0U, plan.ranks}) {
      costs.processors = processors;
      std::map<action, double> found;
      for (const auto& ran : simulate(plan, costs).ranks)
        for (const timed_action& one : ran)
          found[one.what] = one.end;
      REQUIRE(found == expected);
    }
  }
}

TEST_CASE("a step takes the makespan and the slowest rank's optimizer") {
  simulation_costs costs{{{.optimizer = 0.25}}};
  CHECK(simulate(generate_schedule({"1f1b", 4, 4, 1}), costs).step_time == 21.25);
  CHECK(simulate(generate_schedule({"zb-v", 2, 5}), costs).step_time == 31.5); // two stages a rank
  costs.stages = {{.optimizer = 1.0}, {.optimizer = 2.0}, {.optimizer = 0.5}, {.optimizer = 0.25}};
  const simulation timing = simulate(generate_schedule({"zb-v", 2, 5}), costs);
  CHECK(timing.step_time == 33.5); // ranks: 1 + 0.25, 2 + 0.5
  CHECK(timing.makespan == 31.0);
  CHECK(timing.bubble_fraction == Approx(1.0 / 31.0));
}

TEST_CASE("memory is a rank's weights and the most that its stashes add up to") {
  simulation_costs costs{{{}}};
  costs.sizes = {{.weights = 100.0, .stash = 10.0}};
  for (const char* name : {"gpipe", "1f1b", "zb-v", "v-half"})
    for (std::uint32_t p = 1; p <= 5; ++p)
      for (std::uint32_t m = 1; m <= 12; ++m) {
        CAPTURE(name, p, m);
        const schedule plan = generate_schedule({name, p, m});
        const std::uint32_t chunks = plan.stages() / p;
        const schedule_facts facts = check_schedule(plan);
        const simulation timing = simulate(plan, costs);
        for (std::uint32_t rank = 0; rank < p; ++rank)
          CHECK(timing.peak_size[rank] == 100.0 * chunks + 10.0 * facts.peak_by_rank[rank]);
      }
  // 0F0 0F1 3F0 3B0 ...: stage 0 is small and stage 3 is large.
  schedule plan;
  plan.ranks = 1;
  plan.microbatches = 2;
  plan.placements = {{0, 0}};
  plan.actions = {{{0, forward, 0},
                   {0, forward, 1},
                   {1, forward, 0},
                   {1, backward, 0},
                   {1, forward, 1},
                   {0, backward, 0},
                   {1, backward, 1},
                   {0, backward, 1}}};
  costs.sizes = {{.weights = 1.0, .stash = 2.0}, {.weights = 5.0, .stash = 30.0}};
  CHECK(simulate(plan, costs).peak_size == std::vector<double>{6.0 + 34.0});
  costs.sizes.clear();
  CHECK(simulate(plan, costs).peak_size == std::vector<double>{0.0});
}
