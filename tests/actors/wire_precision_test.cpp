// The promise with pipeline.wire bf16: what crosses from stage to stage is rounded, so the bits follow from the cuts,
// and from nothing else that a pipeline can be varied in.
#include "actors/run.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// Six layers in four stages, with everything that could go another way at a cut.
run_spec rounded_spec() {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = 8;
  spec.pipeline.wire = wire_precision::bf16;
  spec.pipeline.partition = "1,2,1,2";
  return spec;
}

run_report reference_of(run_spec spec) {
  spec.pipeline.schedule = "reference";
  return run_reference(spec, made_up_data(spec), {});
}
run_report pipeline_of(const run_spec& spec) {
  return run_pipeline(spec, made_up_data(spec), {});
}
run_report one_thread(const run_spec& spec) {
  return run_one_thread(spec, made_up_data(spec), {});
}

} // namespace

TEST_CASE("with the same cuts, rounded stages give the reference's bits in any schedule on any ranks",
          "[equality][wire]") {
  struct layout {
    std::string schedule;
    std::uint32_t ranks, chunks;
  };
  const auto one = GENERATE(values<layout>({{"1f1b", 4, 0},
                                            {"gpipe", 4, 0},
                                            {"zb-h1", 4, 0},
                                            {"zb-v", 2, 0},
                                            {"v-min", 2, 0},
                                            {"interleaved-1f1b", 2, 2},
                                            {"interleaved-zb", 2, 2},
                                            {"interleaved-1f1b", 1, 4},
                                            {"looped-bfs", 2, 2},
                                            {"hanayo", 2, 0}}));
  run_spec spec = rounded_spec();
  const run_report reference = reference_of(spec);
  spec.pipeline.schedule = one.schedule;
  spec.pipeline.stages = one.ranks;
  spec.pipeline.chunks = one.chunks;
  for (const recompute recomputation : {recompute::none, recompute::full}) {
    spec.pipeline.recomputation = recomputation;
    INFO(one.schedule << ", " << one.ranks << " ranks, recompute "
                      << (recomputation == recompute::full ? "full" : "none"));
    check_same_result(pipeline_of(spec), reference);
    check_same_result(one_thread(spec), reference);
  }
}

TEST_CASE("two copies with rounded stages have the bits of a reference with two gradient groups",
          "[equality][wire][copies]") {
  run_spec spec = rounded_spec();
  spec.training.gradient_groups = 2;
  const run_report reference = reference_of(spec);
  spec.pipeline.stages = 4;
  spec.pipeline.schedule = GENERATE("dualpipe", "chimera");
  INFO(spec.pipeline.schedule);
  check_same_result(pipeline_of(spec), reference);
  check_same_result(one_thread(spec), reference);
}

TEST_CASE("a reference without a partition rounds where a pipeline of as many stages is cut", "[equality][wire]") {
  run_spec spec = rounded_spec();
  spec.pipeline.partition.clear();
  spec.pipeline.stages = 2;
  spec.pipeline.chunks = 2;
  const run_report reference = reference_of(spec);
  CHECK(reference.spec.pipeline.partition == "2,1,1,2");
  spec.pipeline.schedule = "interleaved-1f1b";
  check_same_result(pipeline_of(spec), reference);
  spec.pipeline.schedule = "1f1b";
  spec.pipeline.stages = 4;
  spec.pipeline.chunks = 0;
  check_same_result(pipeline_of(spec), reference);
}

TEST_CASE("rounding at the cuts changes the bits, and so does another cut", "[wire]") {
  run_spec spec = rounded_spec();
  const std::string rounded = reference_of(spec).weights_sha256;
  spec.pipeline.partition = "2,1,1,2";
  CHECK(reference_of(spec).weights_sha256 != rounded);
  spec.pipeline.partition = "3,1,2"; // one of the same cuts less
  CHECK(reference_of(spec).weights_sha256 != rounded);

  run_spec plain = rounded_spec();
  plain.pipeline.wire = wire_precision::fp32;
  const std::string exact = reference_of(plain).weights_sha256;
  CHECK(exact != rounded);
  spec.pipeline.partition = "6"; // no cut, nothing to round
  CHECK(reference_of(spec).weights_sha256 == exact);
}

TEST_CASE("a run with rounded stages is resumed under another schedule with the same cuts", "[wire][checkpoint]") {
  const scratch_directory scratch;
  run_spec spec = rounded_spec();
  spec.training.gradient_groups = 1;
  run_spec first = spec;
  first.pipeline.partition.clear();
  first.pipeline.schedule = "zb-v";
  first.pipeline.stages = 2;
  first.training.stop_after = 2;
  first.checkpoint.directory = (scratch.path() / "checkpoints").string();
  const bool actors = GENERATE(true, false);
  actors ? pipeline_of(first) : one_thread(first);
  std::vector<std::string> warnings;
  const checkpoint start = checkpoint::open_latest(first.checkpoint.directory, warnings);
  CHECK(start.spec().pipeline.partition == "2,1,1,2"); // settled, so that it holds whatever balances later
  run_options options;
  options.resume = &start;

  spec.pipeline.partition = "2,1,1,2";
  const run_report whole = reference_of(spec);
  spec.pipeline.schedule = "1f1b";
  spec.pipeline.stages = 4;
  start.expect_same_run(spec);
  const run_report after = run_pipeline(spec, made_up_data(spec), options);
  CHECK(after.weights_sha256 == whole.weights_sha256);
  CHECK(after.optimizer_sha256 == whole.optimizer_sha256);
  CHECK(run_reference(spec, made_up_data(spec), options).weights_sha256 == whole.weights_sha256);
}
