// The schedules that feed the pipeline from both ends: their lists by hand, and what their authors promise.
#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/draw.hpp"
#include "runtime/schedule/json.hpp"
#include "runtime/schedule/simulate.hpp"
#include "tests/support/refused_schedule.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Idle time of the slowest rank; each rank has as many passes of each kind as the step has microbatches.
double bubble_of(const schedule& plan, const stage_cost& cost) {
  const double work = plan.microbatches * (cost.forward + cost.backward_input + cost.backward_weight);
  return simulate(plan, {{cost}}).makespan - work;
}

} // namespace

TEST_CASE("dualpipe runs half of the microbatches down and half of them up, and pairs the directions") {
  const schedule plan = generate_schedule({"dualpipe", 2, 4});
  CHECK(plan.placements == std::vector<std::vector<std::uint32_t>>{{0, 1}, {1, 0}});
  CHECK(to_csv(plan) == "0F0,1F2,0F1,1B2,(1F3;0B0)OVERLAP_F_B,1B3,0I1,0W1\n"
                        "0F2,1F0,0F3,1B0,(1F1;0B2)OVERLAP_F_B,1B1,0I3,0W3\n");
}

TEST_CASE("chimera's picture is the paper's, figure 2, with the stage beside each pass") {
  const schedule plan = generate_schedule({"chimera", 4, 4});
  const simulation timing = simulate(plan, {{{1.0, 0.5, 0.5}}});
  CHECK(draw_grid(plan, timing, {}) == "time    0                   5                   10\n"
                                       "rank 0  0F0 0F1 .   3F2 3B2 3F3 3B3 0B0 .   0B1\n"
                                       "rank 1  .   1F0 2F2 1F1 2F3 2B2 1B0 2B3 1B1 .\n"
                                       "rank 2  .   1F2 2F0 1F3 2F1 2B0 1B2 2B1 1B3 .\n"
                                       "rank 3  0F2 0F3 .   3F0 3B0 3F1 3B1 0B2 .   0B3\n");
}

TEST_CASE("dualpipe holds one stage-microbatch more than ranks, and loses no more than its authors say") {
  for (const stage_cost& cost : {stage_cost{1.0, 1.0, 1.0}, stage_cost{1.0, 1.25, 0.75}, stage_cost{2.0, 2.5, 1.5}})
    for (std::uint32_t p = 2; p <= 12; p += 2)
      for (std::uint32_t m = 2 * p; m <= 4 * p; m += 2) {
        CAPTURE(p, m);
        const schedule plan = generate_schedule({"dualpipe", p, m});
        const schedule_facts facts = check_schedule(plan);
        CHECK(facts.canonical);
        CHECK(facts.peak_by_rank == std::vector<std::uint32_t>(p, p + 1));
        // (PP/2 - 1)(F&B + B - 3 W): PP counts the ranks, and F&B takes F + B where the two run one after the other.
        const double full = cost.backward_input + cost.backward_weight;
        CHECK(bubble_of(plan, cost) <= (p / 2 - 1) * (cost.forward + full + full - 3.0 * cost.backward_weight));
        if (cost.forward == cost.backward_weight)
          CHECK(bubble_of(plan, cost) == (p / 2 - 1) * cost.forward);
      }
}

TEST_CASE("chimera idles D - 2 slots in a step of whole blocks, and holds D/2 + 1 to D microbatches") {
  for (std::uint32_t p = 2; p <= 16; p += 2)
    for (std::uint32_t blocks = 1; blocks <= 4; ++blocks) {
      CAPTURE(p, blocks);
      const std::uint32_t m = p * blocks;
      const schedule plan = generate_schedule({"chimera", p, m});
      const schedule_facts facts = check_schedule(plan);
      CHECK(facts.canonical);
      CHECK(bubble_of(plan, {1.0, 0.5, 0.5}) == p - 2.0);
      CHECK(simulate(plan, {{{1.0, 0.5, 0.5}}}).bubble_fraction == Approx((p - 2.0) / (2.0 * m + p - 2.0)));
      for (std::uint32_t r = 0; r < p; ++r)
        CHECK(facts.peak_by_rank[r] == p / 2 + 1 + std::min(r, p - 1 - r));
    }
}

TEST_CASE("chimera takes any even number of microbatches, with no more memory than for whole blocks") {
  for (std::uint32_t p = 2; p <= 10; p += 2)
    for (std::uint32_t m = 2; m <= 3 * p; m += 2) {
      CAPTURE(p, m);
      const schedule_facts facts = check_schedule(generate_schedule({"chimera", p, m}));
      CHECK(facts.canonical);
      CHECK(*std::max_element(facts.peak_by_rank.begin(), facts.peak_by_rank.end()) <= std::min(p, m));
    }
}

TEST_CASE("numbers that do not divide between two directions are refused") {
  for (const std::string name : {"dualpipe", "chimera"}) {
    const std::string why = ", expected an even number, as half of the microbatches run down the ranks and half of "
                            "them up";
    CHECK(refusal_of({name, 3, 12}) == "schedule '" + name + "': found 3 ranks" + why);
    CHECK(refusal_of({name, 4, 9}) == "schedule '" + name + "': found 9 microbatches" + why);
    CHECK(refusal_of({name, 4, 8, 2}) ==
          "schedule '" + name + "': found 2 chunks, expected 1, because each rank has one stage of each copy in it");
  }
  CHECK(refusal_of({"dualpipe", 4, 6}) ==
        "schedule 'dualpipe': found 6 microbatches, expected at least 8, two for each rank");
}

TEST_CASE("two copies survive their CSV form") {
  for (const std::string name : {"dualpipe", "chimera"}) {
    const schedule plan = generate_schedule({name, 4, 8});
    CHECK(parse_csv(to_csv(plan), name) == plan);
  }
}

TEST_CASE("rows that are not two whole copies are read as one and refused as such") {
  const auto refusal = [](const std::string& text) {
    return error_text<spec_error>([&] { check_schedule(parse_csv(text, "x.csv")); });
  };
  CHECK(refusal("0F0,0B0,1F1,1B1\n1F0,1B0,0F1,0B1\n").empty());
  // Stage 0 in both rows, stage 1 in one; then halves that are not contiguous; then an odd number of microbatches.
  CHECK(refusal("0F0,0B0\n1F0,1B0,1F1,1B1,0F1,0B1\n") ==
        "schedule 'x.csv': rank 1 runs 0F1, expected it on rank 0, which has stage 0");
  CHECK(refusal("0F0,0F2,0B0,0B2,1F1,1F3,1B1,1B3\n1F0,1F2,1B0,1B2,0F1,0F3,0B1,0B3\n") ==
        "schedule 'x.csv': rank 1 has no stage, expected at least one");
  CHECK(refusal("0F0,0B0,1F1,1B1\n1F0,1B0,0F1,0B1,0F2,0B2\n") ==
        "schedule 'x.csv': rank 1 has no stage, expected at least one");
  CHECK(refusal("0F0,0B0\n1F0,1B0,1F1,1B1\n") ==
        "schedule 'x.csv': rank 0 lacks 0F1, expected F and (B, or I and W) for each of 2 microbatches");
}

TEST_CASE("each copy must be complete, on its own ranks, with stages apart from the other copy's") {
  const schedule good = parse_csv("0F0,1F1,1B1,0B0\n0F1,1F0,1B0,0B1\n", "hand");
  CHECK(check_error(good).empty());
  schedule lacking = good;
  lacking.actions[0].erase(lacking.actions[0].begin() + 2);
  CHECK(check_error(lacking) ==
        "schedule 'hand': rank 0 lacks 1B1, expected F and (B, or I and W) for each of microbatches 1 to 1");
  schedule moved = good;
  std::swap(moved.actions[0][1], moved.actions[1][1]);
  CHECK(check_error(moved) == "schedule 'hand': rank 0 runs 1F0, expected it on rank 1, which has stage 1 of copy 0");
  schedule waiting = good;
  std::swap(waiting.actions[0][1], waiting.actions[0][2]);
  CHECK(check_error(waiting) == "schedule 'hand': rank 0 waits at 1B1 for 1F1, which comes later in its own list");
  schedule crossed = good;
  std::swap(crossed.actions[0][0], crossed.actions[0][1]);
  std::swap(crossed.actions[1][0], crossed.actions[1][1]);
  CHECK(check_error(crossed) == "schedule 'hand': rank 0 waits at 1F1 for 0F1, which rank 1 has behind 1F0; "
                                "rank 1 waits at 1F0 for 0F0, which rank 0 has behind 1F1");
  schedule together = good;
  together.placements[1] = {0, 1};
  CHECK(check_error(together) == "schedule 'hand': found both copies of stage 0 on rank 0, expected them on two ranks");
  schedule odd = good;
  odd.microbatches = 3;
  CHECK(check_error(odd) == "schedule 'hand': found 2 copies, 2 and 2 stages, and 3 microbatches, expected at most 2 "
                            "copies of as many stages, and an even number of microbatches");
  odd = good;
  odd.placements.push_back({0, 1});
  CHECK(check_error(odd).find("found 3 copies") != std::string::npos);
}

TEST_CASE("a copy that adds its gradients out of order is not canonical, whatever the other one does") {
  const std::string down = "0F0,0F1,0B0,0B1,1F2,1F3,";
  const std::string up = "\n0F2,0F3,1F0,1F1,1B0,1B1,0B2,0B3\n";
  CHECK(check_schedule(parse_csv(down + "1B2,1B3" + up, "ascending")).canonical);
  CHECK_FALSE(check_schedule(parse_csv(down + "1B3,1B2" + up, "descending")).canonical);
}

TEST_CASE("the JSON form names the ranks of both copies") {
  const schedule plan = generate_schedule({"chimera", 2, 2});
  const auto document =
      nlohmann::json::parse(to_json(timed_schedule{plan, check_schedule(plan), simulate(plan, {{{}}})}));
  CHECK(document["rank_of_stage"] == std::vector<int>{0, 1});
  CHECK(document["rank_of_stage_of_second_copy"] == std::vector<int>{1, 0});
}
