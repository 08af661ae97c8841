// The promise for asynchronous schedules: the actors have the bits of the interpreter on one thread.
#include "actors/run.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <string>

using namespace troupe;
using namespace troupe::test;

namespace {

run_spec asynchronous_spec(const std::string& schedule, std::uint32_t stages, std::uint32_t microbatches) {
  run_spec spec = tiny_spec();
  spec.model.layers = 6;
  spec.model.dropout = 0.1;
  spec.pipeline.schedule = schedule;
  spec.pipeline.stages = stages;
  spec.training.microbatches = microbatches;
  spec.training.steps = 7;
  spec.validation.every = 3;
  return spec;
}

const std::vector<std::string> names = {"pipedream", "pipedream-vertical-sync", "pipedream-2bw"};

} // namespace

TEST_CASE("asynchronous schedules have the interpreter's bits", "[asynchronous]") {
  using sizes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  const sizes all_sizes =
      sanitized ? sizes{{2, 5}, {4, 4}} : sizes{{1, 1}, {1, 3}, {2, 2}, {2, 5}, {4, 4}, {4, 9}, {6, 6}};
  for (const std::string& name : names)
    for (const auto& [stages, microbatches] : all_sizes)
      for (const recompute recomputation : {recompute::none, recompute::full}) {
        run_spec spec = asynchronous_spec(name, stages, microbatches);
        spec.pipeline.recomputation = recomputation;
        INFO(name << ", " << stages << " stages, " << microbatches << " microbatches");
        const made_up_data data(spec);
        check_same_result(run_pipeline(spec, data, {}), run_one_thread(spec, data, {}));
      }
}

TEST_CASE("asynchronous schedules have the interpreter's bits whatever the order of messages", "[asynchronous]") {
  for (const std::string& name : names) {
    run_spec spec = asynchronous_spec(name, 3, 4);
    const made_up_data data(spec);
    const run_report expected = run_one_thread(spec, data, {});
    for (std::uint64_t seed = 0; seed < orders(30); ++seed) {
      INFO(name << ", seed " << seed);
      const outcome seen = unruly_run(spec, data, {}, seed).play();
      REQUIRE_FALSE(seen.failure);
      REQUIRE(seen.report);
      check_same_result(*seen.report, expected);
    }
  }
}

TEST_CASE("an asynchronous run through actors, stopped and resumed, has the bits of one that was not",
          "[asynchronous][checkpoint]") {
  const scratch_directory scratch;
  for (const std::string& name : names) {
    const run_spec spec = asynchronous_spec(name, 3, 4);
    const made_up_data data(spec);
    const run_report whole = run_one_thread(spec, data, {});
    run_spec first = spec;
    first.training.stop_after = 5;
    first.checkpoint.directory = (scratch.path() / name).string();
    first.checkpoint.every = 2;
    run_pipeline(first, data, {});
    std::vector<std::string> warnings;
    for (const std::string generation : {"step-00000004", "step-00000005"}) {
      const checkpoint start = checkpoint::open_latest(scratch.path() / name / generation, warnings);
      const run_report rest = run_pipeline(spec, data, {.resume = &start});
      INFO(name << " from " << generation);
      CHECK(rest.weights_sha256 == whole.weights_sha256);
      CHECK(rest.optimizer_sha256 == whole.optimizer_sha256);
    }
  }
}

TEST_CASE("an interrupted asynchronous run ends with a checkpoint from which it goes on to the same bits",
          "[asynchronous][checkpoint]") {
  const scratch_directory scratch;
  for (const std::string& name : names) {
    const run_spec spec = asynchronous_spec(name, 3, 4);
    const made_up_data data(spec);
    const run_report whole = run_one_thread(spec, data, {});
    run_spec first = spec;
    first.checkpoint.directory = (scratch.path() / name).string();
    const std::atomic<int> interrupts = 1;
    const run_report part = run_pipeline(first, data, {.interrupts = &interrupts});
    std::vector<std::string> warnings;
    const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
    CHECK(start.steps_done() == part.losses.size());
    const run_report rest = run_pipeline(spec, data, {.resume = &start});
    INFO(name);
    CHECK(rest.weights_sha256 == whole.weights_sha256);
  }
}

TEST_CASE("no rank of an asynchronous run stashes more than its schedule's peak", "[asynchronous]") {
  for (const std::string& name : names) {
    const run_spec spec = asynchronous_spec(name, 4, 6);
    const run_report report = run_pipeline(spec, made_up_data(spec), {});
    for (std::uint32_t rank = 0; rank < 4; ++rank)
      CHECK(report.ranks[rank].usage.peak_stash_microbatches == 4 - rank);
  }
}
