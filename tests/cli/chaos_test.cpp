// Faults that the real program makes itself: what it says of them, what the report and the trace have, and that the
// bits are those of a calm run.
#include "tests/support/small_distributed_run.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <cstddef>
#include <fstream>
#include <set>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

const arguments three_ranks{"--layers", "2", "--stages", "3", "--max-restarts", "100"};

json struck_report(const scratch_directory& scratch, const std::string& chaos, const arguments& flags = {}) {
  return report_of_run(scratch, three_ranks + arguments{"--chaos", chaos} + flags);
}

void check_same_bits(const json& found, const json& expected) {
  CHECK(found["weights_sha256"] == expected["weights_sha256"]);
  CHECK(found["optimizer_sha256"] == expected["optimizer_sha256"]);
  CHECK(found["losses"] == expected["losses"]);
}

/// Of the run in which nothing happens.
json calm_report(const scratch_directory& scratch) {
  return report_of_run(scratch, three_ranks + arguments{"--schedule", "reference"});
}

std::string state_of(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string word; status >> word;)
    if (word == "State:" && status >> word)
      return word;
  return "";
}

/// Blocks until the program is stopped as by SIGSTOP; false when it ends without.
bool stops(const running_program& program) {
  while (!program.has_ended())
    if (state_of(program.process()) == "T")
      return true;
  return false;
}

} // namespace

TEST_CASE("a rank that is killed is told of in a line, the report and the trace, and leaves the bits as they are") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  for (const std::string moment :
       {"action=1,at=before-receive", "action=1,at=after-compute", "action=1,at=after-send", "at=during-snapshot"}) {
    const std::string chaos = "kill:rank=1,step=2," + moment;
    INFO(chaos);
    const json report = struck_report(scratch, chaos, {"--trace", scratch.path("trace.json")});
    check_same_bits(report, calm);
    REQUIRE(report["recoveries"].size() == 1);
    const json& recovery = report["recoveries"][0];
    CHECK(recovery["rank"] == 1);
    CHECK(recovery["cause"] == "rank 1 failed: killed by chaos");
    std::vector<json> seen;
    for (const json& event : json::parse(read_bytes(scratch / "trace.json")))
      if (event["name"] == "recovery")
        seen.push_back(event);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0]["tid"] == 1);
    CHECK(seen[0]["args"]["cause"] == recovery["cause"]);
    CHECK(seen[0]["args"]["step"].get<int>() + 1 == recovery["step"]);
    CHECK(seen[0]["args"]["replayed_microbatches"] == recovery["replayed_microbatches"]);
    CHECK(seen[0]["dur"].get<double>() == Approx(recovery["resumed_ms"].get<double>() * 1e3).margin(1e-3));
  }
}

TEST_CASE("each kill has its line, and the line of what was drawn makes the same deaths again") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  const arguments loud = words_of_run(scratch, three_ranks + arguments{"--chaos", "kill:count=4,seed=2"});
  arguments words;
  for (const std::string& word : loud)
    if (word != "--quiet")
      words.push_back(word);
  const program_result told = run_program(words);
  REQUIRE(told.exit_code == 0);
  const json report = last_report(scratch);
  check_same_bits(report, calm);
  REQUIRE(report["recoveries"].size() == 4);
  for (const json& one : report["recoveries"])
    CHECK_THAT(told.err, Contains("step " + one["step"].dump() + ": rank " + one["rank"].dump() +
                                  " failed: killed by chaos; rank " + one["rank"].dump() + " lives again after "));
  std::size_t lines = 0;
  for (std::size_t at = told.err.find("; rank "); at != std::string::npos; at = told.err.find("; rank ", at + 1))
    ++lines;
  CHECK(lines == 4);
  CHECK_THAT(told.err, Contains(" microbatches replayed\n"));
  const std::string drawn = told.err.substr(0, told.err.find('\n'));
  REQUIRE(drawn.rfind("chaos: kill:rank=", 0) == 0);
  const json again = struck_report(scratch, drawn.substr(std::string("chaos: ").size()));
  check_same_bits(again, calm);
  std::multiset<int> ranks;
  std::multiset<int> ranks_again;
  for (const json& one : report["recoveries"])
    ranks.insert(one["rank"].get<int>());
  for (const json& one : again["recoveries"])
    ranks_again.insert(one["rank"].get<int>());
  CHECK(ranks_again == ranks);
}

TEST_CASE("messages that are late, doubled or overtaken leave the bits as they are") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  for (const std::string chaos : {"duplicate:share=1", "reorder:share=1", "delay:share=0.5,for=1ms"})
    check_same_bits(struck_report(scratch, chaos), calm);
}

TEST_CASE("a run that stalls says so, counts it, and leaves the bits as they are") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  CHECK(calm["stalls"] == 0);
  const program_result told =
      run_program(words_of_shown_run(scratch, three_ranks + arguments{"--chaos", "drop:share=0.2"}));
  CHECK(told.exit_code == 0);
  CHECK_THAT(told.err, Contains(": nothing has come for ") && Contains(" s; what may have got lost is sent again\n"));
  const json report = last_report(scratch);
  check_same_bits(report, calm);
  CHECK(report["stalls"].get<int>() > 0);
}

TEST_CASE("a run that is interrupted while it stalls says what it waits for, and a second interrupt ends it at once") {
  const scratch_directory scratch;
  running_program program(words_of_shown_run(scratch, three_ranks + arguments{"--chaos", "drop:share=0.999999"}));
  REQUIRE(program.wait_for_error_output("what may have got lost is sent again\n"));
  program.send(SIGINT);
  REQUIRE(program.wait_for_error_output(
      "warning: the interrupted run waits for the end of its step, in which messages may have got lost; a second "
      "interrupt ends it at once\n"));
  program.send(SIGINT);
  CHECK(program.finish().exit_code == 130);
}

TEST_CASE("over workers messages are disturbed and processes freeze in the same way") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  for (const std::string chaos : {"duplicate:share=0.5+reorder:share=0.3+delay:share=0.3,for=1ms",
                                  "freeze:rank=2,step=3,action=1,at=after-compute,for=200ms"}) {
    const json report = struck_report(scratch, chaos, {"--spawn", "2"});
    check_same_bits(report, calm);
    if (chaos.starts_with("freeze"))
      CHECK(report["step_seconds"][2].get<double>() >= 0.2);
  }
}

TEST_CASE("a disk that refuses what chaos says costs one checkpoint, and the run goes on") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  const program_result told =
      run_program(words_of_run(scratch, three_ranks + arguments{"--chaos", "disk:write=1,error=EDQUOT", "--checkpoint",
                                                                scratch.path("run"), "--checkpoint-every", "1"}));
  CHECK(told.exit_code == 0);
  CHECK_THAT(told.err, Contains("checkpoint after step 1 failed: ") &&
                           Contains(": Disk quota exceeded; there is none before it; going on\n"));
  const json report = last_report(scratch);
  check_same_bits(report, calm);
  REQUIRE(report["failed_checkpoints"].size() == 1);
  CHECK(report["failed_checkpoints"][0]["steps_done"] == 1);
}

TEST_CASE("without workers the death of a process is that of the run, which goes on from its checkpoint") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  const program_result dead = run_program(
      words_of_run(scratch, three_ranks + arguments{"--chaos", "kill-process:rank=1,step=3,action=1,at=after-compute",
                                                    "--checkpoint", scratch.path("run"), "--checkpoint-every", "1"}));
  CHECK(dead.exit_code == 128 + SIGKILL);
  CHECK(dead.out.empty());
  const json rest = report_of_run(scratch, three_ranks + arguments{"--resume", scratch.path("run")});
  CHECK(rest["first_step"].get<int>() >= 1);
  CHECK(rest["first_step"].get<int>() <= 2);
  CHECK(rest["weights_sha256"] == calm["weights_sha256"]);
  CHECK(rest["recoveries"].empty());
}

TEST_CASE("a process that is frozen stops, thaws by itself, and leaves the bits as they are") {
  const scratch_directory scratch;
  const json calm = calm_report(scratch);
  running_program program(words_of_run(
      scratch, three_ranks + arguments{"--chaos", "freeze:rank=1,step=2,action=1,at=after-compute,for=1s"}));
  CHECK(stops(program));
  const program_result done = program.finish();
  INFO(done.err);
  REQUIRE(done.exit_code == 0);
  const json report = last_report(scratch);
  check_same_bits(report, calm);
  CHECK(report["step_seconds"][1].get<double>() >= 1.0);
  CHECK(report["recoveries"].empty());
}
