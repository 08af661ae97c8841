// Ranks that die and live again: the result has the bits of the run in which nothing happened, and those who lived
// computed nothing twice.
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/failing_family.hpp"
#include "tests/support/mortal_run.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

TEST_CASE("a rank that dies at any event of the run leaves the bits as they are, and the others compute nothing twice",
          "[actors][restart]") {
  for (const std::string schedule : {"1f1b", "zb-h1", "pipedream"}) {
    const run_spec spec = mortal_spec(schedule);
    const made_up_data data(spec);
    const run_report expected = expected_of(spec, data);
    const std::uint64_t events = events_of(spec, data, 1);
    REQUIRE(events > 300);
    for (std::uint32_t rank = 0; rank < 3; ++rank)
      for (std::uint64_t when = rank; when < events; when += sanitized ? 97 : 1) {
        INFO(schedule << ", rank " << rank << " dies at event " << when << " of " << events);
        unruly_run run(spec, data, {}, 1);
        const outcome seen = run.play([&](std::uint64_t event) {
          if (event == when)
            run.kill_rank(rank);
        });
        check_finished(seen, expected);
        check_survivors(spec, *seen.report, {rank});
      }
  }
}

TEST_CASE("any set of ranks may die, at any time, again and again", "[actors][restart]") {
  for (const std::string schedule : {"gpipe", "1f1b", "interleaved-1f1b", "zb-v", "dualpipe", "pipedream-2bw"})
    for (const std::uint64_t every : {1U, 2U}) {
      run_spec spec = mortal_spec(schedule);
      spec.training.steps = 5;
      spec.faults.snapshot_every = every;
      const made_up_data data(spec);
      const run_report expected = expected_of(spec, data);
      for (std::uint64_t seed = 0; seed < orders(12); ++seed) {
        INFO(schedule << ", a snapshot every " << every << " steps, seed " << seed);
        std::mt19937_64 chance(seed);
        const bool together = seed % 4 == 0;
        std::uint32_t deaths = 0;
        unruly_run run(spec, data, {}, seed);
        const outcome seen = run.play([&](std::uint64_t event) {
          if (event < 20 || deaths >= 24 || chance() % 150 != 0)
            return;
          for (std::uint32_t rank = 0; rank < spec.pipeline.stages; ++rank)
            if (together || chance() % 2 == 0) {
              run.kill_rank(rank);
              ++deaths;
            }
        });
        INFO((seen.failure ? seen.failure->text : "no failure"));
        REQUIRE_FALSE(seen.failure);
        REQUIRE(seen.report);
        REQUIRE(deaths > 0);
        check_same_result(*seen.report, expected);
      }
    }
}

TEST_CASE("without snapshots the death of a rank ends the run and names it", "[actors][restart]") {
  run_spec spec = mortal_spec("1f1b");
  spec.faults.snapshot_every = 0;
  const made_up_data data(spec);
  unruly_run run(spec, data, {}, 1);
  const outcome seen = run.play([&](std::uint64_t event) {
    if (event == 100)
      run.kill_rank(1);
  });
  CHECK_FALSE(seen.report);
  REQUIRE(seen.failure);
  CHECK(seen.failure->kind == error_kind::run);
  CHECK(seen.failure->text == "rank 1 ended before the run did");
}

TEST_CASE("where no rank restarts, nobody keeps the snapshots of checkpoints in memory", "[actors][restart]") {
  const scratch_directory scratch(place_in_memory());
  run_spec spec = mortal_spec("1f1b");
  spec.faults.snapshot_every = GENERATE(0U, 1U);
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  spec.checkpoint.every = 1;
  const made_up_data data(spec);
  unruly_run run(spec, data, {}, 1);
  std::size_t most = 0;
  const outcome seen = run.play([&](std::uint64_t) { most = std::max(most, run.state_of_keeper()->shelf.size()); });
  REQUIRE(seen.report);
  CHECK((most == 0) == (spec.faults.snapshot_every == 0));
}

TEST_CASE("a rank that dies too often ends the run with the cause and leaves a checkpoint of the last whole step",
          "[actors][restart]") {
  const scratch_directory scratch;
  run_spec spec = mortal_spec("1f1b");
  spec.faults.max_restarts = 2;
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  const made_up_data data(spec);
  const failing_family family(2, {.when = failing_layer::moment::forward, .step = 1, .microbatch = 2});
  run_options options;
  options.family = &family;
  CHECK(error_text<run_error>([&] { run_pipeline(spec, data, options); }) ==
        "rank 1 died 3 times within 60 s, expected at most 2 (faults.max_restarts); last cause: rank 1 failed: the "
        "layer gave up");
  std::vector<std::string> warnings;
  CHECK(checkpoint::open_latest(spec.checkpoint.directory, warnings).steps_done() == 1);
  CHECK(warnings.empty());
}

TEST_CASE("ranks restart from snapshots on disk, also while the disk refuses some of them", "[actors][restart]") {
  const scratch_directory scratch(place_in_memory());
  for (const std::string schedule : {"1f1b", "zb-h1", "dualpipe"}) {
    run_spec spec = mortal_spec(schedule);
    spec.faults.snapshot_directory = scratch.path().string();
    spec.faults.chaos = "kill:count=6,seed=3";
    const made_up_data data(spec);
    for (const bool refusing : {false, true}) {
      INFO(schedule << (refusing ? ", disk refuses" : ""));
      failing_disk disk(ENOSPC, refusing ? 12 : std::numeric_limits<std::size_t>::max(), 5);
      std::vector<std::string> warnings;
      run_options options;
      options.disk = &disk;
      options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
      const outcome seen = unruly_run(spec, data, options, 1).play();
      check_finished(seen, expected_of(spec, data));
      CHECK(seen.report->recoveries.size() == 6);
      CHECK(disk.acts() > 12);
      CHECK(std::filesystem::is_empty(scratch.path()));
      if (refusing)
        CHECK_THAT(warnings.size() == 1 ? warnings[0] : "none, or several",
                   StartsWith(scratch.path().string() + ": cannot ") &&
                       EndsWith(": No space left on device; snapshots that the disk refuses are kept in memory"));
      else
        CHECK(warnings.empty());
    }
  }
}
