#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "tests/support/random_schedule.hpp"
#include "tests/support/refused_schedule.hpp"

#include <catch2/catch.hpp>

#include <initializer_list>
#include <set>
#include <string>
#include <utility>

using namespace troupe;
using namespace troupe::test;

namespace {

std::vector<action> list(std::initializer_list<const char*> texts) {
  std::vector<action> actions;
  for (const char* text : texts)
    actions.push_back(parse_action(text).value());
  return actions;
}

/// Two ranks with a stage each and two microbatches, unless the test says otherwise.
schedule two_ranks(std::vector<action> first, std::vector<action> second) {
  schedule plan;
  plan.name = "hand";
  plan.ranks = 2;
  plan.microbatches = 2;
  plan.placements = {{0, 1}};
  plan.actions = {std::move(first), std::move(second)};
  return plan;
}

std::vector<action> good_first() {
  return list({"0F0", "0F1", "0B0", "0B1"});
}

std::vector<action> good_second() {
  return list({"1F0", "1B0", "1F1", "1B1"});
}

/// Whether all lists run to their end, found by trying every rank again and again.
bool runs_through(const schedule& plan) {
  std::set<action> done;
  std::vector<std::size_t> next(plan.ranks, 0);
  bool moved = true;
  while (std::exchange(moved, false))
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
      while (next[rank] < plan.actions[rank].size() &&
             test::can_run(plan.actions[rank][next[rank]], plan.stages(), done)) {
        done.insert(plan.actions[rank][next[rank]++]);
        moved = true;
      }
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    if (next[rank] < plan.actions[rank].size())
      return false;
  return true;
}

} // namespace

TEST_CASE("the checker reports peaks by stage and by rank") {
  schedule plan;
  plan.ranks = 1;
  plan.microbatches = 2;
  plan.placements = {{0, 0}};
  plan.actions = {list({"0F0", "1F0", "0F1", "1B0", "1F1", "1B1", "0I0", "0I1", "0W0", "0W1"})};
  const schedule_facts facts = check_schedule(plan);
  CHECK(facts.peak_by_stage == std::vector<std::uint32_t>{2, 1});
  CHECK(facts.peak_by_rank == std::vector<std::uint32_t>{3});
  CHECK(facts.canonical);
}

TEST_CASE("a stash lives from F until W, not until I") {
  const schedule plan = two_ranks(good_first(), list({"1F0", "1I0", "1F1", "1I1", "1W0", "1W1"}));
  const schedule_facts facts = check_schedule(plan);
  CHECK(facts.peak_by_stage == std::vector<std::uint32_t>{2, 2});
  CHECK(facts.peak_by_rank == std::vector<std::uint32_t>{2, 2});
  CHECK(facts.activations_by_rank == std::vector<std::uint32_t>{2, 1});
}

TEST_CASE("overlapped pairs that no rank could overlap are refused") {
  schedule plan;
  plan.name = "hand";
  plan.ranks = 1;
  plan.microbatches = 2;
  plan.placements = {{0, 0}};
  plan.actions = {list({"0F0", "1F0", "1B0", "0F1", "1F1", "0B0", "1I1", "0B1", "1W1"})};
  plan.overlapped = {{4}};
  CHECK(check_error(plan).empty());
  plan.overlapped = {{4}, {}};
  CHECK(check_error(plan) == "schedule 'hand': found 2 lists of overlapped pairs, expected none or 1, one a rank");
  const auto refused_at = [&](std::vector<std::uint32_t> places) {
    plan.overlapped = {std::move(places)};
    return check_error(plan);
  };
  const std::string expected = ", expected F of one stage and I or B of another";
  CHECK(refused_at({1}) == "schedule 'hand': rank 0 overlaps 1F0 and 1B0" + expected);
  CHECK(refused_at({2}) == "schedule 'hand': rank 0 overlaps 1B0 and 0F1" + expected);
  CHECK(refused_at({3}) == "schedule 'hand': rank 0 overlaps 0F1 and 1F1" + expected);
  CHECK(refused_at({4, 5}) ==
        "schedule 'hand': rank 0 has an overlapped pair at place 5, expected 6 to 7, behind the pair before");
  CHECK(refused_at({8}) ==
        "schedule 'hand': rank 0 has an overlapped pair at place 8, expected 0 to 7, behind the pair before");
}

TEST_CASE("a schedule that adds weight gradients out of order runs but is not canonical") {
  CHECK_FALSE(check_schedule(two_ranks(good_first(), list({"1F0", "1I0", "1F1", "1I1", "1W1", "1W0"}))).canonical);
  CHECK_FALSE(
      check_schedule(two_ranks(list({"0F0", "0F1", "0B1", "0B0"}), list({"1F0", "1F1", "1B0", "1B1"}))).canonical);
  CHECK(check_schedule(two_ranks(good_first(), list({"1F0", "1F1", "1I1", "1I0", "1W0", "1W1"}))).canonical);
}

TEST_CASE("a missing action is named") {
  const std::string expected = ", expected F and (B, or I and W) for each of 2 microbatches";
  CHECK(check_error(two_ranks(list({"0F0", "0B0", "0B1"}), good_second())) ==
        "schedule 'hand': rank 0 lacks 0F1" + expected);
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 lacks 1B0" + expected);
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1I0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 lacks 1W0" + expected);
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1W0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 lacks 1I0" + expected);
  CHECK(check_error(two_ranks({}, good_second())) == "schedule 'hand': rank 0 lacks 0F0" + expected);
}

TEST_CASE("an action that runs twice is named") {
  CHECK(check_error(two_ranks(list({"0F0", "0F1", "0B0", "0F1", "0B1"}), good_second())) ==
        "schedule 'hand': rank 0 runs 0F1 twice, expected once");
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1I0", "1W0", "1W0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 runs 1W0 twice, expected once");
}

TEST_CASE("B together with I or W of the same microbatch is refused") {
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1I0", "1B0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 runs both 1B0 and 1I0, expected either B, or I and W");
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1B0", "1W0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 runs both 1B0 and 1W0, expected either B, or I and W");
}

TEST_CASE("an action on another rank than its stage's is refused") {
  CHECK(check_error(two_ranks(list({"0F0", "0F1", "1B0", "0B1"}), good_second())) ==
        "schedule 'hand': rank 0 runs 1B0, expected it on rank 1, which has stage 1");
}

TEST_CASE("an unknown stage or microbatch is refused") {
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "2F0"}))) ==
        "schedule 'hand': rank 1 runs 2F0, expected a stage below 2");
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1F2"}))) ==
        "schedule 'hand': rank 1 runs 1F2, expected a microbatch below 2");
}

TEST_CASE("a backward pass before its forward pass is refused") {
  CHECK(check_error(two_ranks(good_first(), list({"1B0", "1F0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 waits at 1B0 for 1F0, which comes later in its own list");
}

TEST_CASE("W before I is refused") {
  CHECK(check_error(two_ranks(good_first(), list({"1F0", "1W0", "1I0", "1F1", "1B1"}))) ==
        "schedule 'hand': rank 1 waits at 1W0 for 1I0, which comes later in its own list");
}

TEST_CASE("ranks that wait for each other in a circle are named, each with its need") {
  CHECK(check_error(two_ranks(list({"0F0", "0B0", "0F1", "0B1"}), list({"1F0", "1F1", "1B0", "1B1"}))) ==
        "schedule 'hand': rank 0 waits at 0B0 for 1B0, which rank 1 has behind 1F1; "
        "rank 1 waits at 1F1 for 0F1, which rank 0 has behind 0B0");
}

TEST_CASE("the circle is named, not a rank that just waits for it") {
  schedule plan;
  plan.name = "hand";
  plan.ranks = 3;
  plan.microbatches = 1;
  plan.placements = {{0, 1, 2}};
  plan.actions = {list({"0F0", "0B0"}), list({"1F0", "1B0"}), list({"2B0", "2F0"})};
  CHECK(check_error(plan) == "schedule 'hand': rank 2 waits at 2B0 for 2F0, which comes later in its own list");
}

TEST_CASE("a long circle is named by its first four ranks") {
  // Six ranks with two stages each, all of which want the later stage's forward pass first.
  schedule plan;
  plan.name = "hand";
  plan.ranks = 6;
  plan.microbatches = 1;
  plan.placements = {{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}};
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    plan.actions.push_back({{rank + 6, operation::forward, 0},
                            {rank, operation::forward, 0},
                            {rank + 6, operation::backward, 0},
                            {rank, operation::backward, 0}});
  CHECK(check_error(plan) == "schedule 'hand': rank 0 waits at 6F0 for 5F0, which rank 5 has behind 11F0; "
                             "rank 5 waits at 11F0 for 10F0, where rank 4 waits; "
                             "rank 4 waits at 10F0 for 9F0, where rank 3 waits; "
                             "rank 3 waits at 9F0 for 8F0, where rank 2 waits; and 2 more ranks in a circle");
}

TEST_CASE("sizes that make no sense are refused") {
  schedule plan = two_ranks(good_first(), good_second());
  plan.microbatches = 0;
  CHECK(check_error(plan) ==
        "schedule 'hand': found 2 ranks, 2 stages and 0 microbatches, expected at least 1 of each");
  plan = two_ranks(good_first(), good_second());
  plan.ranks = 3;
  CHECK(check_error(plan) == "schedule 'hand': found 2 lists of actions, expected 3, one a rank");
  plan.actions.emplace_back();
  CHECK(check_error(plan) == "schedule 'hand': rank 2 has no stage, expected at least one");
  plan = two_ranks(good_first(), good_second());
  plan.placements = {{0, 2}};
  CHECK(check_error(plan) == "schedule 'hand': found stage 1 on rank 2, expected a rank below 2");
}

TEST_CASE("a claim of four billion microbatches costs no memory to refuse") {
  schedule plan = two_ranks(good_first(), good_second());
  plan.microbatches = 4294967295;
  CHECK(check_error(plan) ==
        "schedule 'hand': rank 0 lacks 0F2, expected F and (B, or I and W) for each of 4294967295 microbatches");
}

TEST_CASE("the checker accepts just the orders that run to their end") {
  std::mt19937 random(20240711);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    schedule plan = test::random_schedule(random);
    REQUIRE(check_error(plan) == "");
    std::vector<action>& changed = plan.actions[test::pick(random, 0, plan.ranks - 1)];
    const auto last = static_cast<std::uint32_t>(changed.size() - 1);
    std::swap(changed[test::pick(random, 0, last)], changed[test::pick(random, 0, last)]);
    const bool accepted = check_error(plan).empty();
    REQUIRE(accepted == runs_through(plan));
    refused += accepted ? 0 : 1;
  }
  CHECK(refused > 200);
  CHECK(refused < 1800);
}

TEST_CASE("any action lost, doubled or moved to another rank is refused") {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const schedule good = test::random_schedule(random);
    const std::uint32_t rank = test::pick(random, 0, good.ranks - 1);
    const auto last = static_cast<std::uint32_t>(good.actions[rank].size() - 1);
    const std::uint32_t place = test::pick(random, 0, last);
    schedule lost = good;
    lost.actions[rank].erase(lost.actions[rank].begin() + place);
    CHECK(check_error(lost).find("lacks " + to_string({good.actions[rank][place].stage, good.actions[rank][place].op,
                                                       good.actions[rank][place].microbatch})) != std::string::npos);
    schedule doubled = good;
    doubled.actions[rank].push_back(good.actions[rank][place]);
    CHECK(check_error(doubled).find("twice") != std::string::npos);
    if (good.ranks > 1) {
      schedule moved = lost;
      moved.actions[(rank + 1) % good.ranks].push_back(good.actions[rank][place]);
      CHECK(check_error(moved).find("expected it on rank") != std::string::npos);
    }
  }
}
