// The promise: same seed, same weights, bit for bit, whatever the schedule and the number of stages.
#include "actors/run.hpp"
#include "model/gemm.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

run_report reference_of(const run_spec& spec) {
  return run_reference(spec, made_up_data(spec), {});
}
run_report pipeline_of(const run_spec& spec) {
  return run_pipeline(spec, made_up_data(spec), {});
}

/// For tests of many schedules; check_matrix() always has both.
std::vector<recompute> recomputations() {
  return sanitized ? std::vector{recompute::full} : std::vector{recompute::none, recompute::full};
}

/// Runs `spec` through every number of stages, schedule and recomputation, and compares each with the reference.
void check_matrix(run_spec spec) {
  const run_report reference = reference_of(spec);
  for (const std::uint32_t stages : {1U, 2U, 3U, 4U, 6U})
    for (const std::string schedule : {"naive", "gpipe", "1f1b"})
      for (const recompute recomputation : {recompute::none, recompute::full}) {
        spec.pipeline.stages = stages;
        spec.pipeline.schedule = schedule;
        spec.pipeline.recomputation = recomputation;
        INFO(stages << " stages, " << schedule << ", recompute "
                    << (recomputation == recompute::full ? "full" : "none"));
        check_same_result(pipeline_of(spec), reference);
      }
}

} // namespace

TEST_CASE("a plain run has the reference's bits in every pipeline", "[equality]") {
  check_matrix(tiny_spec());
}

TEST_CASE("a clipped run has the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.optimizer.clip = 0.05;
  CHECK(reference_of(spec).gradient_norms.front() > spec.optimizer.clip);
  check_matrix(spec);
}

TEST_CASE("a run with dropout has the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.model.dropout = 0.2;
  check_matrix(spec);
}

TEST_CASE("a tied head has the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  check_matrix(spec);
}

TEST_CASE("tied head, dropout and clipping together have the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  check_matrix(spec);
}

TEST_CASE("layers that do not divide evenly have the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.model.layers = 5;
  check_matrix(spec);
}

TEST_CASE("sgd with momentum has the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.optimizer.kind = "sgd";
  check_matrix(spec);
}

TEST_CASE("the mlp family has the reference's bits in every pipeline", "[equality]") {
  run_spec spec = tiny_spec();
  spec.model.family = "mlp";
  check_matrix(spec);
}

TEST_CASE("fewer microbatches than stages, and one, have the reference's bits", "[equality]") {
  run_spec spec = tiny_spec();
  spec.training.microbatches = GENERATE(1U, 2U, 3U);
  const run_report reference = reference_of(spec);
  for (const std::string schedule : {"naive", "gpipe", "1f1b"}) {
    spec.pipeline.stages = 4;
    spec.pipeline.schedule = schedule;
    INFO(schedule);
    check_same_result(pipeline_of(spec), reference);
  }
}

TEST_CASE("schedules with several stages a rank, or with W apart from I, have the reference's bits", "[equality]") {
  struct sizes {
    std::string schedule;
    std::uint32_t stages, chunks, microbatches, group_size, waves;
  };
  const auto one = GENERATE(values<sizes>({{"interleaved-1f1b", 2, 2, 4, 0, 1},
                                           {"interleaved-1f1b", 3, 3, 6, 6, 1},
                                           {"interleaved-1f1b", 4, 2, 3, 0, 1},
                                           {"interleaved-1f1b", 1, 3, 2, 0, 1},
                                           {"looped-bfs", 3, 3, 5, 0, 1},
                                           {"looped-bfs", 4, 2, 2, 0, 1},
                                           {"interleaved-zb", 2, 3, 4, 0, 1},
                                           {"interleaved-zb", 4, 3, 8, 0, 1},
                                           {"interleaved-zb", 3, 1, 2, 0, 1},
                                           {"zb-h1", 2, 0, 3, 0, 1},
                                           {"zb-h1", 6, 0, 8, 0, 1},
                                           {"zb-h2", 3, 0, 5, 0, 1},
                                           {"zb-h2", 4, 0, 2, 0, 1},
                                           {"zb-v", 1, 0, 3, 0, 1},
                                           {"zb-v", 3, 0, 5, 0, 1},
                                           {"zb-v", 4, 0, 3, 0, 1},
                                           {"zb-v", 6, 2, 12, 0, 1},
                                           {"v-half", 2, 0, 4, 0, 1},
                                           {"v-half", 5, 0, 7, 0, 1},
                                           {"v-min", 3, 0, 6, 0, 1},
                                           {"v-min", 4, 0, 5, 0, 1},
                                           {"dualpipev", 1, 0, 2, 0, 1},
                                           {"dualpipev", 2, 0, 5, 0, 1},
                                           {"dualpipev", 4, 0, 8, 0, 1},
                                           {"hanayo", 4, 0, 6, 0, 1},
                                           {"hanayo", 3, 0, 4, 0, 2},
                                           {"hanayo", 1, 0, 3, 0, 4}}));
  run_spec spec = tiny_spec();
  spec.model.layers = 10;
  spec.model.tied_head = true; // in a V both ends of the model are on one rank
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = one.microbatches;
  const run_report reference = reference_of(spec);
  spec.pipeline.schedule = one.schedule;
  spec.pipeline.stages = one.stages;
  spec.pipeline.chunks = one.chunks;
  spec.pipeline.group_size = one.group_size;
  spec.pipeline.waves = one.waves;
  for (const recompute recomputation : recomputations()) {
    spec.pipeline.recomputation = recomputation;
    INFO(one.schedule << ", " << one.stages << " ranks, " << one.chunks << " chunks, " << one.microbatches
                      << " microbatches, recompute " << (recomputation == recompute::full ? "full" : "none"));
    check_same_result(pipeline_of(spec), reference);
  }
}

TEST_CASE("two copies of the model, fed from both ends, have the bits of a reference with two gradient groups",
          "[equality][copies]") {
  struct sizes {
    std::string schedule;
    std::uint32_t stages, microbatches;
  };
  const auto one = GENERATE(values<sizes>({{"dualpipe", 2, 4},
                                           {"dualpipe", 2, 10},
                                           {"dualpipe", 4, 8},
                                           {"dualpipe", 4, 12},
                                           {"dualpipe", 6, 12},
                                           {"chimera", 2, 2},
                                           {"chimera", 2, 6},
                                           {"chimera", 4, 4},
                                           {"chimera", 4, 10},
                                           {"chimera", 6, 4}}));
  run_spec spec = tiny_spec();
  spec.model.tied_head = GENERATE(false, true);
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = one.microbatches;
  spec.training.gradient_groups = 2;
  const run_report reference = reference_of(spec);
  spec.pipeline.schedule = one.schedule;
  spec.pipeline.stages = one.stages;
  spec.training.gradient_groups = sanitized ? 0U : GENERATE(0U, 2U);
  for (const recompute recomputation : recomputations()) {
    spec.pipeline.recomputation = recomputation;
    INFO(one.schedule << ", " << one.stages << " ranks, " << one.microbatches << " microbatches, recompute "
                      << (recomputation == recompute::full ? "full" : "none"));
    const run_report report = pipeline_of(spec);
    check_same_result(report, reference);
    CHECK(report.spec.training.gradient_groups == 2);
  }
}

TEST_CASE("one copy adds up gradient groups as the reference does, whatever the schedule", "[equality][copies]") {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = 8;
  spec.training.gradient_groups = GENERATE(2U, 4U, 8U);
  const run_report reference = reference_of(spec);
  for (const std::string schedule : {"naive", "gpipe", "1f1b", "zb-h1", "zb-v", "interleaved-1f1b"})
    for (const std::uint32_t stages : {1U, 2U, 3U}) {
      if (schedule == "interleaved-1f1b" && stages == 3)
        continue; // 8 microbatches make no groups for 3 ranks
      spec.pipeline.schedule = schedule;
      spec.pipeline.stages = stages;
      INFO(schedule << ", " << stages << " ranks");
      check_same_result(pipeline_of(spec), reference);
    }
}

TEST_CASE("two copies on ranks of their own are a data-parallel run, with the same bits", "[equality][copies]") {
  const scratch_directory scratch;
  write_bytes(scratch / "replicas.csv", "0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n0F2,0F3,0B2,0B3\n1F2,1B2,1F3,1B3\n");
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.training.gradient_groups = 2;
  const run_report reference = reference_of(spec);
  spec.pipeline.stages = 4;
  spec.pipeline.schedule = (scratch / "replicas.csv").string();
  check_same_result(pipeline_of(spec), reference);
}

TEST_CASE("a run with two copies, stopped and resumed with one, has the reference's bits",
          "[equality][checkpoint][copies]") {
  const scratch_directory scratch;
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.training.steps = 5;
  spec.training.microbatches = 8;
  run_spec first = spec; // leaves the number of groups open
  spec.training.gradient_groups = 2;
  const run_report reference = reference_of(spec);

  first.pipeline.stages = 4;
  first.pipeline.schedule = GENERATE("dualpipe", "chimera");
  first.training.stop_after = 2;
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  CHECK(pipeline_of(first).losses.size() == 2);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
  CHECK(start.spec().training.gradient_groups == 2);
  run_options options;
  options.resume = &start;

  for (const std::string schedule : {"1f1b", "dualpipe", "zb-v"}) {
    run_spec rest = spec;
    rest.pipeline.stages = 2;
    rest.pipeline.schedule = schedule;
    start.expect_same_run(rest);
    INFO(schedule);
    const run_report after = run_pipeline(rest, made_up_data(rest), options);
    CHECK(after.weights_sha256 == reference.weights_sha256);
    CHECK(after.optimizer_sha256 == reference.optimizer_sha256);
    CHECK(bits_of(after.losses) == bits_of({reference.losses.begin() + 2, reference.losses.end()}));
  }
  spec.training.gradient_groups = 1;
  CHECK_THROWS_WITH(start.expect_same_run(spec), Catch::Contains("training.gradient_groups: found 1 in this run"));
}

TEST_CASE("a partition by hand has the reference's bits", "[equality]") {
  run_spec spec = tiny_spec();
  const run_report reference = reference_of(spec);
  spec.pipeline.stages = 3;
  spec.pipeline.partition = GENERATE("1,1,4", "4,1,1", "2,3,1");
  check_same_result(pipeline_of(spec), reference);
}

TEST_CASE("two threads in each stage's matrix products give the bits of a reference with two threads", "[equality]") {
  run_spec spec = tiny_spec();
  if (max_gemm_threads() < 2)
    return; // the library that this build uses knows no threads
  spec.model.width = 256;
  spec.model.layers = 1;
  spec.training.microbatch_size = 8;
  spec.training.steps = 2;
  const std::string one_thread = reference_of(spec).weights_sha256;
  spec.pipeline.threads_per_stage = 2;
  const run_report reference = reference_of(spec);
  CHECK(reference.weights_sha256 != one_thread); // else this test would show nothing
  spec.pipeline.stages = 3;
  check_same_result(pipeline_of(spec), reference);
}

TEST_CASE("everything that defines the run changes the bits", "[equality]") {
  std::set<std::string> hashes;
  const auto note = [&](const std::function<void(run_spec&)>& change) {
    run_spec spec = tiny_spec();
    change(spec);
    const run_report report = reference_of(spec);
    CHECK(hashes.insert(report.weights_sha256).second);
  };
  note([](run_spec&) {});
  note([](run_spec& spec) { spec.training.seed = 8; });
  note([](run_spec& spec) { spec.training.microbatches = 5; });
  note([](run_spec& spec) { spec.training.steps = 2; });
  note([](run_spec& spec) { spec.training.gradient_groups = 2; });
  note([](run_spec& spec) { spec.training.gradient_groups = 4; });
  note([](run_spec& spec) { spec.model.dropout = 0.1; });
  note([](run_spec& spec) { spec.model.tied_head = true; });
  note([](run_spec& spec) { spec.optimizer.learning_rate = 2e-2; });
  note([](run_spec& spec) { spec.optimizer.clip = 0.05; });
}

TEST_CASE("a run stopped and resumed with another number of stages has the reference's bits",
          "[equality][checkpoint]") {
  const scratch_directory scratch;
  run_spec spec = tiny_spec();
  spec.model.tied_head = GENERATE(false, true);
  spec.model.dropout = 0.1;
  spec.training.steps = 5;
  const run_report reference = reference_of(spec);

  run_spec first = spec;
  first.pipeline.stages = 4;
  first.training.stop_after = 2;
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  const run_report before = pipeline_of(first);
  CHECK(before.losses.size() == 2);

  for (const std::uint32_t stages : {1U, 3U, 6U}) {
    std::vector<std::string> warnings;
    const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
    CHECK(start.steps_done() == 2);
    run_options options;
    options.resume = &start;
    run_spec rest = spec;
    rest.pipeline.stages = stages;
    rest.pipeline.schedule = "gpipe";
    INFO(stages << " stages");
    const run_report after = run_pipeline(rest, made_up_data(rest), options);
    CHECK(after.first_step == 2);
    CHECK(after.weights_sha256 == reference.weights_sha256);
    CHECK(after.optimizer_sha256 == reference.optimizer_sha256);
    CHECK(bits_of(after.losses) == bits_of({reference.losses.begin() + 2, reference.losses.end()}));
    // The reference goes on from the same checkpoint, too.
    CHECK(run_reference(rest, made_up_data(rest), options).weights_sha256 == reference.weights_sha256);
  }
}
