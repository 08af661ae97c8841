// Runs of the real program that are killed, and go on from their last checkpoint and their decision log.
#include "runtime/checkpoint.hpp"
#include "runtime/generation.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "tests/support/small_distributed_run.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using nlohmann::json;

namespace {

namespace fs = std::filesystem;
using arguments = std::vector<std::string>;

decision_log_content log_in(const fs::path& directory) {
  return parse_decision_log(read_bytes(directory / decision_log_name), "the log");
}

/// A run of four steps of which only the checkpoint after two is left, and the log of the other two.
struct cut_run {
  cut_run() {
    copy_trained_checkpoint(directory);
    whole = checkpoint::open_latest(directory, warnings).path().filename();
    fs::remove_all(directory / whole);
  }

  program_result resume() const {
    return run_program(words_of_run(scratch, arguments{"--resume", directory.string(), "--stages", "2"}));
  }

  scratch_directory scratch;
  fs::path directory = scratch / "run";
  fs::path whole;
  std::vector<std::string> warnings;
};

std::string weights_of_whole_run() {
  const scratch_directory scratch;
  REQUIRE(run_program(words_of_run(scratch, {})).exit_code == 0);
  return last_report(scratch)["weights_sha256"];
}

} // namespace

TEST_CASE("a run that is killed again and again goes on each time, and ends in the weights of one that was not") {
  const scratch_directory scratch;
  const fs::path directory = scratch / "run";
  const arguments endless = words_of_run(scratch, arguments{"--steps", "1000000000"});
  const arguments saved =
      endless + arguments{"--stages", "2", "--checkpoint", directory.string(), "--checkpoint-every", "7"};
  std::uint64_t reached = 0;
  for (int kill = 0; kill < 5; ++kill) {
    running_program program(saved + (kill == 0 ? arguments{} : arguments{"--resume", directory.string()}));
    wait_for_later(program, directory, reached);
    program.send(SIGKILL);
    CHECK(program.finish().exit_code == 128 + SIGKILL);
    reached = newest_in(directory);
  }
  const std::string end = std::to_string(reached + 20);
  const program_result result = run_program(saved + arguments{"--resume", directory.string(), "--stop-after", end});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json resumed = last_report(scratch);
  REQUIRE(run_program(endless + arguments{"--schedule", "reference", "--stop-after", end}).exit_code == 0);
  CHECK(resumed["weights_sha256"] == last_report(scratch)["weights_sha256"]);
}

TEST_CASE("a run that goes on does the steps of its decision log once more, and writes none of them twice") {
  const cut_run run;
  REQUIRE(log_in(run.directory).decisions.size() == 2);
  const program_result result = run.resume();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(result.err.empty());
  CHECK(last_report(run.scratch)["weights_sha256"] == weights_of_whole_run());
  const std::vector<logged_decision> decisions = log_in(run.directory).decisions;
  REQUIRE(decisions.size() == 2);
  CHECK(decisions[0].at.step == 2);
  CHECK(decisions[0].loss == last_report(run.scratch)["losses"][0]);
}

TEST_CASE("a step that has another loss than in the decision log ends the run, naming both") {
  cut_run run;
  const decision_log_content content = log_in(run.directory);
  {
    decision_log log(run.directory, content.spec, content.versions, run.warnings);
    log.go_back_to(3);
    logged_decision other = content.decisions[1];
    other.loss = 0.25;
    log.append(other);
  }
  const program_result result = run.resume();
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, Contains("decisions.log: step 4: loss: found "));
  CHECK_THAT(result.err, Contains(" in this run, expected 0.25 as in the log"));
}

TEST_CASE("a last record that the kill has cut off is dropped with a warning, and the run goes on") {
  const cut_run run;
  fs::resize_file(run.directory / decision_log_name, fs::file_size(run.directory / decision_log_name) - 3);
  const program_result result = run.resume();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.err, StartsWith("warning: "));
  CHECK_THAT(result.err, Contains("decisions.log: byte "));
  CHECK(last_report(run.scratch)["weights_sha256"] == weights_of_whole_run());
  CHECK(log_in(run.directory).decisions.size() == 2);
}

TEST_CASE(
    "a decision log that is damaged before its end is refused with the way out, which leads to the same weights") {
  const cut_run run;
  const fs::path log = run.directory / decision_log_name;
  const bool emptied = GENERATE(false, true);
  std::string bytes = emptied ? "" : read_bytes(log);
  if (!emptied)
    bytes[parse_decision_log(bytes, "the log").starts[1] - 1] ^= 1;
  write_bytes(log, bytes);
  const program_result refused = run.resume();
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, Contains(emptied ? "decisions.log: found an empty file, expected a decision log; --resume "
                                           : ", expected a whole record, as one follows at byte "));
  CHECK_THAT(refused.err, EndsWith("; --resume " + run.directory.string() +
                                   " --checkpoint OTHER_DIR goes on from the newest checkpoint without it\n"));
  CHECK(report_of_run(run.scratch, {"--resume", run.directory.string(), "--checkpoint",
                                    run.scratch.path("other")})["weights_sha256"] == weights_of_whole_run());
}

TEST_CASE("where nothing but a damaged decision log is left, a line says that the run can begin anew") {
  const cut_run run;
  for (const std::uint64_t step : list_generations(run.directory).steps)
    fs::remove_all(run.directory / generation_name(step));
  write_bytes(run.directory / decision_log_name, "");
  const program_result refused = run.resume();
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, EndsWith("decisions.log: found an empty file, expected a decision log; there is no "
                                   "checkpoint, either: without --resume the run begins anew\n"));
  CHECK(report_of_run(run.scratch, {"--checkpoint", run.directory.string()})["weights_sha256"] ==
        weights_of_whole_run());
}

TEST_CASE("a decision log of another run is refused") {
  const cut_run run;
  const scratch_directory scratch;
  REQUIRE(run_program(words_of_run(scratch, arguments{"--seed", "2", "--checkpoint", scratch.path("run")})).exit_code ==
          0);
  fs::copy_file(scratch / "run" / decision_log_name, run.directory / decision_log_name,
                fs::copy_options::overwrite_existing);
  const program_result result = run.resume();
  CHECK(result.exit_code == 3);
  CHECK_THAT(result.err, Contains("decisions.log: training.seed: found 1 in this run, expected 2 as in the log"));
}
