// What a run writes to its decision log, and what it does when it cannot.
#include "runtime/recovery/decision_log.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/failing_disk.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

namespace fs = std::filesystem;

run_spec logged_spec(const fs::path& directory) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.optimizer.clip = 0.05;
  spec.checkpoint.directory = directory.string();
  return spec;
}

/// No checkpoint is ever written, so that the log keeps all.
struct no_checkpoints {
  failing_disk disk{EIO, 1, std::numeric_limits<std::size_t>::max() - 1};

  run_options options() {
    run_options options;
    options.disk = &disk;
    return options;
  }
};

std::vector<logged_decision> log_in(const fs::path& directory) {
  return parse_decision_log(read_bytes(directory / decision_log_name), "the log").decisions;
}

} // namespace

TEST_CASE("the log has each step and validation as the report has them, once, also when the scheduler dies",
          "[actors][scheduler]") {
  const scratch_directory scratch;
  const run_spec spec = logged_spec(scratch / "run");
  const made_up_data data(spec);
  for (const std::uint64_t when : {0U, 200U, 300U}) {
    fs::remove_all(spec.checkpoint.directory);
    no_checkpoints without;
    unruly_run run(spec, data, without.options(), 1);
    const outcome seen = run.play([&](std::uint64_t event) {
      if (when > 0 && event == when)
        run.kill_scheduler();
    });
    REQUIRE(seen.report);
    REQUIRE(seen.report->scheduler_recoveries.size() == (when > 0 ? 1 : 0));
    std::vector<double> losses;
    std::vector<double> norms;
    std::vector<double> validations;
    for (const logged_decision& one : log_in(spec.checkpoint.directory))
      if (one.at.mode == pass_mode::evaluate) {
        validations.push_back(one.loss);
      } else {
        losses.push_back(one.loss);
        norms.push_back(one.gradient_norm);
        CHECK(one.gradient_scale < 1.0);
        CHECK(one.snapshot);
      }
    CHECK(losses == seen.report->losses);
    CHECK(norms == seen.report->gradient_norms);
    REQUIRE(validations.size() == 1);
    CHECK(validations[0] == seen.report->validations[0].loss);
  }
}

TEST_CASE("no one is told of a step before the log has it", "[actors]") {
  const scratch_directory scratch;
  const run_spec spec = logged_spec(scratch / "run");
  const made_up_data data(spec);
  no_checkpoints without;
  run_options options = without.options();
  std::size_t told = 0;
  options.on_step = [&](const step_progress& one) {
    ++told;
    const std::vector<logged_decision> decisions = log_in(spec.checkpoint.directory);
    REQUIRE_FALSE(decisions.empty());
    CHECK(decisions.back().at.step + 1 >= one.step);
  };
  REQUIRE(unruly_run(spec, data, options, 1).play().report);
  CHECK(told == 3);
}

TEST_CASE("a log that cannot be written is told once, and the run goes on without", "[actors]") {
  const scratch_directory scratch;
  const run_spec spec = logged_spec(scratch / "run");
  const made_up_data data(spec);
  std::vector<std::string> warnings;
  run_options options;
  options.on_step = [&](const step_progress& one) {
    if (one.step == 1)
      fs::remove(spec.checkpoint.directory + "/" + decision_log_name);
  };
  options.on_warning = [&](const std::string& text) { warnings.push_back(text); };
  const outcome seen = unruly_run(spec, data, options, 1).play();
  REQUIRE(seen.report);
  check_same_result(*seen.report, run_reference(logged_spec({}), data, {}));
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], StartsWith("decision log: ") && Contains("going on without"));
}

TEST_CASE("a new run begins its log anew, whatever one without a checkpoint has left there", "[actors]") {
  const scratch_directory scratch;
  run_spec spec = logged_spec(scratch / "run");
  const made_up_data data(spec);
  no_checkpoints without;
  REQUIRE(unruly_run(spec, data, without.options(), 1).play().report);
  spec.training.seed = 8;
  const outcome seen = unruly_run(spec, data, without.options(), 1).play();
  INFO((seen.failure ? seen.failure->text : "no failure"));
  REQUIRE(seen.report);
  REQUIRE(log_in(spec.checkpoint.directory).size() == 4);
  CHECK(log_in(spec.checkpoint.directory).front().loss == seen.report->losses.front());
}
