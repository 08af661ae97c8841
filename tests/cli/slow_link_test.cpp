// Links that are slow, and not dead; and peers that are dead on a link that is slow.
#include "tests/support/slow_link.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

/// Two workers that everybody, they themselves included, reaches through slow links only.
struct slow_workers {
  explicit slow_workers(const link_speed& speed, const arguments& flags = {})
      : one(flags), two(flags), to_one(one.address(), speed), to_two(two.address(), speed) {}

  arguments addresses() const { return {"--workers", to_one.address() + "," + to_two.address(), "--stages", "2"}; }

  worker_program one;
  worker_program two;
  slow_link to_one;
  slow_link to_two;
};

/// A model whose activations, and their gradients, are 256 KiB.
arguments wide_model(const std::string& steps) {
  return {"--width", "256", "--seq", "256", "--microbatches", "1", "--steps", steps};
}

/// Such a tensor takes longer than the time-out.
constexpr link_speed slower_than_the_time_out{.bytes_per_second = 160 << 10};
const arguments short_time_out{"--peer-timeout", "1"};

} // namespace

TEST_CASE("a run over links with 20 ms of latency has the reference's bits") {
  const scratch_directory scratch;
  slow_workers workers({.delay = std::chrono::milliseconds(20)});
  const json run = report_of_run(scratch, workers.addresses());
  const json reference = report_of_run(scratch, {"--schedule", "reference"});
  CHECK(run["weights_sha256"] == reference["weights_sha256"]);
  CHECK(run["optimizer_sha256"] == reference["optimizer_sha256"]);
}

TEST_CASE("a link on which one tensor takes longer than the peer time-out is not taken for dead") {
  const scratch_directory scratch;
  slow_workers workers(slower_than_the_time_out, short_time_out);
  const json run = report_of_run(scratch, workers.addresses() + wide_model("1") + short_time_out);
  const json reference = report_of_run(scratch, wide_model("1") + arguments{"--schedule", "reference"});
  CHECK(run["weights_sha256"] == reference["weights_sha256"]);
}

TEST_CASE("a peer that freezes in the middle of a tensor on a slow link is noticed") {
  const scratch_directory scratch;
  slow_workers workers(slower_than_the_time_out, short_time_out);
  running_program train(words_of_run(scratch, workers.addresses() + wide_model("1000") + short_time_out +
                                                  std::vector<std::string>{"--snapshot-every", "0"}));
  worker_program& frozen = GENERATE(true, false) ? workers.one : workers.two; // the sender of activations; the receiver
  workers.to_two.wait_until_passed(100 << 10); // of an activation, as nothing else is as large
  frozen.program().send(SIGSTOP);
  const program_result result = train.finish();
  frozen.program().send(SIGCONT);
  CHECK(result.exit_code == 4);
  CHECK_THAT(result.err, Contains("was silent for 1.0 s"));
  CHECK(workers.one.wait_until_free());
  CHECK(workers.two.wait_until_free());
}
