// Faults that a run makes itself: each strikes where it was told to, and leaves the bits as they are.
#include "runtime/faults/chaos.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/mortal_run.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::VectorContains;

namespace {

run_spec struck_spec(const std::string& schedule) {
  run_spec spec = mortal_spec(schedule);
  spec.model.dropout = 0.0;
  spec.faults.max_restarts = 1000;
  return spec;
}

/// Plays the run with its chaos, in an order that follows from `seed`.
run_report survived(const run_spec& spec, const data_source& data, std::uint64_t seed) {
  const outcome seen = unruly_run(spec, data, {}, seed).play();
  INFO(spec.faults.chaos << ": " << (seen.failure ? seen.failure->text : "no failure"));
  REQUIRE_FALSE(seen.failure);
  REQUIRE(seen.report);
  return *seen.report;
}

/// All places of a run at which a kill can strike a rank, as --chaos takes them.
std::vector<std::string> places_of_kills(const run_spec& spec) {
  const plan pipeline = make_plan(spec, find_family(spec.model.family));
  const chaos_run run = chaos_run_of(spec, pipeline, 0);
  std::vector<std::string> places;
  for (std::uint32_t rank = 0; rank < run.ranks; ++rank)
    for (std::uint64_t step = 1; step <= run.end_step; ++step) {
      const std::string where = "kill:rank=" + std::to_string(rank) + ",step=" + std::to_string(step);
      for (std::uint32_t action = 0; action < run.actions[rank]; ++action)
        for (const std::string moment : {"before-receive", "after-compute", "after-send"})
          places.push_back(where + ",action=" + std::to_string(action) + ",at=" + moment);
      if (run.snapshot_every != 0 && step % run.snapshot_every == 0)
        places.push_back(where + ",at=during-snapshot");
    }
  return places;
}

/// Forward passes of the step that its rank has run when `event`, a kill, strikes.
std::uint64_t passes_before(const chaos_event& event, const plan& pipeline) {
  const std::vector<action>& list = pipeline.order.actions[event.rank];
  const std::size_t ran = event.action + (event.moment == chaos_moment::before_receive ? 0 : 1);
  const auto is_forward = [](const action& one) { return one.op == operation::forward; };
  return static_cast<std::uint64_t>(
      std::count_if(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(ran), is_forward));
}

std::vector<std::string> causes_of(const run_report& report) {
  std::vector<std::string> causes;
  std::ranges::transform(report.recoveries, std::back_inserter(causes), &rank_recovery::cause);
  return causes;
}

std::size_t kills_in(const std::vector<chaos_event>& events, std::uint32_t rank) {
  return static_cast<std::size_t>(
      std::ranges::count_if(events, [&](const chaos_event& one) { return one.rank == rank; }));
}

std::size_t recoveries_of(const run_report& report, std::uint32_t rank) {
  return static_cast<std::size_t>(std::ranges::count(report.recoveries, rank, &rank_recovery::rank));
}

} // namespace

TEST_CASE("a kill at any action and moment strikes once and leaves the bits as they are", "[actors][chaos]") {
  for (const std::string schedule : {"1f1b", "zb-h1", "pipedream"}) {
    run_spec spec = struck_spec(schedule);
    const made_up_data data(spec);
    const run_report expected = expected_of(spec, data);
    const plan pipeline = make_plan(spec, find_family(spec.model.family));
    const std::vector<std::string> places = places_of_kills(spec);
    REQUIRE(places.size() > 150);
    for (std::size_t place = 0; place < places.size(); place += sanitized ? 23 : 1) {
      spec.faults.chaos = places[place];
      INFO(schedule << ", " << spec.faults.chaos);
      const chaos_event event = chaos_of(spec, pipeline, 0).front();
      const run_report report = survived(spec, data, place);
      check_same_result(report, expected);
      REQUIRE(report.recoveries.size() == 1);
      const rank_recovery& recovery = report.recoveries.front();
      CHECK(recovery.rank == event.rank);
      CHECK(recovery.cause == "rank " + std::to_string(event.rank) + " failed: killed by chaos");
      // The next step may have begun, where steps run into one another or when the snapshot is handed out.
      const bool just_then = schedule != "pipedream" && event.moment != chaos_moment::during_snapshot;
      CHECK(recovery.step >= event.step);
      CHECK(recovery.step <= event.step + (just_then ? 0 : 1));
      const rank_usage& usage = report.ranks[event.rank].usage;
      CHECK(usage.replayed_passes == recovery.replayed_passes);
      if (!just_then)
        continue;
      CHECK(usage.forward_passes == passes_of(spec, event.rank) + usage.replayed_passes);
      // Besides what its predecessor had done of this step, all of the one before, if a snapshot of that was on its
      // way.
      const std::uint64_t done = passes_before(event, pipeline);
      CHECK_THAT((std::vector{done, done + spec.training.microbatches}), VectorContains(recovery.replayed_passes));
    }
  }
}

TEST_CASE("every kill that a seed draws strikes, and what was drawn, as text, makes the same deaths again",
          "[actors][chaos]") {
  for (const std::string schedule : {"1f1b", "zb-h1", "pipedream-2bw"})
    for (std::uint64_t seed = 0; seed < orders(8); ++seed) {
      run_spec spec = struck_spec(schedule);
      spec.training.steps = 5;
      spec.faults.snapshot_every = 1 + seed % 2;
      spec.faults.chaos = "kill:count=12,seed=" + std::to_string(seed);
      INFO(schedule << ", " << spec.faults.chaos);
      const made_up_data data(spec);
      const std::vector<chaos_event> events = chaos_of(spec, make_plan(spec, find_family(spec.model.family)), 0);
      const run_report report = survived(spec, data, seed);
      check_same_result(report, expected_of(spec, data));
      for (std::uint32_t rank = 0; rank < 3; ++rank)
        CHECK(recoveries_of(report, rank) == kills_in(events, rank));
      run_spec again = spec;
      again.faults.chaos = to_text(events);
      CHECK(causes_of(survived(again, data, seed)) == causes_of(report));
    }
}

TEST_CASE("a rank that is killed three times at one place lives a fourth time, and each death is told once",
          "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  const made_up_data data(spec);
  spec.faults.chaos = "kill:rank=1,step=2,action=3,at=after-compute,count=3";
  std::vector<std::string> told;
  run_options options;
  options.on_recovery = [&](const rank_recovery& one) { told.push_back(one.cause); };
  const outcome seen = unruly_run(spec, data, options, 1).play();
  REQUIRE(seen.report);
  check_same_result(*seen.report, expected_of(spec, data));
  CHECK(causes_of(*seen.report) == std::vector<std::string>(3, "rank 1 failed: killed by chaos"));
  CHECK(told == causes_of(*seen.report));
  for (const rank_recovery& one : seen.report->recoveries) // also of the lives that died before they had caught up
    CHECK(one.replayed_passes == seen.report->recoveries.front().replayed_passes);
  const rank_usage& usage = seen.report->ranks[1].usage;
  CHECK(usage.replayed_passes == 3 * seen.report->recoveries.front().replayed_passes);
  CHECK(usage.forward_passes == passes_of(spec, 1) + usage.replayed_passes);
}

TEST_CASE("a rank that is killed while it hands out a snapshot for a checkpoint leaves that whole", "[actors][chaos]") {
  const scratch_directory scratch;
  run_spec spec = struck_spec("1f1b");
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  spec.checkpoint.every = 1;
  spec.checkpoint.keep = 3;
  const made_up_data data(spec);
  for (std::uint64_t seed = 0; seed < orders(8); ++seed) {
    std::filesystem::remove_all(spec.checkpoint.directory);
    spec.faults.chaos = "kill:at=during-snapshot,count=4,seed=" + std::to_string(seed);
    const run_report report = survived(spec, data, seed);
    check_same_result(report, expected_of(spec, data));
    CHECK(report.recoveries.size() == 4);
    CHECK(report.failed_checkpoints.empty());
    for (const std::string name : {"step-00000001", "step-00000002", "step-00000003"}) {
      std::vector<std::string> warnings;
      checkpoint::open_latest(scratch / "checkpoints" / name, warnings);
      CHECK(warnings.empty());
    }
  }
}

TEST_CASE("a kill where no snapshots are taken ends the run and says why", "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  spec.faults.snapshot_every = 0;
  spec.faults.chaos = "kill:rank=2,step=1,action=0,at=before-receive";
  const outcome seen = unruly_run(spec, made_up_data(spec), {}, 1).play();
  REQUIRE(seen.failure);
  CHECK(seen.failure->text == "rank 2 failed: killed by chaos");
}

TEST_CASE("messages that arrive twice or are overtaken change no bit, also when ranks die", "[actors][chaos]") {
  for (const std::string schedule : {"gpipe", "1f1b", "zb-h1", "pipedream"})
    for (const std::string chaos : {"duplicate:share=1", "reorder:share=1", "duplicate:share=0.3+reorder:share=0.5",
                                    "reorder:share=0.5+duplicate:share=0.3+kill:count=4"}) {
      run_spec spec = struck_spec(schedule);
      const made_up_data data(spec);
      const run_report expected = expected_of(spec, data);
      spec.faults.chaos = chaos;
      for (std::uint64_t seed = 0; seed < orders(6); ++seed) {
        INFO(schedule << ", " << chaos << ", seed " << seed);
        check_same_result(survived(spec, data, seed), expected);
      }
    }
}

TEST_CASE("a message that is to arrive twice does", "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  const made_up_data data(spec);
  const auto events = [&](const std::string& chaos) {
    spec.faults.chaos = chaos;
    unruly_run run(spec, data, {}, 1);
    run.play();
    return run.events();
  };
  // Of 4 microbatches between 3 ranks, there and back, in 3 steps. Each is an event on its way and one where it
  // arrives.
  constexpr std::uint64_t messages = 48;
  CHECK(events("duplicate:share=1") >= events("") + messages);
}

TEST_CASE("on real threads messages are late, doubled and overtaken, ranks die, and the bits stay", "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  const made_up_data data(spec);
  const run_report expected = expected_of(spec, data);
  for (const std::string kills : {"", "+kill:count=3"}) {
    spec.faults.chaos = "duplicate:share=0.2+reorder:share=0.3+delay:share=0.5,for=2ms" + kills;
    const run_report report = run_pipeline(spec, data, {});
    check_same_result(report, expected);
    CHECK(report.recoveries.size() == (kills.empty() ? 0 : 3));
  }
}

TEST_CASE("on real threads ranks are killed a hundred times, and the bits stay", "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  spec.training.steps = 40;
  spec.optimizer.decay_steps = 40;
  spec.faults.chaos = "kill:count=100";
  const made_up_data data(spec);
  const run_report report = run_pipeline(spec, data, {});
  check_same_result(report, expected_of(spec, data));
  CHECK(report.recoveries.size() == 100);
}

TEST_CASE("a step takes at least as long as messages that are late need for the way there and back",
          "[actors][chaos]") {
  run_spec spec = struck_spec("1f1b");
  const made_up_data data(spec);
  spec.faults.chaos = "delay:share=1,for=5ms";
  const run_report report = run_pipeline(spec, data, {});
  check_same_result(report, expected_of(spec, data));
  for (const double seconds : report.step_seconds)
    CHECK(seconds >= 4 * 0.005);
}

TEST_CASE("the disk refuses the writes that chaos names, and only these checkpoints are missing", "[actors][chaos]") {
  const scratch_directory scratch(place_in_memory());
  run_spec spec = struck_spec("1f1b");
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  spec.checkpoint.every = 1;
  const made_up_data data(spec);
  spec.faults.chaos = "disk:write=1+disk:write=2,error=EIO";
  const run_report report = run_pipeline(spec, data, {});
  check_same_result(report, expected_of(spec, data));
  REQUIRE(report.failed_checkpoints.size() == 2);
  CHECK(report.failed_checkpoints[0].steps_done == 1);
  CHECK_THAT(report.failed_checkpoints[0].reason, Catch::EndsWith(": cannot write: No space left on device"));
  CHECK(report.failed_checkpoints[1].steps_done == 2);
  CHECK_THAT(report.failed_checkpoints[1].reason, Catch::EndsWith(": cannot write: Input/output error"));
}
