// Workers that die just when a run goes on from what they and others hold: whatever the others still have is not lost
// by it, and the same command goes on, from that or from the checkpoint.
#include "tests/support/halting_worker.hpp"
#include "tests/support/mortal_coordinator.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

/// Begins to go on, with one worker more, and kills `victim` while everybody waits for that one.
template <class Moment>
json go_on_while_dies(const mortal_coordinator& run, const std::string& addresses, worker_program& victim,
                      std::string& said) {
  halting_worker late;
  running_program train(run.resume(addresses + "," + late.address()) + arguments{"--peer-timeout", "1"});
  late.serve_until<Moment>();
  victim.program().send(SIGKILL);
  victim.program().finish();
  CHECK(train.wait_for_error_output("; the run begins with those that are left"));
  late.end();
  json report = run.finish(train, said);
  CHECK(report["returns"].empty()); // it had not begun
  return report;
}

const std::string held_after = "hold the run's state after step ";

std::uint64_t step_first_held(const std::string& said) {
  return std::stoull(said.substr(said.find(held_after) + held_after.size()));
}

std::uint64_t step_last_held(const std::string& said) {
  return std::stoull(said.substr(said.rfind(held_after) + held_after.size()));
}

} // namespace

TEMPLATE_TEST_CASE("a worker that dies while others are given what is held costs no step that others hold, too", "",
                   assignment, connect_neighbours) {
  const mortal_coordinator run;
  lone_workers left(run, 600);
  std::string said;
  const json report = go_on_while_dies<TestType>(run, left.all, left.two, said);
  INFO(said);
  CHECK_THAT(said, Contains("worker " + left.two.address()) && Contains("was lost"));
  CHECK(report["resumed_from"] == "workers");
  CHECK(report["first_step"] == step_last_held(said));
  CHECK(step_last_held(said) + 1 >= step_first_held(said)); // the newest snapshot may not have left its worker
}

TEMPLATE_TEST_CASE("a run goes on from its checkpoint when what was held is lost while it is given to others", "",
                   assignment, connect_neighbours) {
  const mortal_coordinator run({"--stages", "2"});
  worker_program one;   // hosts rank 0, and keeps the snapshots of rank 1, too
  worker_program two;   // hosts rank 1
  worker_program spare; // keeps the snapshots of rank 0, too
  {
    running_program train(run.begin(addresses_of(one, two, spare)));
    run.kill_after(train, 600, {&one, &two, &spare});
  }
  spare.program().send(SIGKILL);
  spare.program().finish();
  const std::uint64_t saved = run.newest_checkpoint();
  std::string said;
  const json report = go_on_while_dies<TestType>(run, addresses_of(two, one), one, said);
  INFO(said);
  CHECK(step_first_held(said) > saved);
  CHECK_THAT(said,
             Contains("the workers do not hold the state of all ranks after any later step; the run goes on from " +
                      generation_name(saved)));
  CHECK(report["resumed_from"] == "checkpoint");
  CHECK(report["first_step"] == saved);
}
