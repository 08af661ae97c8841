// Workers that die or freeze in the middle of a run over real processes: the run goes on, with the bits of one in which
// nothing happened.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;
using nlohmann::json;
using troupe::scratch_directory;

namespace {

using arguments = std::vector<std::string>;

/// Enough for something to happen to it, and shown step by step.
arguments long_run(const scratch_directory& scratch, const arguments& flags) {
  return words_of_shown_run(
      scratch, arguments{"--layers", "2", "--steps", "2000", "--stages", "4", "--max-restarts", "1000"} + flags);
}

std::string hash_of_reference(const scratch_directory& scratch) {
  const program_result result = run_program(long_run(scratch, {"--schedule", "reference", "--quiet"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return last_report(scratch)["weights_sha256"];
}

/// The report of a run that `disturb` is done to, each time that another 300 steps were shown.
template <class Disturb>
json survive(const scratch_directory& scratch, const arguments& flags, int times, Disturb disturb) {
  running_program train(long_run(scratch, flags));
  for (int time = 1; time <= times; ++time) {
    REQUIRE(train.wait_for_error_output("step " + std::to_string(300 * time) + "/"));
    disturb(train);
  }
  const program_result result = train.finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return last_report(scratch);
}

} // namespace

TEST_CASE("a run whose workers are killed one after another has the reference's bits, and names them") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  for (const arguments& flags : std::vector<arguments>{{}, {"--schedule", "zb-h1"}}) {
    const json report = survive(scratch, flags + arguments{"--spawn", "3"}, 3, [](const running_program& train) {
      ::kill(children_of(train.process()).front(), SIGKILL);
    });
    CHECK(report["weights_sha256"] == expected);
    CHECK(report["losses"].size() == 2000);
    REQUIRE(!report["recoveries"].empty());
    for (const json& one : report["recoveries"])
      CHECK_THAT(one["cause"].get<std::string>(), Contains("was lost: it "));
  }
}

TEST_CASE("a run whose workers are all killed at once goes back, and has the reference's bits") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const std::string saved = scratch.path("saved");
  for (const arguments& flags : std::vector<arguments>{{}, {"--checkpoint", saved, "--checkpoint-every", "100"}}) {
    const std::string trace = scratch.path("trace.json");
    const arguments spawned{"--spawn", "2", "--trace", trace};
    const json report = survive(scratch, flags + spawned, 2, [](const running_program& train) {
      for (const pid_t worker : children_of(train.process()))
        ::kill(worker, SIGKILL);
    });
    CHECK(report["weights_sha256"] == expected);
    CHECK(report["losses"].size() == 2000);
    CHECK(report["validations"].empty());
    REQUIRE(report["returns"].size() == 2);
    std::map<std::string, int> traced;
    for (const json& event : json::parse(read_bytes(trace)))
      ++traced[event["name"]];
    CHECK(traced["return"] == 2 * 4); // on the track of each rank
    CHECK(traced["0F0"] > 2000);      // the steps before the returns, too
    for (const json& one : report["returns"])
      CHECK((one["to_step"] > 0) == !flags.empty());
  }
}

TEST_CASE("a run whose workers are all lost and do not come back ends with a line that says both") {
  const scratch_directory scratch;
  worker_program only;
  running_program train(long_run(scratch, {"--stages", "1", "--workers", only.address(), "--peer-timeout", "0.5"}));
  REQUIRE(train.wait_for_error_output("step 300/"));
  only.program().send(SIGKILL);
  const program_result result = train.finish();
  INFO(result.err);
  CHECK(result.exit_code == 4);
  const std::string last = result.err.substr(result.err.rfind("troupe: "));
  CHECK_THAT(last, Contains("troupe: rank 0: no worker is left; the run goes back to step 0, but worker " +
                            only.address() + " could not be reached within 0.5 s"));
}

TEST_CASE("on a terminal, words on workers take the place of the progress line, which comes back below them") {
  const scratch_directory scratch;
  const program_result result =
      running_program(long_run(scratch, {"--steps", "50", "--spawn", "2", "--chaos", "kill-process:rank=2,step=20"}),
                      TROUPE_PROGRAM, stderr_kind::terminal)
          .finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const std::size_t lost = result.err.find(" was lost: it ");
  REQUIRE(lost != std::string::npos);
  const std::size_t line = result.err.rfind("worker 127.0.0.1:", lost);
  REQUIRE(line != std::string::npos);
  CHECK_THAT(result.err.substr(0, line), EndsWith("\r\x1b[K") || EndsWith("\n")); // not behind an open line
}

TEST_CASE("what the disk of a worker refuses now and then is told by the coordinator, once, with the worker's name") {
  const scratch_directory scratch;
  const program_result result = run_program(
      words_of_run(scratch, {"--stages", "2", "--spawn", "2", "--steps", "50", "--snapshot-dir", scratch.path("shelf"),
                             "--chaos", "disk:write=3+disk:write=13+disk:write=23+disk:write=33"}));
  REQUIRE(result.exit_code == 0);
  std::set<std::string> ranks; // in the names of the workers
  std::istringstream lines(result.err);
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    CHECK_THAT(line, StartsWith("warning: worker 127.0.0.1:") &&
                         EndsWith("): " + scratch.path("shelf") +
                                  ": cannot write: No space left on device; snapshots "
                                  "that the disk refuses are kept in memory"));
    CHECK(ranks.insert(line.substr(line.find(" ("), line.find("):") - line.find(" ("))).second);
  }
  CHECK(ranks == std::set<std::string>{" (rank 0", " (rank 1"});
}

TEST_CASE("chaos over processes: ranks and processes that are killed, and lost messages, change no bit") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const program_result result = run_program(
      long_run(scratch, {"--spawn", "2", "--quiet", "--chaos",
                         "kill:rank=0,step=20+kill-process:rank=3,step=40+kill:count=3,seed=5+drop:share=0.00005"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == expected);
  CHECK(report["recoveries"].size() >= 5);
}

TEST_CASE("over processes, too, a scheduler that dies is followed by another, and nobody computes anything twice") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const program_result calm = run_program(
      long_run(scratch, {"--spawn", "2", "--quiet", "--chaos", "kill-scheduler:step=1+kill-scheduler:count=9,seed=3"}));
  INFO(calm.err);
  REQUIRE(calm.exit_code == 0);
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == expected);
  CHECK(report["losses"].size() == 2000);
  CHECK(report["scheduler_recoveries"].size() == 10);
  CHECK(report["scheduler_recoveries"][0]["step"] == 1);
  for (const json& rank : report["ranks"])
    CHECK(rank["replayed_passes"] == 0);
  CHECK(report["returns"].empty());
}

TEST_CASE("schedulers, ranks and workers of one run that die at random change no bit") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const program_result result = run_program(long_run(
      scratch, {"--spawn", "3", "--quiet", "--chaos",
                "kill-scheduler:count=9,seed=3+kill-scheduler:step=40+kill-process:rank=3,step=40+kill:count=3,seed=5+"
                "kill-process:count=2,seed=7+drop:share=0.00005"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == expected);
  CHECK(report["losses"].size() == 2000);
  CHECK(report["scheduler_recoveries"].size() >= 10);
}

TEST_CASE("a run over processes whose scheduler dies too often is saved and ends") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const std::string saved = scratch.path("saved");
  const program_result ended =
      run_program(long_run(scratch, {"--spawn", "2", "--quiet", "--max-restarts", "1", "--checkpoint", saved, "--chaos",
                                     "kill-scheduler:step=30+kill-scheduler:step=60"}));
  CHECK(ended.exit_code == 4);
  CHECK_THAT(ended.err, Contains("the scheduler died 2 times within 60 s, expected at most 1"));
  const program_result resumed = run_program(long_run(scratch, {"--resume", saved, "--quiet"}));
  INFO(resumed.err);
  REQUIRE(resumed.exit_code == 0);
  CHECK(last_report(scratch)["first_step"] >= 57); // what it did just before it died is done anew, or not at all
  CHECK(last_report(scratch)["weights_sha256"] == expected);
}

TEST_CASE("a run over processes without snapshots ends when its scheduler dies") {
  const scratch_directory scratch;
  const program_result ended = run_program(
      long_run(scratch, {"--spawn", "2", "--quiet", "--snapshot-every", "0", "--chaos", "kill-scheduler:step=30"}));
  CHECK(ended.exit_code == 4);
  CHECK(ended.err == "troupe: the scheduler was killed by chaos\n");
}

TEST_CASE("a run that chaos sends back is not struck again, and ends with the reference's bits") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const program_result result = run_program(long_run(
      scratch, {"--spawn", "2", "--quiet", "--chaos", "kill-process:rank=0,step=40+kill-process:rank=2,step=40"}));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == expected);
  CHECK(report["returns"].size() <= 1); // where one worker is noticed and replaced before the other dies there is none
}

TEST_CASE("a run over processes whose rank dies too often ends with what its workers keep as a checkpoint") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  for (const std::string route : {"shared", "coordinator"}) {
    const std::string saved = scratch.path(route);
    const program_result ended = run_program(
        long_run(scratch, {"--spawn", "2", "--quiet", "--max-restarts", "1", "--checkpoint", saved, "--checkpoint-via",
                           route, "--chaos", "kill:rank=1,step=30+kill:rank=1,step=60"}));
    CHECK(ended.exit_code == 4);
    CHECK_THAT(ended.err, Contains("rank 1 died 2 times within 60 s, expected at most 1"));
    const program_result resumed =
        run_program(long_run(scratch, {"--resume", saved, "--max-restarts", "5", "--quiet"}));
    INFO(resumed.err);
    REQUIRE(resumed.exit_code == 0);
    const json report = last_report(scratch);
    CHECK(report["first_step"] >= 58);
    CHECK(report["weights_sha256"] == expected);
  }
}

TEST_CASE(
    "a run whose workers die too often ends with its last whole step saved, though they took snapshots with them") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  for (const arguments& flags : std::vector<arguments>{{},
                                                       {"--checkpoint-via", "coordinator"},
                                                       {"--schedule", "zb-v", "--stages", "2"},
                                                       {"--snapshot-dir", scratch.path("snapshots")}}) {
    INFO(json(flags).dump());
    const std::string saved = scratch.path("saved");
    std::filesystem::remove_all(saved);
    worker_program one;
    worker_program two; // each keeps the snapshots of the other one's ranks
    running_program train(long_run(
        scratch, arguments{"--workers", addresses_of(one, two), "--max-restarts", "0", "--checkpoint", saved} + flags));
    REQUIRE(train.wait_for_error_output("step 300/"));
    two.program().send(SIGKILL);
    const program_result ended = train.finish();
    INFO(ended.err);
    CHECK(ended.exit_code == 4);
    CHECK_THAT(ended.err, Contains("died 1 time within 60 s, expected at most 0"));
    CHECK_THAT(ended.err, !Contains("nothing is saved"));
    REQUIRE(newest_in(saved) >= 298);
    const program_result resumed =
        run_program(long_run(scratch, {"--resume", saved, "--max-restarts", "5", "--quiet", "--schedule", "1f1b"}));
    INFO(resumed.err);
    REQUIRE(resumed.exit_code == 0);
    CHECK(last_report(scratch)["weights_sha256"] == expected);
  }
}

TEST_CASE(
    "a worker that is lost while a run that was given up is saved leaves its part to who else keeps the snapshot") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  for (const std::string route : {"shared", "coordinator"}) {
    const std::string saved = scratch.path(route);
    worker_program one;
    worker_program two;
    worker_program spare;
    running_program train(
        long_run(scratch, {"--stages", "2", "--workers", addresses_of(one, two, spare), "--max-restarts", "0",
                           "--checkpoint", saved, "--checkpoint-via", route, "--peer-timeout", "3"}));
    REQUIRE(train.wait_for_error_output("step 300/"));
    spare.program().send(SIGSTOP); // it keeps the snapshots of rank 0, and is asked for them before its loss is noticed
    two.program().send(SIGKILL);
    const program_result ended = train.finish();
    INFO(ended.err);
    CHECK(ended.exit_code == 4);
    CHECK_THAT(ended.err, Contains("rank 1 died 1 time within 60 s, expected at most 0"));
    REQUIRE(newest_in(saved) >= 298);
    const program_result resumed =
        run_program(long_run(scratch, {"--resume", saved, "--max-restarts", "5", "--quiet"}));
    INFO(resumed.err);
    REQUIRE(resumed.exit_code == 0);
    CHECK(last_report(scratch)["weights_sha256"] == expected);
  }
}

TEST_CASE("a run that is given up and cannot be saved says whose state was lost with its workers") {
  const scratch_directory scratch;
  const std::string saved = scratch.path("saved");
  worker_program one;
  worker_program two;
  worker_program three;
  running_program train(long_run(scratch, {"--stages", "2", "--workers", addresses_of(one, two, three),
                                           "--max-restarts", "0", "--checkpoint", saved, "--peer-timeout", "3"}));
  REQUIRE(train.wait_for_error_output("step 300/"));
  one.program().send(SIGSTOP); // hosts rank 0, and keeps the snapshots of rank 1
  two.program().send(SIGKILL); // hosts rank 1
  const program_result ended = train.finish();
  INFO(ended.err);
  CHECK(ended.exit_code == 4);
  CHECK_THAT(ended.err, Contains("rank 1 died 1 time within 60 s, expected at most 0"));
  CHECK_THAT(ended.err, Contains("rank 1: it died before its part was written"));
  CHECK(newest_in(saved) == 0);
}

TEST_CASE("ranks restart from snapshots that are kept on disk, and a place that cannot keep any is named") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  const std::string places = scratch.path("snapshots");
  const arguments killed{"--quiet", "--chaos", "kill:rank=1,step=30+kill:rank=2,step=60"};
  for (const arguments& where : {arguments{}, arguments{"--spawn", "2"}}) {
    arguments flags = where + killed + arguments{"--snapshot-dir", places};
    const program_result result = run_program(long_run(scratch, flags));
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK(last_report(scratch)["weights_sha256"] == expected);
    CHECK(last_report(scratch)["recoveries"].size() == 2);
    CHECK(std::filesystem::is_empty(places));
    flags.back() = scratch.write("file", "x");
    const program_result refused = run_program(long_run(scratch, flags));
    CHECK(refused.exit_code == 3);
    CHECK_THAT(refused.err, Contains(scratch.path("file")));
  }
}

TEST_CASE("the ranks of a killed worker live on with a spare, or with those that are left") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  worker_program one;
  worker_program two;
  worker_program spare;
  std::vector<worker_program*> victims{&one, &two};
  const json report =
      survive(scratch, {"--workers", addresses_of(one, two, spare), "--stages", "2"}, 2, [&](const running_program&) {
        victims.back()->program().send(SIGKILL);
        victims.pop_back();
      });
  CHECK(report["weights_sha256"] == expected);
  CHECK(report["recoveries"].size() >= 2);
  CHECK(report["returns"].empty());
  CHECK(spare.wait_until_free());
}

TEST_CASE("a worker that was frozen, was given up and thaws changes no bit") {
  const scratch_directory scratch;
  const std::string expected = hash_of_reference(scratch);
  worker_program one;
  worker_program two;
  worker_program three;
  running_program train(long_run(scratch, {"--workers", addresses_of(one, two, three), "--peer-timeout", "0.5"}));
  REQUIRE(train.wait_for_error_output("step 300/"));
  two.program().send(SIGSTOP);
  REQUIRE(train.wait_for_error_output("worker " + two.address() + " (rank"));
  two.program().send(SIGCONT);
  const program_result result = train.finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(scratch);
  CHECK(report["weights_sha256"] == expected);
  CHECK(!report["recoveries"].empty());
  CHECK(two.wait_until_free());
}
