// Checkpoints of runs over several processes, both ways, and what a resumed run makes of them.
#include "runtime/network/fingerprint.hpp"
#include "runtime/plan.hpp"
#include "tests/support/hostile_peers.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/wire_bytes.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

json report_of_command(const scratch_directory& scratch, const arguments& flags) {
  const std::string path = (scratch / "report.json").string();
  const program_result result = run_program(arguments{"train", "--quiet", "--report", path} + flags);
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return json::parse(read_bytes(path));
}

arguments run_of(const scratch_directory& scratch) {
  arguments words = small_run();
  words.erase(words.begin()); // "train"
  words = words + arguments{"--layers", "2"};
  return words + arguments{"--data", text_file(scratch)};
}

} // namespace

TEST_CASE(
    "a run over processes is resumed on another number of them, by either way of checkpoints, with the same bits") {
  for (const std::string via : {"shared", "coordinator"}) {
    INFO(via);
    const scratch_directory scratch;
    const json whole =
        report_of_command(scratch, run_of(scratch) + arguments{"--steps", "4", "--schedule", "reference"});
    report_of_command(scratch, run_of(scratch) + arguments{"--steps", "2", "--stages", "4", "--spawn", "2",
                                                           "--checkpoint", scratch.path("saved"), "--checkpoint-every",
                                                           "1", "--checkpoint-via", via});
    CHECK(std::filesystem::exists(scratch / "saved" / "step-00000001"));
    CHECK(run_program({"inspect", scratch.path("saved")}).exit_code == 0);
    const json resumed = report_of_command(scratch, {"--resume", scratch.path("saved"), "--steps", "4", "--stages", "3",
                                                     "--spawn", "3", "--schedule", "zb-h1", "--checkpoint-via", via});
    CHECK(resumed["weights_sha256"] == whole["weights_sha256"]);
    CHECK(resumed["optimizer_sha256"] == whole["optimizer_sha256"]);
    CHECK(std::filesystem::exists(scratch / "saved" / "step-00000004"));
  }
}

TEST_CASE("a worker whose rank holds second copies alone has nothing to write or send, and goes on") {
  const scratch_directory scratch;
  write_bytes(scratch / "replicas.csv", "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n0F2,0F3,0B2,0B3\n1F2,1B2,1F3,1B3\n");
  for (const std::string via : {"shared", "coordinator"}) {
    INFO(via);
    report_of_command(scratch, run_of(scratch) + arguments{"--microbatches", "4", "--gradient-groups", "2", "--stages",
                                                           "4", "--schedule", scratch.path("replicas.csv"), "--spawn",
                                                           "4", "--checkpoint", scratch.path(via), "--checkpoint-every",
                                                           "1", "--checkpoint-via", via});
    CHECK(std::filesystem::exists(scratch / via / "step-00000004"));
  }
}

TEST_CASE("a worker that does not see the checkpoint that a run goes on from says so, and what needs none") {
  worker_program worker;
  run_spec spec;
  spec.data.path = "elsewhere";
  const assignment task{.run = {1},
                        .where = {.version = 1, .workers = {{worker.address(), {0}}}, .ranks = {{}}},
                        .spec = spec,
                        .pipeline = make_plan(spec, find_family(spec.model.family)),
                        .peer_timeout_seconds = 5.0,
                        .resume_directory = "/nowhere/step-00000002",
                        .steps_done = 2};
  const raw_connection coordinator(worker.address());
  coordinator.send(bytes_of({hello{.protocol = wire_protocol,
                                   .version = "any",
                                   .role = peer_role::coordinator,
                                   .run = task.run,
                                   .arithmetic = fingerprint_here()},
                             task}));
  std::string said;
  for (std::string more = coordinator.receive(); !more.empty(); more = coordinator.receive())
    said += more;
  std::string why;
  for (const wire_message& one : read_all(said, ample_limits))
    if (const auto* const refused = std::get_if<refusal>(&one))
      why = refused->text;
  CHECK(why == "/nowhere/step-00000002: found no such directory, expected the checkpoint that the run goes on from, in "
               "one place for all (--checkpoint-via coordinator needs none)");
}
