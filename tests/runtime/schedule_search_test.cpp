// What schedule auto promises: never worse than the published schedules that fit the memory, and better where stages
// differ.
#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/search/search.hpp"
#include "tests/support/random_costs.hpp"
#include "tests/support/random_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

using namespace troupe;

namespace {

/// As many stages as ranks, which take `costs`.
search_request request_of(std::vector<stage_cost> costs, std::uint32_t ranks, std::uint32_t microbatches) {
  return {
      .ranks = ranks, .microbatches = microbatches, .cut = cut_evenly({.costs = std::move(costs)}, ranks), .costs = {}};
}

search_request even_request(std::uint32_t ranks, std::uint32_t microbatches, std::uint32_t chunks = 0) {
  search_request request = request_of({stage_cost{}}, ranks, microbatches);
  request.chunks = chunks;
  return request;
}

/// Little enough for hundreds of searches in a test.
constexpr search_effort small = {.plays = 20'000, .replays = 10'000, .moves = 100'000};

simulation_costs costs_for(const search_request& request, std::uint32_t chunks) {
  simulation_costs costs = request.costs;
  costs.stages = request.cut(request.ranks * chunks, {}).costs;
  return costs;
}

std::uint32_t peak_of(const schedule& plan) {
  const schedule_facts facts = check_schedule(plan);
  return *std::ranges::max_element(facts.peak_by_rank);
}

/// The shortest step of all generators' synchronous one-copy schedules with 1, 2 or 4 stages a rank that fit; infinity
/// where none does.
double best_generated(const search_request& request, std::uint32_t limit) {
  double best = std::numeric_limits<double>::infinity();
  for (const std::string& name : schedule_names())
    for (const std::uint32_t chunks : {1U, 2U, 4U})
      for (const std::uint32_t waves : {1U, 2U})
        try {
          const schedule plan = generate_schedule({name, request.ranks, request.microbatches, chunks, 0, waves});
          if (plan.copies() > 1 || plan.asynchronous)
            continue;
          if (peak_of(plan) <= limit * chunks)
            best = std::min(best, simulate(plan, costs_for(request, chunks)).makespan);
        } catch (const spec_error&) { // the schedule's own rule excludes these numbers
        }
  return best;
}

/// The ratio by which a search that only has `chunks` stages a rank beats the published ones.
double gain(search_request request, std::uint32_t chunks) {
  request.chunks = chunks;
  const search_result result = search_schedule(request);
  return result.published.step_time / result.found.step_time;
}

} // namespace

TEST_CASE("auto is canonical, fits the memory, and is never longer than the best published schedule that fits") {
  std::mt19937 random(31);
  int searched = 0;
  for (int round = 0; round < 150; ++round) {
    const std::uint32_t p = test::pick(random, 1, 6);
    const std::uint32_t m = test::pick(random, 1, 12);
    const std::uint32_t limit = test::pick(random, 0, p + 1);
    search_request request = request_of(test::random_stage_costs(random, p), p, m);
    request.memory_limit = limit;
    request.effort = small;
    request.costs.communication = round % 3 == 0 ? 0.25 : 0.0;
    request.costs.processors = round % 5 == 0 ? test::pick(random, 1, p) : 0;
    CAPTURE(round, p, m, limit, request.costs.processors);
    const search_result result = search_schedule(request);
    const schedule_facts facts = check_schedule(result.found.plan);
    REQUIRE(facts.canonical);
    REQUIRE(result.found.plan.name == "auto");
    REQUIRE(result.found.plan.stages() == p * result.found.chunks);
    REQUIRE(*std::ranges::max_element(facts.peak_by_rank) <= (limit == 0 ? p : limit) * result.found.chunks);
    simulation_costs costs = request.costs;
    costs.stages = result.stages;
    REQUIRE(result.found.step_time == simulate(result.found.plan, costs).step_time);
    REQUIRE(result.found.step_time <= best_generated(request, limit == 0 ? p : limit));
    ++searched;
  }
  CHECK(searched == 150);
}

TEST_CASE("the same request has the same schedule") {
  std::mt19937 random(32);
  search_request request = request_of(test::random_stage_costs(random, 4), 4, 8);
  request.memory_limit = 3;
  request.effort.moves = 1'000'000;
  const search_result first = search_schedule(request);
  const search_result second = search_schedule(request);
  CHECK(first.found.plan == second.found.plan);
  CHECK(first.stages == second.stages);
}

TEST_CASE("with a heavy head auto beats the best published schedule by 30 % where memory is short") {
  std::vector<stage_cost> layers(12, stage_cost{});
  layers.back() = {4, 4, 4};
  search_request request{.ranks = 4, .microbatches = 16, .cut = cut_between_layers(layers), .costs = {}};
  CHECK(gain(request, 2) >= 1.01);
  request.memory_limit = 2;
  CHECK(gain(request, 2) >= 1.3);
}

TEST_CASE("on stages that differ at random, with half of 1f1b's memory, auto gains a tenth on the average") {
  std::mt19937 random(33);
  double sum = 0.0;
  constexpr int rounds = 8;
  for (int round = 0; round < rounds; ++round) {
    search_request request = request_of(test::random_stage_costs(random, 6), 6, 18);
    request.memory_limit = 3;
    request.effort.moves = 5'000'000;
    sum += gain(request, 2);
  }
  CHECK(sum / rounds >= 1.1);
}

TEST_CASE("equal stages reach the bound of one stage a rank: the last rank starts p - 1 forward passes late") {
  for (std::uint32_t p = 1; p <= 8; ++p)
    for (const std::uint32_t m : {p, 2 * p, 4 * p}) {
      CAPTURE(p, m);
      CHECK(search_schedule(even_request(p, m, 1)).found.step_time == Approx(3.0 * m + p - 1));
    }
}

TEST_CASE("one microbatch's W overlap with the I of the stages before") {
  for (std::uint32_t p = 2; p <= 8; ++p) {
    CAPTURE(p);
    CHECK(search_schedule(even_request(p, 1, 1)).found.step_time == 2.0 * p + 1.0);
    CHECK(search_schedule(even_request(p, 1, 2)).found.step_time == 2.0 * p + 0.5);
  }
}

TEST_CASE("auto is as much faster than one machine at a time as GPipe was on as many accelerators, or more") {
  struct target {
    std::uint32_t p, m;
    double speedup; ///< arXiv 1811.06965, table 2, Transformer-48
  };
  for (const target& one : {target{4, 1, 1.07}, target{8, 1, 1.3}, target{4, 4, 3.2}, target{8, 4, 4.8},
                            target{4, 32, 3.4}, target{8, 32, 6.3}}) {
    CAPTURE(one.p, one.m);
    const search_result result = search_schedule(even_request(one.p, one.m));
    CHECK(3.0 * one.p * one.m / result.found.step_time >= one.speedup);
  }
  CHECK(search_schedule(even_request(8, 32)).found.bubble_fraction < 0.02);
}

TEST_CASE("more memory is never worse, and even one microbatch at a time finds a schedule") {
  const std::vector<stage_cost> costs = {{1, 1.5, 0.5}, {2, 2, 1}, {1, 1, 1}};
  double before = std::numeric_limits<double>::infinity();
  for (const std::uint32_t limit : {1U, 2U, 3U, 6U}) {
    CAPTURE(limit);
    search_request request = request_of(costs, 3, 9);
    request.memory_limit = limit;
    const double now = search_schedule(request).found.step_time;
    CHECK(now <= before);
    before = now;
  }
}

TEST_CASE("a model that cannot be cut, and sizes of zero, are refused") {
  search_request request{.ranks = 3, .microbatches = 2, .cut = cut_between_layers({{}, {}}), .costs = {}};
  CHECK_THROWS_WITH(search_schedule(request),
                    "schedule 'auto': found 3 ranks with 1 or 2 or 4 stages each, 2 microbatches and at most 3 in "
                    "memory, expected numbers that the model can be cut into and that some schedule fits");
  request.microbatches = 0;
  CHECK_THROWS_AS(search_schedule(request), spec_error);
}

TEST_CASE("a pipeline that is too large to search gets the best published schedule") {
  search_request request = even_request(4, 8);
  request.effort.largest = 10;
  const search_result result = search_schedule(request);
  CHECK(result.found.step_time == result.published.step_time);
  schedule renamed = result.published.plan;
  renamed.name = "auto";
  CHECK(result.found.plan == renamed);
}

TEST_CASE("layers are not cut: a model of few layers has few stages") {
  const std::vector<stage_cost> layers(5, stage_cost{});
  const search_result result =
      search_schedule({.ranks = 2, .microbatches = 4, .cut = cut_between_layers(layers), .costs = {}});
  CHECK(result.found.chunks <= 2);
  double forward = 0.0;
  for (const stage_cost& stage : result.stages)
    forward += stage.forward;
  CHECK(forward == 5.0);
}

TEST_CASE("what was found is told in a line") {
  CHECK(describe(search_schedule(even_request(4, 8, 2))) ==
        "auto: 2 stages a rank, predicted bubble 5.9 %; best published: interleaved-zb, 2 stages a rank, predicted "
        "bubble 5.9 %");
  search_request tight = request_of({{}, {}, {2, 2, 2}}, 3, 6);
  tight.memory_limit = 1;
  tight.chunks = 4;
  CHECK(describe(search_schedule(tight)).ends_with("; best published: none fits the memory"));
}
