// What the ranks of a real run hold: never more than the schedule says.
#include "actors/run.hpp"
#include "runtime/plan.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

run_report run_with(const std::string& schedule, recompute recomputation = recompute::none) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 4;
  spec.training.microbatches = 32;
  spec.pipeline.schedule = schedule;
  spec.pipeline.recomputation = recomputation;
  return run_pipeline(spec, made_up_data(spec), {});
}

} // namespace

TEST_CASE("with 4 stages and 32 microbatches a 1F1B rank holds p - r of them and a GPipe rank all", "[actors][stash]") {
  const run_report one_f_one_b = run_with("1f1b");
  const run_report gpipe = run_with("gpipe");
  const run_report naive = run_with("naive");
  REQUIRE(one_f_one_b.ranks.size() == 4);
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    INFO("rank " << rank);
    CHECK(one_f_one_b.ranks[rank].usage.peak_stash_microbatches == std::min(4 - rank, 32U));
    CHECK(gpipe.ranks[rank].usage.peak_stash_microbatches == 32);
    CHECK(naive.ranks[rank].usage.peak_stash_microbatches == 1);
    // Bytes follow: what one microbatch takes, times the microbatches held.
    const std::uint64_t one = naive.ranks[rank].usage.peak_stash_bytes;
    CHECK(one > 0);
    CHECK(gpipe.ranks[rank].usage.peak_stash_bytes == 32 * one);
    CHECK(one_f_one_b.ranks[rank].usage.peak_stash_bytes == (4 - rank) * one);
  }
}

TEST_CASE("a rank with several stages, or with deferred W, holds exactly its schedule's peak", "[actors][stash]") {
  run_spec spec = tiny_spec();
  spec.model.layers = 6;
  spec.pipeline.stages = 4;
  spec.training.microbatches = 12;
  for (const std::string schedule : {"interleaved-1f1b", "looped-bfs", "interleaved-zb", "zb-h1", "zb-h2", "zb-v",
                                     "v-half", "v-min", "dualpipev", "dualpipe", "chimera", "hanayo"}) {
    spec.pipeline.schedule = schedule;
    INFO(schedule);
    const std::vector<std::uint32_t> peaks = make_plan(spec, find_family(spec.model.family)).facts.peak_by_rank;
    const run_report report = run_pipeline(spec, made_up_data(spec), {});
    std::vector<std::uint32_t> measured;
    for (const auto& rank : report.ranks)
      measured.push_back(rank.usage.peak_stash_microbatches);
    CHECK(measured == peaks);
  }
}

TEST_CASE("recomputation holds fewer bytes and counts what it ran again", "[actors][stash]") {
  const run_report kept = run_with("gpipe");
  const run_report recomputed = run_with("gpipe", recompute::full);
  for (std::uint32_t rank = 0; rank < 4; ++rank) {
    INFO("rank " << rank);
    CHECK(kept.ranks[rank].usage.recomputed_microbatches == 0);
    CHECK(recomputed.ranks[rank].usage.recomputed_microbatches == std::uint64_t{32} * 3);
    CHECK(recomputed.ranks[rank].usage.peak_stash_bytes < kept.ranks[rank].usage.peak_stash_bytes / 2);
  }
}
