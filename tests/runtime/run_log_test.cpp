// A run and its decision log, when it does steps that were done before.
#include "runtime/generation.hpp"
#include "runtime/recovery/run_log.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::EndsWith;

namespace {

step_closed step(std::uint64_t number) {
  return {.at = {number},
          .loss = 3.5 - static_cast<double>(number),
          .gradient_norm = 0.1,
          .learning_rate = 0.01,
          .gradient_scale = 0.5,
          .snapshot = true};
}

struct logged_run {
  logged_run() { spec.checkpoint.directory = scratch.path("run"); }

  run_log open(log_start start, std::uint64_t first_step = 0) {
    return run_log(spec, {}, start, first_step, std::make_shared<owned_path>(), warnings);
  }

  std::vector<std::uint64_t> steps() {
    std::vector<std::uint64_t> found;
    for (const logged_decision& one : decision_log(spec.checkpoint.directory, spec, {}, warnings).decisions())
      found.push_back(one.at.step);
    return found;
  }

  scratch_directory scratch;
  run_spec spec = tiny_spec();
  std::vector<std::string> warnings;
};

/// Refuses everything while `code` is set.
struct switched_disk : disk_faults {
  int fault(disk_act, const std::filesystem::path&) override { return code; }
  int code = 0;
};

using steps = std::vector<std::uint64_t>;

} // namespace

TEST_CASE("a run that goes on checks the steps that its log has, and adds those that come after") {
  logged_run run;
  {
    run_log log = run.open(log_start::anew);
    for (std::uint64_t number = 0; number < 3; ++number)
      CHECK(log.note(step(number)).empty());
  }
  run_log log = run.open(log_start::go_on, 1);
  CHECK(log.note(step(1)).empty());
  step_closed without = step(2);
  without.snapshot = false; // is no part of the result
  CHECK(log.note(without).empty());
  CHECK(log.note(step(3)).empty());
  CHECK(run.steps() == steps{0, 1, 2, 3});
}

TEST_CASE("whatever of a step differs from the log is named, with what was found and expected") {
  const auto difference = [](auto change) {
    logged_run run;
    CHECK(run.open(log_start::anew).note(step(0)).empty());
    step_closed other = step(0);
    change(other);
    return error_text<checkpoint_error>([&] { run.open(log_start::go_on).note(other); });
  };
  CHECK(difference([](step_closed&) {}).empty());
  CHECK_THAT(difference([](step_closed& one) { one.loss = 2.0; }),
             EndsWith("decisions.log: step 1: loss: found 2 in this run, expected 3.5 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.gradient_norm = 2.0; }),
             EndsWith("gradient_norm: found 2 in this run, expected 0.10000000000000001 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.gradient_scale = 2.0; }),
             EndsWith("gradient_scale: found 2 in this run, expected 0.5 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.learning_rate = 2.0; }),
             EndsWith("learning_rate: found 2 in this run, expected 0.01 as in the log"));
  CHECK_THAT(difference([](step_closed& one) { one.poison.emplace(); }),
             EndsWith("skipped: found true in this run, expected false as in the log"));
}

TEST_CASE("a loss that is no number is the same as another one") {
  logged_run run;
  step_closed one = step(0);
  one.loss = std::numeric_limits<double>::quiet_NaN();
  CHECK(run.open(log_start::anew).note(one).empty());
  one.loss = -one.loss;
  CHECK(run.open(log_start::go_on).note(one).empty());
}

TEST_CASE("a step that the disk had refused stays out of the log, and the run goes on") {
  logged_run run;
  {
    run_log log = run.open(log_start::anew);
    CHECK(log.note(step(0)).empty());
    CHECK(log.note(step(2)).empty());
  }
  run_log log = run.open(log_start::go_on);
  for (std::uint64_t number = 0; number < 4; ++number)
    CHECK(log.note(step(number)).empty());
  CHECK(run.steps() == steps{0, 2, 3});
}

TEST_CASE("a disk that refuses the log now and then is told of once") {
  logged_run run;
  switched_disk disk;
  run_log log(run.spec, {}, log_start::anew, 0, std::make_shared<owned_path>(), run.warnings, &disk);
  for (std::uint64_t number = 0; number < 6; ++number) {
    disk.code = number % 2 == 1 ? ENOSPC : 0;
    CHECK(log.note(step(number)).empty() == (number != 1));
  }
  CHECK(run.steps() == steps{0, 2, 4});
}

TEST_CASE("a log that another process goes on with is written by that one alone") {
  logged_run run;
  run_log before = run.open(log_start::anew);
  CHECK(before.note(step(0)).empty());
  run_log after = run.open(log_start::go_on, 1);
  CHECK(after.note(step(1)).empty());
  const std::string refusal = "decisions.log: found the log of another process, which has gone on with this run "
                              "meanwhile, expected our own";
  CHECK_THAT(error_text<checkpoint_error>([&] { before.note(step(1)); }), EndsWith(refusal));
  CHECK_THAT(error_text<checkpoint_error>([&] { before.note_checkpoint(); }), EndsWith(refusal));
  CHECK(after.note(step(2)).empty());
  CHECK(run.steps() == steps{0, 1, 2});
}

TEST_CASE("whatever the disk refuses while the log is written anew, it stays the process's own") {
  std::size_t refused = 0;
  for (bool failed = true; failed; ++refused) {
    logged_run run;
    std::filesystem::create_directories(std::filesystem::path(run.spec.checkpoint.directory) / generation_name(1));
    run.open(log_start::anew);
    failing_disk disk(ENOSPC, 1 + refused);
    run_log log(run.spec, {}, log_start::go_on, 0, std::make_shared<owned_path>(), run.warnings, &disk);
    INFO("the disk refuses act " << 1 + refused);
    CHECK_NOTHROW(log.note(step(0)));
    CHECK_NOTHROW(log.note(step(1)));
    CHECK_NOTHROW(log.note_checkpoint());
    CHECK_NOTHROW(log.note(step(2)));
    failed = disk.has_failed();
  }
  CHECK(refused > 10);
}

TEST_CASE("a process goes on with its own log, but not with one that it has lost to another") {
  logged_run run;
  const auto ours = std::make_shared<owned_path>();
  const auto open = [&] { return run_log(run.spec, {}, log_start::go_on, 0, ours, run.warnings); };
  CHECK(open().note(step(0)).empty());
  CHECK(open().note(step(0)).empty());
  CHECK(run.open(log_start::go_on, 1).note(step(1)).empty());
  CHECK_THAT(error_text<checkpoint_error>([&] { open(); }), EndsWith("expected our own"));
  CHECK(run.steps() == steps{0, 1});
}
