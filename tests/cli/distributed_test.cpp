// Runs over several real processes on loopback: the same bits, and an end for everybody whatever happens.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/trained_checkpoint.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;
using troupe::scratch_directory;

namespace {

using arguments = std::vector<std::string>;

arguments words_of(const scratch_directory& scratch, const arguments& flags) {
  return small_run() + arguments{"--data", text_file(scratch), "--layers", "2", "--quiet"} + flags; // four layers
}

json report_of(const scratch_directory& scratch, const arguments& flags) {
  const std::string path = (scratch / "report.json").string();
  const program_result result = run_program(words_of(scratch, arguments{"--report", path} + flags));
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return json::parse(read_bytes(path));
}

/// A run that takes many steps, so that something can happen to it meanwhile.
arguments endless() {
  return {"--steps", "1000000", "--stages", "2"};
}

} // namespace

TEST_CASE("a run over processes has the reference's bits with any schedule and number of processes") {
  const scratch_directory scratch;
  const json reference = report_of(scratch, {"--schedule", "reference"});
  const arguments both_ends{"--microbatches", "8"};
  const json grouped = report_of(scratch, both_ends + arguments{"--schedule", "reference", "--gradient-groups", "2"});
  for (const arguments& flags : std::vector<arguments>{
           {"--spawn", "2", "--stages", "2"},
           {"--spawn", "3", "--stages", "3", "--schedule", "zb-h1"},
           {"--spawn", "4", "--stages", "4", "--schedule", "gpipe"},
           {"--spawn", "2", "--stages", "4"},
           {"--spawn", "4", "--stages", "2"},
           {"--spawn", "1", "--stages", "2"},
           {"--spawn", "2", "--stages", "2", "--schedule", "interleaved-1f1b", "--chunks", "2"},
           {"--spawn", "2", "--stages", "2", "--schedule", "zb-v", "--dispatch", "reactive"},
       }) {
    INFO(json(flags).dump());
    const json run = report_of(scratch, flags);
    CHECK(run["weights_sha256"] == reference["weights_sha256"]);
    CHECK(run["optimizer_sha256"] == reference["optimizer_sha256"]);
    CHECK(run["losses"] == reference["losses"]);
    for (const json& rank : run["ranks"])
      CHECK_THAT(rank["node"].get<std::string>(), Catch::Matchers::StartsWith("127.0.0.1:"));
  }
  const json fed_twice =
      report_of(scratch, both_ends + arguments{"--spawn", "4", "--stages", "4", "--schedule", "dualpipe"});
  CHECK(fed_twice["weights_sha256"] == grouped["weights_sha256"]);
}

TEST_CASE("an asynchronous schedule over processes has the bits of one thread") {
  const scratch_directory scratch;
  const arguments flags = {"--schedule", "pipedream-2bw", "--stages", "2", "--clip", "0"};
  CHECK(report_of(scratch, flags + arguments{"--spawn", "2"})["weights_sha256"] ==
        report_of(scratch, flags + arguments{"--one-thread"})["weights_sha256"]);
}

TEST_CASE("workers serve one run after another, and refuse a second one at a time") {
  const scratch_directory scratch;
  worker_program one;
  worker_program two;
  const arguments at{"--workers", addresses_of(one, two)};
  const json first = report_of(scratch, at + arguments{"--stages", "2"});
  CHECK(report_of(scratch, at + arguments{"--stages", "4"})["weights_sha256"] == first["weights_sha256"]);

  running_program busy(words_of(scratch, at + endless()));
  for (worker_program* worker : {&one, &two})
    REQUIRE(worker->program().wait_for_error_output("claimed", 3)); // twice by the runs before
  const program_result refused = run_program(words_of(scratch, at + arguments{"--stages", "2", "--steps", "1"}));
  CHECK(refused.exit_code == 4);
  CHECK_THAT(refused.err, Contains("refuses: this worker is busy with run"));
  busy.send(SIGINT);
  CHECK(busy.finish().exit_code == 130);
  CHECK(report_of(scratch, at + arguments{"--stages", "2"})["weights_sha256"] == first["weights_sha256"]);
}

TEST_CASE("a worker that is named twice in one run says so") {
  const scratch_directory scratch;
  worker_program worker;
  const std::string other_name = "localhost" + worker.address().substr(worker.address().rfind(':'));
  const program_result result = run_program(
      words_of(scratch, {"--workers", worker.address() + "," + other_name, "--stages", "2", "--connect-timeout", "5"}));
  INFO(result.err);
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, Contains("refuses: it is in this run already, expected each worker under one address"));
}

TEST_CASE("rounding to bfloat16 between stages gives the reference's bits for the same cuts, over processes too") {
  const scratch_directory scratch;
  const arguments rounded{"--stages", "2", "--wire", "bf16"};
  const json reference = report_of(scratch, rounded + arguments{"--schedule", "reference"});
  CHECK(report_of(scratch, rounded + arguments{"--spawn", "2"})["weights_sha256"] == reference["weights_sha256"]);
  CHECK(report_of(scratch, {"--stages", "2", "--spawn", "2"})["weights_sha256"] != reference["weights_sha256"]);
}

TEST_CASE("checkpoints of workers are the same whichever way they go, and any number of workers goes on from them") {
  const scratch_directory scratch;
  const json reference = report_of(scratch, {"--schedule", "reference"});
  const auto first_half = [&](const std::string& name, const arguments& flags) {
    report_of(scratch,
              arguments{"--checkpoint", scratch.path(name), "--checkpoint-every", "1", "--stop-after", "2"} + flags);
  };
  first_half("local", {"--stages", "4"});
  first_half("shared", {"--stages", "4", "--spawn", "2"});
  first_half("sent", {"--stages", "4", "--spawn", "4", "--checkpoint-via", "coordinator"});
  for (const std::string from : {"local", "shared", "sent"})
    for (const arguments& flags :
         std::vector<arguments>{{"--stages", "2"},
                                {"--stages", "3", "--spawn", "3"},
                                {"--stages", "2", "--spawn", "2", "--checkpoint-via", "coordinator"}}) {
      INFO(from << " " << json(flags).dump());
      const std::string copy = scratch.path("copy");
      std::filesystem::remove_all(copy);
      std::filesystem::copy(scratch.path(from), copy, std::filesystem::copy_options::recursive);
      const json rest = report_of(scratch, arguments{"--resume", copy} + flags);
      CHECK(rest["weights_sha256"] == reference["weights_sha256"]);
      CHECK(rest["optimizer_sha256"] == reference["optimizer_sha256"]);
    }
}

TEST_CASE("without snapshots a worker that dies ends the run with its name, and the others wait for the next") {
  const scratch_directory scratch;
  worker_program one;
  worker_program two;
  running_program train(
      words_of(scratch, arguments{"--workers", addresses_of(one, two), "--snapshot-every", "0"} + endless()));
  REQUIRE(two.program().wait_for_error_output("ranks 1"));
  two.program().send(SIGKILL);
  const program_result result = train.finish();
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, Contains("worker " + two.address()));
  CHECK_THAT(result.err, Contains("lost"));
  REQUIRE(one.wait_until_free());
  report_of(scratch, {"--workers", one.address(), "--stages", "2"});
}

TEST_CASE("without snapshots a worker that freezes ends the run after the peer time-out") {
  const scratch_directory scratch;
  worker_program one;
  worker_program two;
  running_program train(
      words_of(scratch, arguments{"--workers", addresses_of(one, two), "--peer-timeout", "1", "--snapshot-every", "0"} +
                            endless()));
  REQUIRE(two.program().wait_for_error_output("ranks 1"));
  two.program().send(SIGSTOP);
  const program_result result = train.finish();
  two.program().send(SIGCONT);
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, Contains("worker " + two.address()));
  CHECK_THAT(result.err, Contains("was silent for 1.0 s"));
  CHECK(one.wait_until_free());
  CHECK(two.wait_until_free());
}

TEST_CASE("a coordinator that dies leaves workers that wait for the next run") {
  const scratch_directory scratch;
  worker_program one;
  worker_program two;
  running_program train(words_of(scratch, arguments{"--workers", addresses_of(one, two)} + endless()));
  REQUIRE(two.program().wait_for_error_output("ranks 1"));
  train.send(SIGKILL);
  train.finish();
  CHECK(one.wait_until_free());
  CHECK(two.wait_until_free());
  CHECK_THAT(one.program().error_output(), Contains("lost the coordinator: it closed the connection"));
  report_of(scratch, {"--workers", addresses_of(one, two), "--stages", "2"});
}

TEST_CASE("workers that a run starts itself end with it, however it ends") {
  const scratch_directory scratch;
  for (const int signal : {SIGINT, SIGKILL}) {
    running_program train(
        words_of(scratch, arguments{"--spawn", "2", "--checkpoint", scratch.path("saved"), "--checkpoint-every", "1"} +
                              endless()));
    const auto generations = [&] {
      return std::filesystem::exists(scratch / "saved") && !std::filesystem::is_empty(scratch / "saved");
    };
    while (!generations())
      std::this_thread::yield();
    const std::vector<pid_t> workers = children_of(train.process());
    CHECK(workers.size() == 2);
    train.send(signal);
    const program_result result = train.finish();
    CHECK(result.exit_code == (signal == SIGINT ? 130 : 128 + SIGKILL));
    for (const pid_t one : workers)
      CHECK(is_gone_in_the_end(one));
    std::filesystem::remove_all(scratch / "saved");
  }
}

TEST_CASE("a worker that nobody can reach, and addresses without TLS, are refused with a line that says so") {
  const scratch_directory scratch;
  const auto refusal = [&](const arguments& flags, int code, const std::string& text) {
    const program_result result = run_program(words_of(scratch, flags));
    INFO(result.err);
    CHECK(result.exit_code == code);
    CHECK_THAT(result.err, Contains(text));
  };
  refusal({"--workers", "127.0.0.1:1", "--connect-timeout", "0.3"}, 4,
          "worker 127.0.0.1:1 could not be reached within 0.3 s (Connection refused)");
  refusal({"--workers", "10.1.2.3:7000"}, 5, "--workers");
  refusal({"--workers", "127.0.0.1:7000", "--spawn", "2"}, 2, "--spawn");
  refusal({"--spawn", "2", "--schedule", "reference"}, 2, "one thread");
  for (const arguments& flags : std::vector<arguments>{{"--tls", "certs"},
                                                       {"--peer-timeout", "2"},
                                                       {"--connect-timeout", "2"},
                                                       {"--checkpoint-via", "shared"},
                                                       {"--allow-mixed-arithmetic"}})
    refusal(flags, 2, flags.front() + ": found it without workers, expected --workers or --spawn, too");
  const program_result open = run_program({"worker", "--listen", "0.0.0.0:0"});
  CHECK(open.exit_code == 5);
  CHECK_THAT(open.err, Contains("0.0.0.0:0"));
}

TEST_CASE("over TLS the bits are the same, and who has no certificate of the job gets nowhere") {
  const scratch_directory scratch;
  REQUIRE(run_program({"certs", scratch.path("job"), "--hosts", "127.0.0.1"}).exit_code == 0);
  REQUIRE(run_program({"certs", scratch.path("other"), "--hosts", "127.0.0.1"}).exit_code == 0);
  const arguments ours{"--tls", scratch.path("job") + "/127.0.0.1"};
  worker_program one(ours);
  worker_program two(ours);
  const arguments at{"--workers", addresses_of(one, two), "--stages", "2"};
  const json reference = report_of(scratch, {"--schedule", "reference"});
  CHECK(report_of(scratch, at + ours)["weights_sha256"] == reference["weights_sha256"]);
  const program_result other =
      run_program(words_of(scratch, at + arguments{"--tls", scratch.path("other") + "/127.0.0.1"}));
  CHECK(other.exit_code == 5);
  const program_result plain = run_program(words_of(scratch, at + arguments{"--peer-timeout", "2"}));
  CHECK(plain.exit_code == 4);
  CHECK(report_of(scratch, at + ours)["weights_sha256"] == reference["weights_sha256"]);
}

TEST_CASE("a worker that finds its address taken says so with one line and exit code 2") {
  const worker_program first;
  const program_result second = run_program({"worker", "--listen", first.address()});
  CHECK(second.exit_code == 2);
  CHECK(second.err ==
        "troupe: --listen: found " + first.address() + ", which is in use, expected a free address of this machine\n");
}
