// The schedules with several stages a rank or with W apart from I: their grids by hand, and what their papers promise.
#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"
#include "runtime/schedule/simulate.hpp"
#include "tests/support/refused_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <string>

using namespace troupe;
using namespace troupe::test;

namespace {

using request = schedule_request;

/// Ranks apart by " | ", actions by blanks.
std::string lists_of(const request& wanted) {
  const schedule plan = generate_schedule(wanted);
  std::string text;
  for (const auto& list : plan.actions) {
    text += text.empty() ? "" : " |";
    for (const action& one : list)
      text += (text.empty() ? "" : " ") + to_string(one);
  }
  return text;
}

/// Whole and quarter numbers, so that sums are exact. In most of them no two passes take the same time.
const std::vector<stage_cost> costs = {{1.0, 1.0, 1.0}, {1.0, 1.25, 0.75}, {2.0, 2.5, 1.5}};

struct outcome {
  schedule plan;
  schedule_facts facts;
  simulation timing;
  double work = 0.0; ///< of one rank, without any idle time

  double bubble() const { return timing.makespan - work; }
  double worst_span() const { return *std::max_element(timing.span.begin(), timing.span.end()); }
  std::uint32_t peak() const { return *std::max_element(facts.peak_by_rank.begin(), facts.peak_by_rank.end()); }
  std::uint32_t activations() const {
    return *std::max_element(facts.activations_by_rank.begin(), facts.activations_by_rank.end());
  }
};

outcome run(const request& wanted, const stage_cost& cost) {
  outcome result;
  result.plan = generate_schedule(wanted);
  result.facts = check_schedule(result.plan);
  result.timing = simulate(result.plan, {{cost}});
  const std::uint32_t chunks = result.plan.stages() / result.plan.ranks;
  result.work = chunks * wanted.microbatches * (cost.forward + cost.backward_input + cost.backward_weight);
  return result;
}

} // namespace

TEST_CASE("interleaved 1f1b takes a group of microbatches through all chunks before the next group") {
  CHECK(lists_of({"interleaved-1f1b", 2, 4, 2}) ==
        "0F0 0F1 2F0 2F1 0F2 2B0 0F3 2B1 2F2 0B0 2F3 0B1 2B2 2B3 0B2 0B3"
        " | 1F0 1F1 3F0 3B0 3F1 3B1 1F2 1B0 1F3 1B1 3F2 3B2 3F3 3B3 1B2 1B3");
  CHECK(lists_of({.name = "interleaved-1f1b", .ranks = 2, .microbatches = 4, .chunks = 2, .group_size = 4}) ==
        "0F0 0F1 0F2 0F3 2F0 2F1 2F2 2B0 2F3 2B1 2B2 2B3 0B0 0B1 0B2 0B3"
        " | 1F0 1F1 1F2 1F3 3F0 3B0 3F1 3B1 3F2 3B2 3F3 3B3 1B0 1B1 1B2 1B3");
}

TEST_CASE("looped bfs takes all microbatches through a chunk before the next chunk") {
  CHECK(lists_of({"looped-bfs", 2, 2, 2}) == "0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1 | 1F0 1F1 3F0 3F1 3B0 3B1 1B0 1B1");
}

TEST_CASE("interleaved zero bubble and zb-h1 run W as many steps behind I as the rank's number") {
  CHECK(lists_of({"zb-h1", 3, 4}) == "0F0 0F1 0F2 0I0 0W0 0F3 0I1 0W1 0I2 0W2 0I3 0W3"
                                     " | 1F0 1F1 1I0 1F2 1I1 1W0 1F3 1I2 1W1 1I3 1W2 1W3"
                                     " | 2F0 2I0 2F1 2I1 2F2 2I2 2W0 2F3 2I3 2W1 2W2 2W3");
  CHECK(lists_of({"interleaved-zb", 2, 2, 2}) == "0F0 0F1 2F0 2F1 2I0 2W0 2I1 2W1 0I0 0W0 0I1 0W1"
                                                 " | 1F0 1F1 3F0 3I0 3F1 3I1 3W0 1I0 3W1 1I1 1W0 1W1");
}

TEST_CASE("zb-h2 warms up and defers twice as much as zb-h1") {
  CHECK(lists_of({"zb-h2", 2, 3}) == "0F0 0F1 0F2 0I0 0W0 0I1 0W1 0I2 0W2 | 1F0 1I0 1F1 1I1 1F2 1I2 1W0 1W1 1W2");
}

TEST_CASE("zb-v has its last stage on the first rank") {
  CHECK(generate_schedule({"zb-v", 3, 1}).placements.front() == std::vector<std::uint32_t>{0, 1, 2, 2, 1, 0});
  CHECK(lists_of({"zb-v", 2, 3}) == "0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0I0 0W0 3F2 3I2 3W2 0I1 0W1 0I2 0W2"
                                    " | 1F0 2F0 1F1 2F1 2I0 2W0 1F2 1I0 1W0 2F2 2I1 2W1 1I1 2I2 1I2 1W1 2W2 1W2");
  CHECK(lists_of({"zb-v", 2, 1}) == "0F0 3F0 3I0 3W0 0I0 0W0 | 1F0 2F0 2I0 2W0 1I0 1W0");
}

TEST_CASE("v-half and v-min run their blocks in the order of the slots, W where there is a gap") {
  CHECK(lists_of({"v-min", 2, 2}) == "0F0 3F0 3I0 3W0 0F1 0I0 0W0 3F1 3I1 3W1 0I1 0W1"
                                     " | 1F0 2F0 2I0 1I0 1F1 2F1 2W0 1W0 2I1 1I1 2W1 1W1");
  CHECK(lists_of({"v-half", 1, 2}) == "0F0 1F0 1I0 0I0 1W0 0F1 0W0 1F1 1I1 0I1 1W1 0W1");
}

TEST_CASE("dualpipev pairs forward and backward passes in its steady state") {
  const schedule plan = generate_schedule({"dualpipev", 2, 4});
  CHECK(lists_of({"dualpipev", 2, 4}) == "0F0 0F1 0F2 3F0 3I0 3W0 3F1 0F3 3B1 3F2 0B0 3B2 3F3 0B1 3B3 0I2 0W2 0I3 0W3"
                                         " | 1F0 2F0 1F1 2F1 1F2 2B0 2F2 1B0 1F3 2B1 2F3 1B1 2B2 1B2 2I3 1I3 2W3 1W3");
  CHECK(plan.overlapped == std::vector<std::vector<std::uint32_t>>{{7, 9, 12}, {6, 8, 10}});
}

TEST_CASE("hanayo sends a microbatch down and up the ranks in waves") {
  CHECK(generate_schedule({.name = "hanayo", .ranks = 2, .microbatches = 1, .waves = 2}).placements.front() ==
        std::vector<std::uint32_t>{0, 1, 1, 0, 0, 1, 1, 0});
  CHECK(lists_of({"hanayo", 2, 2}) == "0F0 0F1 3F0 3B0 3F1 3B1 0B0 0B1 | 1F0 2F0 1F1 2F1 2B0 1B0 2B1 1B1");
}

TEST_CASE("whatever is generated can run and adds its gradients in the reference's order") {
  int made = 0;
  for (const std::string& name : schedule_names())
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t m = 1; m <= 20; ++m)
        for (const std::uint32_t chunks : {0U, 1U, 3U})
          for (const std::uint32_t group : {0U, 4U, 5U})
            for (const std::uint32_t waves : {1U, 2U, 4U}) {
              const request wanted{name, p, m, chunks, group, waves};
              if (!refusal_of(wanted).empty())
                continue;
              CAPTURE(name, p, m, chunks, group, waves);
              const schedule plan = generate_schedule(wanted);
              REQUIRE(check_schedule(plan).canonical == !plan.asynchronous.has_value());
              REQUIRE(plan.name == name);
              REQUIRE(plan.ranks == p);
              REQUIRE(plan.microbatches == m);
              REQUIRE(plan.stages() == p * chunks_of(wanted));
              ++made;
            }
  CHECK(made > 3000);
}

TEST_CASE("what a schedule can do with its own chunks, it does for all sizes that its rule allows") {
  const auto allowed = [](const std::string& name, std::uint32_t p, std::uint32_t m) {
    if (name == "interleaved-1f1b" || name == "interleaved-zb")
      return m % std::max(1U, m / p) == 0;
    if (name.starts_with("pipedream"))
      return m >= p;
    if (name == "dualpipe" || name == "chimera")
      return p % 2 == 0 && m % 2 == 0 && (name == "chimera" || m >= 2 * p);
    return name != "dualpipev" || m >= 2 * p;
  };
  for (const std::string& name : schedule_names())
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t m = 1; m <= 20; ++m) {
        CAPTURE(name, p, m);
        CHECK(refusal_of({name, p, m}).empty() == allowed(name, p, m));
      }
}

TEST_CASE("interleaving divides the bubble by the number of chunks") {
  for (const stage_cost& cost : costs)
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t rounds = 1; rounds <= 4; ++rounds)
        for (std::uint32_t v = 1; v <= 4; ++v)
          for (const std::string name : {"interleaved-1f1b", "looped-bfs"}) {
            CAPTURE(name, p, rounds, v);
            const std::uint32_t m = rounds * p;
            const outcome it = run({name, p, m, v}, cost);
            CHECK(it.bubble() == (p - 1) * (cost.forward + cost.backward_input + cost.backward_weight));
            for (std::uint32_t r = 0; r < p; ++r)
              CHECK(it.facts.peak_by_rank[r] ==
                    (name == "looped-bfs" ? v * m : std::min((v - 1) * p + 2 * (p - 1 - r) + 1, v * m)));
          }
}

TEST_CASE("zero bubble schedules lose F + I - W to the bubble for each rank behind the first") {
  for (const stage_cost& cost : costs)
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t rounds = 1; rounds <= 4; ++rounds)
        for (std::uint32_t v = 1; v <= 4; ++v) {
          CAPTURE(p, rounds, v);
          const std::uint32_t m = rounds * p;
          const double expected = (p - 1) * (cost.forward + cost.backward_input - cost.backward_weight);
          const outcome interleaved = run({"interleaved-zb", p, m, v}, cost);
          CHECK(interleaved.bubble() == expected);
          CHECK(interleaved.facts.peak_by_rank == std::vector<std::uint32_t>(p, v * p));
          if (v > 1)
            continue;
          const outcome h1 = run({"zb-h1", p, m}, cost);
          CHECK(h1.bubble() == expected);
          CHECK(h1.facts.peak_by_rank == std::vector<std::uint32_t>(p, p));
          for (std::uint32_t r = 0; r < p; ++r)
            CHECK(h1.facts.activations_by_rank[r] == p - r);
        }
}

TEST_CASE("in zb-h2 each rank's own span loses F + I - 2 W for each rank behind the first") {
  for (const stage_cost& cost : costs)
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t m = 2 * p - 1; m <= 3 * p; ++m) {
        CAPTURE(p, m);
        const outcome it = run({"zb-h2", p, m}, cost);
        CHECK(it.worst_span() - it.work == (p - 1) * (cost.forward + cost.backward_input - 2.0 * cost.backward_weight));
        CHECK(it.facts.peak_by_rank == std::vector<std::uint32_t>(p, 2 * p - 1));
        // The ranks start one after the other; the skew is all that is left of the bubble when F = I = W.
        CHECK(it.timing.makespan >= it.worst_span());
        if (cost.forward == cost.backward_weight)
          CHECK(it.bubble() == (p - 1) * cost.forward);
      }
}

TEST_CASE("in zb-v no rank idles between its first and its last action when F = I = W") {
  for (std::uint32_t p = 1; p <= 8; ++p)
    for (std::uint32_t m = 2 * p - 1; m <= 4 * p; ++m) {
      CAPTURE(p, m);
      const outcome it = run({"zb-v", p, m}, costs.front());
      CHECK(it.timing.span == std::vector<double>(p, it.work));
      CHECK(it.facts.peak_by_rank == std::vector<std::uint32_t>(p, 2 * p));
    }
}

TEST_CASE("v-half and v-min trade the bubble for memory") {
  for (std::uint32_t p = 2; p <= 16; ++p)
    for (const std::uint32_t rounds : {1U, 2U, 5U}) {
      CAPTURE(p, rounds);
      const std::uint32_t m = rounds * p;
      const double bubble_of_1f1b = 6.0 * (p - 1); // in the V's shorter passes
      const outcome half = run({"v-half", p, m}, costs.front());
      CHECK(half.bubble() <= 0.5 * bubble_of_1f1b);
      CHECK(half.bubble() >= 0.4 * bubble_of_1f1b);
      CHECK(half.peak() <= p + 2); // half of 1f1b's 2 p stage-microbatches, and the one in hand of each stage
      const outcome least = run({"v-min", p, m}, costs.front());
      CHECK(least.bubble() <= (p % 3 == 0 ? 0.76 : 0.67) * bubble_of_1f1b);
      CHECK(least.activations() <= 2 * p / 3 + 2); // a third
      CHECK(least.peak() <= 2 * p / 3 + 4);
    }
}

TEST_CASE("dualpipev holds one stage-microbatch more than it has stages, and loses no more than its authors say") {
  for (const stage_cost& cost : costs)
    for (std::uint32_t p = 1; p <= 8; ++p)
      for (std::uint32_t m = 2 * p; m <= 4 * p; ++m) {
        CAPTURE(p, m);
        const outcome it = run({"dualpipev", p, m}, cost);
        CHECK(it.facts.peak_by_rank == std::vector<std::uint32_t>(p, 2 * p + 1));
        const double full = cost.backward_input + cost.backward_weight;
        CHECK(it.bubble() <= (p - 1) * (cost.forward + full + full - 3.0 * cost.backward_weight));
        if (cost.forward == cost.backward_weight)
          CHECK(it.bubble() == (p - 1) * cost.forward);
      }
}

TEST_CASE("hanayo's bubble is at most the paper's with as many microbatches as ranks, and shrinks with more waves") {
  for (std::uint32_t p = 2; p <= 8; ++p) {
    double before = 1.0;
    for (const std::uint32_t waves : {1U, 2U, 4U}) {
      CAPTURE(p, waves);
      const request wanted{.name = "hanayo", .ranks = p, .microbatches = p, .waves = waves};
      const outcome it = run(wanted, costs.front());
      // arXiv 2308.15762, section 3.4, with a backward pass of twice the forward pass.
      CHECK(it.timing.bubble_fraction <= (2.0 * p - 2.0) / (3.0 * p * waves + p - 1.0) + 0.01);
      CHECK(it.timing.bubble_fraction < before);
      CHECK(it.peak() <= 2 * waves * p);
      before = it.timing.bubble_fraction;
    }
  }
}

TEST_CASE("hanayo never has more than two microbatches for each rank under way") {
  for (std::uint32_t p = 1; p <= 6; ++p)
    for (std::uint32_t m = 1; m <= 30; m += 3) {
      CAPTURE(p, m);
      const outcome it = run({"hanayo", p, m}, costs.front());
      CHECK(*std::max_element(it.facts.peak_by_stage.begin(), it.facts.peak_by_stage.end()) <= 2 * p);
    }
}

TEST_CASE("numbers that a schedule cannot use are refused by its rule") {
  CHECK(refusal_of({"interleaved-1f1b", 3, 7}) ==
        "schedule 'interleaved-1f1b': found 7 microbatches, expected a multiple of 2, the rounds that 3 ranks need "
        "(microbatches / ranks), or a group size that divides them");
  CHECK(refusal_of({"interleaved-zb", 3, 7, 2, 7}).empty());
  CHECK(refusal_of({"interleaved-zb", 3, 7, 2, 4}) ==
        "schedule 'interleaved-zb': found 7 microbatches, expected a multiple of 4, the group size");
  CHECK(refusal_of({"interleaved-zb", 4, 8, 2, 2}) ==
        "schedule 'interleaved-zb': found groups of 2, expected at least 4, the smaller of ranks and microbatches, "
        "because a smaller group is through before the last rank answers");
  CHECK(refusal_of({"interleaved-zb", 4, 12, 2, 3}).find("found groups of 3, expected at least 4") !=
        std::string::npos);
  CHECK(refusal_of({"interleaved-zb", 4, 12, 2, 4}).empty());
  CHECK(refusal_of({"interleaved-zb", 4, 2, 2, 2}).empty());
  CHECK(refusal_of({"zb-v", 2, 4, 2, 2}) == "schedule 'zb-v': found a group size of 2, expected none, as only "
                                            "interleaved-1f1b and interleaved-zb have groups");
  CHECK(refusal_of({"dualpipev", 3, 5}) ==
        "schedule 'dualpipev': found 5 microbatches, expected at least 6, two for each rank");
  for (const std::string name : {"zb-v", "v-half", "v-min", "dualpipev"}) {
    CHECK(refusal_of({name, 2, 4, 3}) ==
          "schedule '" + name + "': found 3 chunks, expected 2, because each rank has two stages in a V");
    CHECK(refusal_of({name, 4097, 1}) == "schedule '" + name + "': found 4097 ranks, expected at most 4096");
  }
  CHECK(refusal_of({"hanayo", 2, 4, 2, 0, 2}) ==
        "schedule 'hanayo': found 2 chunks, expected 4, because each wave passes a rank twice");
  CHECK(refusal_of({"hanayo", 2, 4, 4, 0, 2}).empty());
  for (const std::uint32_t waves : {0U, 1048577U, 4294967295U})
    CHECK(refusal_of({"hanayo", 2, 4, 0, 0, waves}) ==
          "schedule 'hanayo': found " + std::to_string(waves) + " waves, expected 1 to 1048576");
  CHECK(refusal_of({"1f1b", 2, 4, 0, 0, 2}) == "schedule '1f1b': found 2 waves, expected 1, as only hanayo has more");
}
