#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/schedule.hpp"
#include "tests/support/refused_schedule.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Ranks apart by " | ", actions by blanks.
std::string lists_of(const schedule& plan) {
  std::string text;
  for (std::size_t rank = 0; rank < plan.actions.size(); ++rank) {
    text += rank == 0 ? "" : " |";
    for (const action& one : plan.actions[rank])
      text += (text.empty() ? "" : " ") + to_string(one);
  }
  return text;
}

std::string lists_of(const std::string& name, std::uint32_t ranks, std::uint32_t microbatches) {
  return lists_of(generate_schedule({name, ranks, microbatches, 1}));
}

} // namespace

TEST_CASE("naive takes each microbatch through before the next") {
  CHECK(lists_of("naive", 2, 2) == "0F0 0B0 0F1 0B1 | 1F0 1B0 1F1 1B1");
  CHECK(lists_of("naive", 1, 1) == "0F0 0B0");
}

TEST_CASE("gpipe runs all forward passes, then all backward passes in ascending order") {
  CHECK(lists_of("gpipe", 2, 3) == "0F0 0F1 0F2 0B0 0B1 0B2 | 1F0 1F1 1F2 1B0 1B1 1B2");
  CHECK(lists_of("gpipe", 1, 2) == "0F0 0F1 0B0 0B1");
}

TEST_CASE("1f1b warms up with one forward pass for each rank behind") {
  CHECK(lists_of("1f1b", 3, 4) == "0F0 0F1 0F2 0B0 0F3 0B1 0B2 0B3"
                                  " | 1F0 1F1 1B0 1F2 1B1 1F3 1B2 1B3"
                                  " | 2F0 2B0 2F1 2B1 2F2 2B2 2F3 2B3");
}

TEST_CASE("1f1b with fewer microbatches than ranks warms up with all of them") {
  CHECK(lists_of("1f1b", 4, 2) == "0F0 0F1 0B0 0B1"
                                  " | 1F0 1F1 1B0 1B1"
                                  " | 2F0 2F1 2B0 2B1"
                                  " | 3F0 3B0 3F1 3B1");
}

TEST_CASE("1f1b on one rank is plain gradient accumulation") {
  CHECK(lists_of("1f1b", 1, 3) == "0F0 0B0 0F1 0B1 0F2 0B2");
}

TEST_CASE("every schedule of whole stages can run, in the reference's order, within its bound on the stash") {
  for (const std::string name : {"naive", "gpipe", "1f1b"})
    for (std::uint32_t p = 1; p <= 9; ++p)
      for (std::uint32_t m = 1; m <= 20; ++m) {
        CAPTURE(name, p, m);
        const schedule plan = generate_schedule({name, p, m, 1});
        const schedule_facts facts = check_schedule(plan);
        CHECK(plan.name == name);
        CHECK(plan.ranks == p);
        CHECK(plan.microbatches == m);
        CHECK(facts.canonical);
        CHECK(facts.peak_by_stage == facts.peak_by_rank);
        for (std::uint32_t r = 0; r < p; ++r) {
          const std::uint32_t bound = name == "naive" ? 1 : name == "gpipe" ? m : std::min(p - r, m);
          REQUIRE(facts.peak_by_rank[r] == bound);
        }
      }
}

TEST_CASE("every schedule has a summary for help texts") {
  for (const std::string& name : schedule_names())
    CHECK_FALSE(schedule_summary(name).empty());
}

TEST_CASE("a request that breaks a rule is refused by that rule's name") {
  CHECK(
      refusal_of({"1f1", 2, 2, 1}) ==
      "schedule: found '1f1', expected one of naive, gpipe, 1f1b, interleaved-1f1b, looped-bfs, interleaved-zb, zb-h1, "
      "zb-h2, zb-v, v-half, v-min, dualpipev, dualpipe, chimera, hanayo, pipedream, pipedream-vertical-sync, "
      "pipedream-2bw, did you mean '1f1b'?");
  CHECK(refusal_of({"gpipe", 0, 2, 1}) == "schedule 'gpipe': found 0 ranks, expected at least 1");
  CHECK(refusal_of({"gpipe", 2, 0, 1}) == "schedule 'gpipe': found 0 microbatches, expected at least 1");
  for (const std::string name : {"naive", "gpipe", "1f1b", "zb-h1", "zb-h2"})
    CHECK(refusal_of({name, 2, 2, 2}) ==
          "schedule '" + name + "': found 2 chunks, expected 1, because each rank has one stage in it");
}

TEST_CASE("a request too large for memory is refused before any of it is built") {
  CHECK(refusal_of({"looped-bfs", 4294967295, 4294967295, 4294967295}) ==
        "schedule 'looped-bfs': found 18446744065119617025 stages with 4294967295 microbatches, expected a product of "
        "at most "
        "16777216");
  CHECK(refusal_of({"1f1b", 4097, 4096, 1}) ==
        "schedule '1f1b': found 4097 stages with 4096 microbatches, expected a product of at most 16777216");
}

TEST_CASE("an evaluating rank runs forward passes only, microbatch by microbatch, its stages ascending") {
  schedule plan;
  plan.ranks = 2;
  plan.placements = {{0, 1, 1, 0}};
  const std::vector<action> expected = {
      {0, operation::forward, 0}, {3, operation::forward, 0}, {0, operation::forward, 1}, {3, operation::forward, 1}};
  CHECK(evaluation_actions(plan, 0, 2) == expected);
  CHECK(evaluation_actions(plan, 1, 0).empty());
}
