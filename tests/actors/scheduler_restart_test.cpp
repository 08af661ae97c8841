// A scheduler that dies and is followed by another one: the result has the bits of the run in which nothing happened,
// nothing is computed twice, and no step is told twice.
#include "tests/support/error_text.hpp"
#include "tests/support/mortal_run.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// The steps that a run says it has done.
struct told_steps {
  std::vector<std::uint64_t> steps;

  run_options listening() {
    run_options options;
    options.on_step = [this](const step_progress& one) { steps.push_back(one.step); };
    return options;
  }
};

} // namespace

TEST_CASE(
    "a scheduler that dies at any event of the run leaves the bits as they are, and nobody computes anything twice",
    "[actors][restart][scheduler]") {
  for (const std::string schedule : {"1f1b", "zb-h1", "pipedream"}) {
    const run_spec spec = mortal_spec(schedule);
    const made_up_data data(spec);
    const run_report expected = expected_of(spec, data);
    const std::uint64_t events = events_of(spec, data, 1);
    REQUIRE(events > 300);
    std::uint64_t deaths = 0;
    std::uint64_t recoveries = 0;
    for (std::uint64_t when = 0; when < events; when += sanitized ? 31 : 1) {
      INFO(schedule << ", the scheduler dies at event " << when << " of " << events);
      told_steps told;
      unruly_run run(spec, data, told.listening(), 1);
      const outcome seen = run.play([&](std::uint64_t event) {
        if (event == when)
          run.kill_scheduler();
      });
      check_finished(seen, expected);
      check_survivors(spec, *seen.report, {});
      CHECK(told.steps == std::vector<std::uint64_t>{1, 2, 3});
      ++deaths;
      recoveries += seen.report->scheduler_recoveries.size();
    }
    CHECK(recoveries <= deaths); // the last ones die when all is said
    CHECK(recoveries + 30 > deaths);
  }
}

TEST_CASE("scheduler and ranks may die at any time, together, and again and again", "[actors][restart][scheduler]") {
  for (const std::string schedule : {"gpipe", "1f1b", "interleaved-1f1b", "zb-v", "dualpipe", "pipedream-2bw"})
    for (const std::uint64_t every : {1U, 2U}) {
      run_spec spec = mortal_spec(schedule);
      spec.training.steps = 5;
      spec.faults.snapshot_every = every;
      const made_up_data data(spec);
      const run_report expected = expected_of(spec, data);
      for (std::uint64_t seed = 0; seed < orders(20); ++seed) {
        INFO(schedule << ", a snapshot every " << every << " steps, seed " << seed);
        std::mt19937_64 chance(seed);
        std::uint32_t deaths = 0;
        unruly_run run(spec, data, {}, seed);
        const outcome seen = run.play([&](std::uint64_t event) {
          if (event < 20 || deaths >= 12 || chance() % 150 != 0)
            return;
          ++deaths;
          run.kill_scheduler();
          if (seed % 2 == 0)
            run.kill_rank(static_cast<std::uint32_t>(chance() % spec.pipeline.stages));
        });
        REQUIRE(deaths > 0);
        check_finished(seen, expected);
      }
    }
}

TEST_CASE("a scheduler may die while messages are lost", "[actors][restart][scheduler][lost]") {
  for (const std::string schedule : {"1f1b", "pipedream"}) {
    const run_spec spec = mortal_spec(schedule);
    const made_up_data data(spec);
    const run_report expected = expected_of(spec, data);
    for (std::uint64_t seed = 0; seed < orders(20); ++seed) {
      INFO(schedule << ", seed " << seed);
      std::mt19937_64 chance(seed);
      unruly_run run(spec, data, {}, seed);
      run.lose(0.2);
      const outcome seen = run.play([&](std::uint64_t event) {
        if (event < 1000 && chance() % 150 == 0)
          run.kill_scheduler();
      });
      check_finished(seen, expected);
    }
  }
}

TEST_CASE("a scheduler that dies while checkpoints are written leaves them whole", "[actors][restart][scheduler]") {
  const scratch_directory scratch;
  run_spec spec = mortal_spec("1f1b");
  spec.checkpoint.every = 1;
  const made_up_data data(spec);
  const run_report expected = expected_of(spec, data);
  spec.checkpoint.directory = (scratch / "counted").string();
  const std::uint64_t events = events_of(spec, data, 1);
  for (std::uint64_t when = 0; when < events; when += sanitized ? 67 : 7) {
    INFO("the scheduler dies at event " << when << " of " << events);
    spec.checkpoint.directory = (scratch / std::to_string(when)).string();
    unruly_run run(spec, data, {}, 1);
    const outcome seen = run.play([&](std::uint64_t event) {
      if (event == when)
        run.kill_scheduler();
    });
    INFO((seen.failure ? seen.failure->text : "no failure"));
    REQUIRE(seen.report);
    CHECK(seen.report->weights_sha256 == expected.weights_sha256);
    std::vector<std::string> warnings;
    CHECK(checkpoint::open_latest(spec.checkpoint.directory, warnings).steps_done() == 3);
    CHECK(warnings.empty());
  }
}

TEST_CASE("a user's wish to end outlives the scheduler that was told of it", "[actors][restart][scheduler]") {
  run_spec spec = mortal_spec("1f1b");
  spec.training.steps = 200;
  const made_up_data data(spec);
  for (std::uint64_t seed = 0; seed < orders(10); ++seed) {
    unruly_run run(spec, data, {}, seed);
    const outcome seen = run.play([&](std::uint64_t event) {
      if (event == 500)
        caf::anon_send(run.everyone().keeper, interrupt_message{});
      if (event == 500 + 3 * seed)
        run.kill_scheduler();
    });
    INFO((seen.failure ? seen.failure->text : "no failure"));
    REQUIRE(seen.report);
    CHECK(seen.report->interrupted);
    CHECK(seen.report->losses.size() < 20);
  }
}

TEST_CASE("chaos kills the scheduler at the opening of a step, and the report names it",
          "[actors][restart][scheduler][chaos]") {
  run_spec spec = mortal_spec("1f1b");
  const made_up_data data(spec);
  const run_report expected = expected_of(spec, data);
  spec.faults.chaos = "kill-scheduler:step=1+kill-scheduler:step=3";
  const run_report report = run_pipeline(spec, data, {});
  CHECK(report.weights_sha256 == expected.weights_sha256);
  REQUIRE(report.scheduler_recoveries.size() == 2);
  CHECK(report.scheduler_recoveries[0].cause == "the scheduler was killed by chaos");
  CHECK(report.scheduler_recoveries[1].step == 1); // the third, step 2, had not begun
  CHECK(report.scheduler_recoveries[1].resumed >= report.scheduler_recoveries[1].noticed);
}

TEST_CASE("a scheduler that dies too often ends the run with the cause and leaves a checkpoint of the last whole step",
          "[actors][restart][scheduler]") {
  const scratch_directory scratch;
  run_spec spec = mortal_spec("1f1b");
  spec.validation.every = 0; // the scheduler would close the second step for good before it
  spec.faults.max_restarts = 2;
  spec.faults.chaos = "kill-scheduler:step=3+kill-scheduler:step=3+kill-scheduler:step=3";
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  const made_up_data data(spec);
  CHECK(
      error_text<run_error>([&] { run_pipeline(spec, data, {}); }) ==
      "the scheduler died 3 times within 60 s, expected at most 2 (faults.max_restarts); last cause: the scheduler was "
      "killed by chaos");
  std::vector<std::string> warnings;
  CHECK(checkpoint::open_latest(spec.checkpoint.directory, warnings).steps_done() == 1);
}

TEST_CASE("without snapshots the death of the scheduler ends the run", "[actors][restart][scheduler]") {
  run_spec spec = mortal_spec("1f1b");
  spec.faults.snapshot_every = 0;
  const made_up_data data(spec);
  unruly_run run(spec, data, {}, 1);
  const outcome seen = run.play([&](std::uint64_t event) {
    if (event == 100)
      run.kill_scheduler();
  });
  CHECK_FALSE(seen.report);
  REQUIRE(seen.failure);
  CHECK(seen.failure->text == "the scheduler ended before the run did");
}
