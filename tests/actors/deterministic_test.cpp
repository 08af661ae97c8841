// The actors under CAF's deterministic scheduler: any order of messages gives the same result, and any failure a clean
// end.
#include "runtime/reference_trainer.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/failing_family.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

using namespace troupe;
using namespace troupe::test;

namespace {

run_spec unruly_spec() {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.pipeline.stages = 3;
  return spec;
}

} // namespace

TEST_CASE("messages that arrive in any order, some of them twice, give the reference's bits", "[actors]") {
  run_spec spec = unruly_spec();
  const made_up_data data(spec);
  const run_report reference = run_reference(spec, data, {});
  for (const std::string schedule : {"naive", "gpipe", "1f1b"})
    for (std::uint64_t seed = 0; seed < orders(40); ++seed) {
      spec.pipeline.schedule = schedule;
      INFO(schedule << ", seed " << seed);
      const outcome seen = unruly_run(spec, data, {}, seed).play();
      REQUIRE_FALSE(seen.failure);
      REQUIRE(seen.report);
      check_same_result(*seen.report, reference);
    }
}

TEST_CASE("with two copies, too, messages in any order and some of them twice give the reference's bits",
          "[actors][copies]") {
  run_spec spec = unruly_spec();
  spec.training.microbatches = 8;
  spec.training.gradient_groups = 2;
  const made_up_data data(spec);
  const run_report reference = run_reference(spec, data, {});
  for (const std::uint32_t stages : {2U, 4U})
    for (const std::string schedule : {"dualpipe", "chimera"})
      for (std::uint64_t seed = 0; seed < orders(25); ++seed) {
        spec.pipeline.stages = stages;
        spec.pipeline.schedule = schedule;
        INFO(schedule << ", " << stages << " ranks, seed " << seed);
        const outcome seen = unruly_run(spec, data, {}, seed).play();
        REQUIRE_FALSE(seen.failure);
        REQUIRE(seen.report);
        check_same_result(*seen.report, reference);
      }
}

TEST_CASE("different seeds make different orders of events", "[actors]") {
  const run_spec spec = unruly_spec();
  const made_up_data data(spec);
  std::set<std::uint64_t> counts;
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    unruly_run run(spec, data, {}, seed);
    run.play();
    counts.insert(run.events());
    unruly_run again(spec, data, {}, seed);
    again.play();
    CHECK(again.events() == run.events());
  }
  CHECK(counts.size() > 1);
}

TEST_CASE("a stage that throws ends the run with its message, wherever it happens", "[actors]") {
  run_spec spec = unruly_spec();
  spec.model.tied_head = false;
  const made_up_data data(spec);
  for (const failing_layer::moment when :
       {failing_layer::moment::forward, failing_layer::moment::backward_input, failing_layer::moment::backward_weight})
    for (std::int64_t layer = 1; layer <= spec.model.layers; ++layer)
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const failing_family family(layer, {.when = when, .step = 1, .microbatch = 2});
        run_options options;
        options.family = &family;
        INFO("layer " << layer << ", seed " << seed);
        const outcome seen = unruly_run(spec, data, options, seed).play();
        CHECK_FALSE(seen.report);
        REQUIRE(seen.failure);
        CHECK(seen.failure->kind == error_kind::run);
        CHECK(seen.failure->text.find("the layer gave up") != std::string::npos);
        CHECK(seen.failure->text.find("rank ") == 0);
      }
}

TEST_CASE("run_pipeline throws what a stage threw, and names the rank", "[actors]") {
  const run_spec spec = unruly_spec();
  const made_up_data data(spec);
  const failing_family family(2, {.when = failing_layer::moment::forward, .step = 1, .microbatch = 0});
  run_options options;
  options.family = &family;
  CHECK(error_text<run_error>([&] { run_pipeline(spec, data, options); }) ==
        "rank 1 died 6 times within 60 s, expected at most 5 (faults.max_restarts); last cause: rank 1 failed: the "
        "layer gave up");
}

TEST_CASE("a data source that fails ends the run with its own error", "[actors]") {
  struct broken_data : made_up_data {
    using made_up_data::made_up_data;
    microbatch_data sample(const step_id& at, std::uint32_t microbatch) const override {
      if (at.step == 1 && microbatch == 3)
        throw data_error("corpus.txt: found a hole, expected text");
      return made_up_data::sample(at, microbatch);
    }
  };
  const run_spec spec = unruly_spec();
  CHECK_THROWS_AS(run_pipeline(spec, broken_data(spec), {}), data_error);
  CHECK_THROWS_WITH(run_pipeline(spec, broken_data(spec), {}), "corpus.txt: found a hole, expected text");
}

TEST_CASE("a checkpoint directory that cannot be made ends the run with its own error", "[actors]") {
  const scratch_directory scratch;
  write_bytes(scratch / "file", "not a directory");
  run_spec spec = unruly_spec();
  spec.checkpoint.directory = (scratch / "file" / "below").string();
  CHECK_THROWS_AS(run_pipeline(spec, made_up_data(spec), {}), checkpoint_error);
}

TEST_CASE("an interrupt finishes the step, writes the checkpoint, and ends", "[actors]") {
  const scratch_directory scratch;
  run_spec spec = unruly_spec();
  spec.training.steps = 1000000;
  spec.checkpoint.directory = (scratch / "checkpoints").string();
  std::atomic<int> interrupts = 0;
  std::uint64_t told = 0;
  run_options options;
  options.interrupts = &interrupts;
  options.on_step = [&](const step_progress& progress) {
    told = progress.step;
    interrupts = 1;
  };
  const run_report report = run_pipeline(spec, made_up_data(spec), options);
  CHECK(report.interrupted);
  CHECK(report.losses.size() == told);
  std::vector<std::string> warnings;
  CHECK(checkpoint::open_latest(spec.checkpoint.directory, warnings).steps_done() == told);
}
