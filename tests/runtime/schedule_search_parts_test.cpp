// The parts of the search: plays, times of lists, moves, cuts.
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/generators/generators.hpp"
#include "runtime/schedule/search/improve.hpp"
#include "runtime/schedule/search/list_player.hpp"
#include "runtime/schedule/search/list_timer.hpp"
#include "runtime/schedule/search/stage_cuts.hpp"
#include "tests/support/random_costs.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

using namespace troupe;

namespace {

struct random_pipeline {
  simulation_costs costs;
  pipeline_model model;
};

/// Up to 5 ranks with up to 3 stages each, in a loop or up and down, with little memory or much.
random_pipeline make_pipeline(std::mt19937& random) {
  const schedule_request shape{
      .ranks = test::pick(random, 1, 5), .microbatches = test::pick(random, 1, 8), .chunks = test::pick(random, 1, 3)};
  const auto placement = test::pick(random, 0, 1) == 0 ? loop_placement(shape) : zigzag_placement(shape);
  simulation_costs costs;
  costs.stages = test::random_stage_costs(random, shape.ranks * shape.chunks);
  costs.communication = test::pick(random, 0, 1) == 0 ? 0.0 : 0.5;
  const std::uint32_t limit = shape.chunks * test::pick(random, 1, shape.ranks + 2);
  return {costs, pipeline_model(placement, shape.microbatches, costs, limit)};
}

play_rules random_rules(std::mt19937& random, const pipeline_model& model) {
  play_rules rules{.keys = std::vector<double>(model.passes()), .patience = test::pick(random, 0, 3) / 3.0};
  for (double& key : rules.keys)
    key = test::pick(random, 0, 1000);
  return rules;
}

} // namespace

TEST_CASE("whatever the keys, a play ends, holds no more than the limit, and is canonical") {
  std::mt19937 random(41);
  for (int round = 0; round < 500; ++round) {
    const auto [costs, model] = make_pipeline(random);
    const schedule plan = to_schedule(model, list_player(model).play(random_rules(random, model)), "played");
    const schedule_facts facts = check_schedule(plan);
    REQUIRE(facts.canonical);
    REQUIRE(*std::ranges::max_element(facts.peak_by_rank) <= model.hold_limit());
  }
}

TEST_CASE("a rank that has patience waits for a better pass, one that has none does not") {
  // Two ranks; rank 0 has I of stage 0 on its way while it could start another F.
  simulation_costs costs{{{1.0, 1.0, 1.0}, {1.0, 1.25, 1.0}}};
  const pipeline_model model({0, 1}, 4, costs, 4);
  play_rules rules{.keys = std::vector<double>(model.passes(), 2.0)};
  for (std::uint32_t microbatch = 0; microbatch < 4; ++microbatch)
    for (const std::uint32_t stage : {0U, 1U})
      rules.keys[model.id(stage, operation::backward_input, microbatch)] = 1.0;
  const auto third_of_rank_0 = [&](double patience) {
    rules.patience = patience;
    return list_player(model).play(rules)[0][3];
  };
  // At 3 three F are done, and I of microbatch 0 arrives at 3.25.
  CHECK(model.kind_of(third_of_rank_0(0.0)) == operation::forward);
  CHECK(model.kind_of(third_of_rank_0(0.2)) == operation::forward);
  CHECK(model.kind_of(third_of_rank_0(0.5)) == operation::backward_input);
}

TEST_CASE("the timer of lists agrees with the simulator") {
  std::mt19937 random(42);
  for (int round = 0; round < 300; ++round) {
    const auto [costs, model] = make_pipeline(random);
    const pass_lists lists = list_player(model).play(random_rules(random, model));
    list_timer timer(model);
    const double makespan = timer.run(lists);
    const simulation timing = simulate(to_schedule(model, lists, "played"), costs);
    REQUIRE(makespan == timing.makespan);
    for (std::uint32_t rank = 0; rank < model.ranks(); ++rank) {
      REQUIRE(timer.rank_ends()[rank] == timing.ranks[rank].back().end);
      for (std::size_t at = 0; at < lists[rank].size(); ++at)
        REQUIRE(timer.starts()[lists[rank][at]] == timing.ranks[rank][at].start);
    }
    REQUIRE(makespan >= model.least_makespan() * (1.0 - 1e-12));
  }
}

TEST_CASE("lists that wait for one another for ever take for ever") {
  const pipeline_model model({0, 1}, 1, {{{}}}, 1);
  list_timer timer(model);
  const auto id = [&](std::uint32_t stage, operation kind) { return model.id(stage, kind, 0); };
  const auto list = [&](std::uint32_t stage) {
    return std::vector<pass_id>{id(stage, operation::forward), id(stage, operation::backward_input),
                                id(stage, operation::backward_weight)};
  };
  CHECK(timer.run({list(0), list(1)}) == 5.0);
  CHECK(std::isinf(timer.run(
      {{id(0, operation::backward_input), id(0, operation::forward), id(0, operation::backward_weight)}, list(1)})));
  CHECK(timer.run({list(0), list(1)}) == 5.0);
}

TEST_CASE("a pass that starts as late as it may makes the lists no longer, one that starts later does") {
  std::mt19937 random(43);
  for (int round = 0; round < 60; ++round) {
    const auto [costs, model] = make_pipeline(random);
    const pass_lists lists = list_player(model).play(random_rules(random, model));
    list_timer timer(model);
    const double makespan = timer.run(lists);
    const std::vector<double> starts = timer.starts();
    const std::vector<double> latest = timer.latest_starts(lists, makespan);
    bool some_critical = false;
    for (const std::vector<pass_id>& list : lists)
      for (std::size_t at = 0; at < list.size(); ++at) {
        REQUIRE(latest[list[at]] >= starts[list[at]] - 1e-9);
        some_critical = some_critical || latest[list[at]] < starts[list[at]] + 1e-9;
        const double end = latest[list[at]] + model.duration(list[at]);
        REQUIRE(end <= makespan + 1e-9);
        if (at + 1 < list.size())
          REQUIRE(end <= latest[list[at + 1]] + 1e-9);
      }
    REQUIRE(some_critical);
    for (std::uint32_t stage = 0; stage + 1 < model.stages(); ++stage)
      for (std::uint32_t m = 0; m < model.microbatches(); ++m) {
        const double way = model.transfer(stage);
        REQUIRE(latest[model.id(stage, operation::forward, m)] + model.duration(stage, operation::forward) + way <=
                latest[model.id(stage + 1, operation::forward, m)] + 1e-9);
        REQUIRE(latest[model.id(stage + 1, operation::backward_input, m)] +
                    model.duration(stage + 1, operation::backward_input) + way <=
                latest[model.id(stage, operation::backward_input, m)] + 1e-9);
      }
  }
}

TEST_CASE("the local search never makes lists longer, and keeps order and memory") {
  std::mt19937 random(44);
  int better = 0;
  for (int round = 0; round < 100; ++round) {
    const auto [costs, model] = make_pipeline(random);
    timed_pass_lists best{.lists = list_player(model).play(random_rules(random, model))};
    best.makespan = list_timer(model).run(best.lists);
    for (const bool moves : {false, true}) {
      const double before = best.makespan;
      dice chance(static_cast<std::uint64_t>(round));
      const search_bound bound{.passes = 30'000, .goal = model.least_makespan()};
      moves ? move_passes(model, best, bound, chance) : replay_with_slack(model, best, bound, chance);
      REQUIRE(best.makespan <= before * (1.0 + 1e-9));
      better += best.makespan < before ? 1 : 0;
      const schedule plan = to_schedule(model, best.lists, "better");
      const schedule_facts facts = check_schedule(plan);
      REQUIRE(facts.canonical);
      REQUIRE(*std::ranges::max_element(facts.peak_by_rank) <= model.hold_limit());
      REQUIRE(simulate(plan, costs).makespan == best.makespan);
    }
  }
  CHECK(better > 60); // of 200
}

TEST_CASE("a schedule's B is I and W in the search") {
  const schedule plan = generate_schedule({"1f1b", 2, 2});
  const pipeline_model model(plan.placements.front(), 2, {{{}}}, 2);
  const schedule split = to_schedule(model, to_pass_lists(model, plan), "split");
  std::string text;
  for (const action& one : split.actions[0])
    text += to_string(one) + " ";
  CHECK(text == "0F0 0F1 0I0 0W0 0I1 0W1 ");
}

TEST_CASE("an even cut divides a stage's times and sizes, but not what it sends") {
  const stage_cutter cut = cut_evenly({.costs = {{2, 4, 6, 8}, {1, 1, 1, 1}}, .sizes = {{10, 20, 30}, {1, 1, 1}}}, 2);
  const stage_cut four = cut(4, {});
  CHECK(four.costs == std::vector<stage_cost>{{1, 2, 3, 4}, {1, 2, 3, 4}, {0.5, 0.5, 0.5, 0.5}, {0.5, 0.5, 0.5, 0.5}});
  CHECK(four.sizes == std::vector<stage_size>{{5, 10, 30}, {5, 10, 30}, {0.5, 0.5, 1}, {0.5, 0.5, 1}});
  CHECK(cut(2, {}).costs == std::vector<stage_cost>{{2, 4, 6, 8}, {1, 1, 1, 1}});
  CHECK(cut(3, {}).costs.empty());
  CHECK(cut_evenly({.costs = {stage_cost{}}}, 3)(6, {}).costs == std::vector<stage_cost>(6, {0.5, 0.5, 0.5, 0.0}));
}

TEST_CASE("a cut between layers makes the dearest stage as cheap as it can") {
  const stage_cutter cut = cut_between_layers({{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {3, 4, 2}});
  CHECK(cut(2, {}).costs == std::vector<stage_cost>{{3, 3, 3}, {3, 4, 2}});
  CHECK(cut(4, {}).costs.size() == 4);
  CHECK(cut(5, {}).costs.empty());
}

TEST_CASE("a cut for a placement balances ranks, where one for stages only balances stages") {
  std::vector<stage_cost> layers(12, stage_cost{});
  layers.back() = {6, 6, 6};
  const stage_cutter cut = cut_between_layers(layers);
  const auto sizes = [](const stage_cut& one) {
    std::vector<std::int64_t> counts;
    for (const layer_range& range : one.layers)
      counts.push_back(range.size());
    return counts;
  };
  CHECK(sizes(cut(4, {})) == std::vector<std::int64_t>{1, 4, 6, 1});
  // In a V the first rank has the head: 1 + 6 is its work, 4 + 6 the other's.
  const stage_cut by_rank = cut(4, {0, 1, 1, 0});
  CHECK(std::abs(by_rank.costs[0].forward + by_rank.costs[3].forward - 8.5) == 0.5);
  CHECK(sizes(by_rank).back() == 1);
  CHECK(by_rank.layers.front().first == 0);
  CHECK(by_rank.layers.back().last == 12);
  for (std::size_t stage = 0; stage + 1 < 4; ++stage)
    CHECK(by_rank.layers[stage].last == by_rank.layers[stage + 1].first);
}
