// Runs whose checkpoints fail: under CAF's deterministic scheduler with messages in any order, and on real threads.
#include "runtime/generation.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>

using namespace troupe;
using namespace troupe::test;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

/// A checkpoint after each of four steps, of which all are kept.
run_spec saved_spec(const fs::path& directory) {
  run_spec spec = tiny_spec();
  spec.training.steps = 4;
  spec.pipeline.stages = 3;
  spec.checkpoint.directory = directory.string();
  spec.checkpoint.every = 1;
  spec.checkpoint.keep = 4;
  return spec;
}

run_report unsaved_reference(run_spec spec) {
  spec.checkpoint = {};
  return run_reference(spec, made_up_data(spec), {});
}

/// Each step has its generation but for those that the report says have failed, and there is nothing else. When just
/// the sync of its name fails, one that has failed is there all the same. All are whole.
void check_directory(const run_report& report) {
  const fs::path directory = report.spec.checkpoint.directory;
  const std::set<std::string> found = names_in(directory);
  std::set<std::string> expected{decision_log_name};
  for (std::uint64_t step = 1; step <= report.spec.training.steps; ++step)
    expected.insert(generation_name(step));
  for (const checkpoint_failed& one : report.failed_checkpoints)
    if (one.reason.find((directory.string() + ": cannot sync")) == std::string::npos)
      expected.erase(generation_name(one.steps_done));
  CHECK(found == expected);
  for (const std::string& name : found) {
    if (name == decision_log_name)
      continue;
    std::vector<std::string> warnings;
    CHECK(generation_name(checkpoint::open_latest(directory / name, warnings).steps_done()) == name);
  }
}

/// How often the disk is asked in a run.
std::size_t acts_of(const run_spec& spec) {
  failing_disk disk(EIO, never);
  run_options options;
  options.disk = &disk;
  REQUIRE(unruly_run(spec, made_up_data(spec), options, 0).play().report);
  return disk.acts();
}

} // namespace

TEST_CASE("whichever act of any checkpoint fails, the run ends with the reference's bits, and the others are whole",
          "[actors]") {
  const scratch_directory scratch(place_in_memory());
  const run_spec spec = saved_spec(scratch / "ckpt");
  const made_up_data data(spec);
  const run_report reference = unsaved_reference(spec);
  const std::size_t acts = acts_of(spec);
  std::set<std::uint64_t> failed;
  std::uint64_t seed = 0;
  for (std::size_t act = 1; act <= acts; act += sanitized ? 83 : 5) {
    fs::remove_all(spec.checkpoint.directory);
    failing_disk disk(ENOSPC, act);
    run_options options;
    options.disk = &disk;
    INFO("act " << act << " of " << acts);
    const outcome seen = unruly_run(spec, data, options, ++seed).play();
    REQUIRE_FALSE(seen.failure);
    REQUIRE(seen.report);
    check_same_result(*seen.report, reference);
    REQUIRE(seen.report->failed_checkpoints.size() == 1);
    failed.insert(seen.report->failed_checkpoints[0].steps_done);
    check_directory(*seen.report);
  }
  CHECK(failed == std::set<std::uint64_t>{1, 2, 3, 4});
}

TEST_CASE("a run on real threads goes on when one checkpoint fails, or two, or all, and says which", "[actors]") {
  const scratch_directory scratch(place_in_memory());
  const run_spec spec = saved_spec(scratch / "ckpt");
  const run_report reference = unsaved_reference(spec);
  const std::size_t acts = acts_of(spec) / 4;
  for (const std::size_t failures : {std::size_t{1}, std::size_t{2}, never}) { // the second is the next one's first act
    fs::remove_all(spec.checkpoint.directory);
    failing_disk disk(EDQUOT, acts / 2, failures);
    std::vector<std::uint64_t> committed;
    std::vector<std::uint64_t> failed;
    run_options options;
    options.disk = &disk;
    options.on_checkpoint = [&](const checkpoint_committed& one) { committed.push_back(one.steps_done); };
    options.on_checkpoint_failed = [&](const checkpoint_failed& one) {
      failed.push_back(one.steps_done);
      CHECK_THAT(one.reason, Catch::EndsWith(": Disk quota exceeded"));
    };
    const run_report report = run_pipeline(spec, made_up_data(spec), options);
    check_same_result(report, reference);
    CHECK(report.failed_checkpoints.size() == failed.size());
    CHECK(committed.size() + failed.size() == 4);
    CHECK(failed.front() == 1);
    CHECK(failed.size() == std::min(failures, std::size_t{4}));
    check_directory(report);
  }
}

TEST_CASE("a checkpoint directory that cannot be made ends a run of actors before its first step", "[actors]") {
  const scratch_directory scratch;
  write_bytes(scratch / "file", "x");
  const run_spec spec = saved_spec(scratch / "file" / "below");
  run_options options;
  options.on_step = [](const step_progress&) { FAIL("a step was taken"); };
  CHECK_THAT(error_text<checkpoint_error>([&] { run_pipeline(spec, made_up_data(spec), options); }),
             Catch::Contains("below: cannot create a directory: Not a directory"));
}
