// Coordinators that die or freeze in the middle of a run over real processes: what workers still hold is where the run
// goes on, and where they hold nothing, its checkpoint is. Either way it has the bits of one in which nothing happened.
#include "tests/support/mortal_coordinator.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;
using troupe::scratch_directory;

namespace {

using arguments = std::vector<std::string>;

constexpr int steps = mortal_coordinator::steps;

/// From what workers hold, and for some steps.
void wait_until_it_goes_on(running_program& train) {
  REQUIRE(train.wait_for_error_output("the workers hold the run's state after step "));
  REQUIRE(train.wait_for_error_output("tokens/s", 2));
}

} // namespace

TEST_CASE("a run whose coordinator is killed goes on from the step that its workers hold, with any schedule") {
  for (const arguments& flags : std::vector<arguments>{{},
                                                       {"--tied-head"},
                                                       {"--snapshot-dir", troupe::place_in_memory().string()},
                                                       {"--schedule", "zb-h1", "--snapshot-every", "3"},
                                                       {"--schedule", "zb-v", "--stages", "2"}}) {
    INFO(json(flags).dump());
    const mortal_coordinator run(flags);
    worker_program one;
    worker_program two;
    worker_program three;
    const std::string all = addresses_of(one, two, three);
    running_program train(run.begin(all));
    run.kill_after(train, 600, {&one, &two, &three});
    const std::uint64_t saved = run.newest_checkpoint();
    std::string said;
    const json report = run.finish(run.resume(all), said);
    CHECK_THAT(said, Contains("the workers hold the run's state after step "));
    CHECK(report["resumed_from"] == "workers");
    CHECK(report["first_step"] > saved);
    CHECK(report["first_step"] >= 590);
    CHECK(report["returns"].empty());
  }
}

TEST_CASE("coordinators that are killed one after another are followed from where each was") {
  const mortal_coordinator run;
  lone_workers left(run, 100); // before its first checkpoint
  CHECK(run.newest_checkpoint() == 0);
  for (std::size_t life = 2; life <= 4; ++life) {
    running_program train(run.resume(left.all));
    wait_until_it_goes_on(train);
    train.send(SIGKILL);
    CHECK(train.finish().exit_code == 128 + SIGKILL);
    for (worker_program* worker : {&left.one, &left.two})
      REQUIRE(worker->program().wait_for_error_output("waiting for the next", life));
  }
  std::string said;
  const json report = run.finish(run.resume(left.all), said);
  CHECK(report["resumed_from"] == "workers");
  CHECK(report["first_step"] > 300);
}

TEST_CASE("a run that was killed before its first checkpoint goes on with its decision log alone, from the beginning") {
  const mortal_coordinator run;
  lone_workers left(run, 100, {"--hold", "0"});
  REQUIRE(run.newest_checkpoint() == 0);
  std::string said;
  const json report = run.finish(run.resume(left.all), said);
  CHECK_THAT(said, Contains("the workers hold nothing of this run; the run goes on from the beginning"));
  CHECK(report["first_step"] == 0);
  CHECK(report["resumed_from"].is_null());
}

TEST_CASE("of a run that was killed before its first checkpoint another one is not taken for the same") {
  const mortal_coordinator run;
  lone_workers left(run, 100);
  REQUIRE(run.newest_checkpoint() == 0);
  const program_result refused = run_program(run.resume(left.all) + arguments{"--seed", "2"});
  CHECK(refused.exit_code == 3);
  CHECK_THAT(refused.err, Contains("decisions.log: training.seed: found 2 in this run, expected 1 as in the log"));
}

TEST_CASE("a worker that dies with the coordinator costs nothing as others keep the same, else the run goes back") {
  const mortal_coordinator run({"--stages", "2"});
  for (const std::size_t deaths : {1, 2}) {
    std::filesystem::remove_all(run.saved());
    worker_program one;   // hosts rank 0, and keeps the snapshots of rank 1, too
    worker_program two;   // hosts rank 1
    worker_program spare; // keeps the snapshots of rank 0, too
    running_program train(run.begin(addresses_of(one, two, spare)));
    run.kill_after(train, 600, {&one, &two, &spare});
    for (worker_program* victim : {&spare, &one})
      if (deaths == 2 || victim == &spare) {
        victim->program().send(SIGKILL);
        victim->program().finish();
      }
    const std::uint64_t saved = run.newest_checkpoint();
    std::string said;
    const json report = run.finish(run.resume(deaths == 1 ? addresses_of(one, two) : two.address()), said);
    CHECK(report["resumed_from"] == (deaths == 1 ? "workers" : "checkpoint"));
    CHECK((report["first_step"] > saved) == (deaths == 1));
    if (deaths == 2)
      CHECK_THAT(said, Contains("the workers do not hold the state of all ranks after any later step; the run goes on "
                                "from " +
                                troupe::generation_name(saved)));
  }
}

TEST_CASE("a run that goes on in another directory does so from what its workers hold, too") {
  const mortal_coordinator run;
  lone_workers left(run, 600);
  const std::string elsewhere = run.scratch().path("elsewhere");
  const program_result result = run_program(run.resume(left.all) + arguments{"--checkpoint", elsewhere});
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("the workers hold the run's state after step "));
  const json report = last_report(run.scratch());
  CHECK(report["resumed_from"] == "workers");
  CHECK(report["first_step"] >= 590);
  CHECK(report["weights_sha256"] == run.expected()["weights_sha256"]);
  CHECK(newest_in(elsewhere) == steps);
}

TEST_CASE("a checkpoint that is due after the very step that workers hold is written before the next one") {
  const mortal_coordinator run;
  lone_workers left(run, 600);
  running_program train(run.resume(left.all) + arguments{"--checkpoint-every", "1", "--checkpoint-keep", "1000"});
  wait_until_it_goes_on(train);
  train.send(SIGKILL);
  const std::string said = train.finish().err;
  const std::string before = "hold the run's state after step ";
  const std::uint64_t held = std::stoull(said.substr(said.find(before) + before.size()));
  CHECK(std::filesystem::exists(run.saved() / troupe::generation_name(held)));
}

TEST_CASE("a validation that is due after the very step that workers hold comes before the next one") {
  const mortal_coordinator run({"--validation-fraction", "0.1", "--validation-every", "1"});
  lone_workers left(run, 600);
  std::string said;
  const json report = run.finish(run.resume(left.all), said);
  CHECK(report["resumed_from"] == "workers");
  REQUIRE(!report["validations"].empty());
  CHECK(report["validations"][0]["step"] == report["first_step"]);
  const auto missing = report["first_step"].get<std::ptrdiff_t>() - 1;
  const json& all_of_them = run.expected()["validations"];
  CHECK(report["validations"] == json(std::vector<json>(all_of_them.begin() + missing, all_of_them.end())));
}

TEST_CASE("a run that searches its schedule on the workers says that what they hold is dropped") {
  const mortal_coordinator run;
  lone_workers left(run, 600);
  const std::uint64_t saved = run.newest_checkpoint();
  std::string said;
  const json report = run.finish(run.resume(left.all) + arguments{"--schedule", "auto"}, said);
  CHECK_THAT(said, Contains("note: --schedule auto measures on the workers first, which drop what they hold"));
  CHECK(report["first_step"] == saved);
}

TEST_CASE("what workers hold and a run cannot begin with is named with the reason") {
  const mortal_coordinator run;
  struct obstacle {
    arguments flags;
    std::string reason;
  };
  for (const obstacle& one_of :
       std::vector<obstacle>{{{}, "saved/decisions.log, which says what was decided, cannot be read"},
                             {{"--checkpoint", "", "--checkpoint-every", "0"}, "the run has no checkpoint directory"},
                             {{"--snapshot-every", "0"}, "the run takes no snapshots (faults.snapshot_every)"},
                             {{"--chaos", "kill:rank=1,step=1900"},
                              "the faults of a run with chaos are drawn for the steps from its checkpoint on"}}) {
    INFO(one_of.reason);
    std::filesystem::remove_all(run.saved());
    lone_workers left(run, 600);
    const std::uint64_t saved = run.newest_checkpoint();
    if (one_of.flags.empty())
      std::filesystem::remove(run.saved() / "decisions.log");
    const program_result result = run_program(run.resume(left.all) + one_of.flags);
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.err, Contains("the workers hold the run's state after step "));
    CHECK_THAT(result.err, Contains(", which is not used: ") &&
                               Contains(one_of.reason + "; the run goes on from " + troupe::generation_name(saved)));
    const json report = last_report(run.scratch());
    CHECK(report["first_step"] == saved);
    CHECK(report["weights_sha256"] == run.expected()["weights_sha256"]);
  }
}

TEST_CASE("with another number of stages the run goes on from its checkpoint") {
  const mortal_coordinator run;
  lone_workers left(run, 600);
  const std::uint64_t saved = run.newest_checkpoint();
  std::string said;
  const json report = run.finish(run.resume(left.all) + arguments{"--stages", "3"}, said);
  CHECK_THAT(said, Contains("the workers hold the state of this run, but cut over other ranks; the run goes on from "
                            "step-00000"));
  CHECK(report["first_step"] == saved);
  CHECK(report["resumed_from"] == "checkpoint");
}

TEST_CASE("what workers hold is dropped when its time is over, or when another run begins") {
  const mortal_coordinator run;
  for (const bool other_run : {false, true}) {
    std::filesystem::remove_all(run.saved());
    const arguments hold = other_run ? arguments{} : arguments{"--hold", "0.05"};
    lone_workers left(run, 600, hold);
    if (other_run) {
      const scratch_directory elsewhere;
      const json other = report_of_run(elsewhere, {"--seed", "2", "--stages", "2", "--workers", left.all});
      CHECK(other["weights_sha256"] ==
            report_of_run(elsewhere, {"--seed", "2", "--schedule", "reference"})["weights_sha256"]);
    }
    for (worker_program* worker : {&left.one, &left.two})
      REQUIRE(worker->program().wait_for_error_output("the snapshots that were held are dropped: "));
    const std::uint64_t saved = run.newest_checkpoint();
    std::string said;
    CHECK(run.finish(run.resume(left.all), said)["first_step"] == saved);
    CHECK_THAT(said, Contains("the workers hold nothing of this run; the run goes on from step-00000"));
  }
}

TEST_CASE("a worker that holds snapshots ends at once when it is told to") {
  const mortal_coordinator run;
  worker_program one({"--hold", "86400"});
  running_program train(run.begin(one.address()));
  run.kill_after(train, 100, {&one});
  one.program().send(SIGINT);
  CHECK(one.program().finish().exit_code == 130);
}

TEST_CASE("a coordinator that was frozen and thaws when another one has gone on ends, and changes no bit") {
  const mortal_coordinator run;
  worker_program one;
  worker_program two;
  const std::string all = addresses_of(one, two);
  running_program frozen(run.begin(all) + arguments{"--peer-timeout", "0.5"});
  REQUIRE(frozen.wait_for_error_output("step 300/"));
  frozen.send(SIGSTOP);
  for (worker_program* worker : {&one, &two})
    REQUIRE(worker->wait_until_free());
  running_program next(run.resume(all));
  wait_until_it_goes_on(next);
  frozen.send(SIGCONT);
  const program_result ended = frozen.finish();
  CHECK(ended.exit_code == 3);
  CHECK_THAT(ended.err, Contains("decisions.log: found the log of another process, which has gone on with this run "
                                 "meanwhile, expected our own"));
  const program_result result = next.finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(run.scratch());
  CHECK(report["resumed_from"] == "workers");
  std::string said;
  CHECK(run.finish(run.resume(all), said)["first_step"] == steps); // nothing is left to be done: the same bits
}

TEST_CASE("a coordinator that was frozen and thaws when nobody else has gone on does so itself") {
  const mortal_coordinator run;
  worker_program one;
  worker_program two;
  running_program frozen(run.begin(addresses_of(one, two)) + arguments{"--peer-timeout", "0.5"});
  REQUIRE(frozen.wait_for_error_output("step 300/"));
  frozen.send(SIGSTOP);
  for (worker_program* worker : {&one, &two})
    REQUIRE(worker->wait_until_free());
  const std::uint64_t saved = run.newest_checkpoint();
  frozen.send(SIGCONT);
  const program_result result = frozen.finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  const json report = last_report(run.scratch());
  CHECK(report["weights_sha256"] == run.expected()["weights_sha256"]);
  CHECK(report["losses"] == run.expected()["losses"]);
  REQUIRE(report["returns"].size() == 1);
  CHECK(report["returns"][0]["to_step"] > saved); // as the workers hold it
}

TEST_CASE("a time for which nothing can be held is refused") {
  for (const std::string time : {"-1", "86401", "nan"}) {
    const program_result refused = run_program({"worker", "--listen", "127.0.0.1:0", "--hold", time});
    CHECK(refused.exit_code == 2);
    CHECK(refused.err == "troupe: --hold: found " + time + ", expected from 0 to 86400 seconds\n");
  }
}
