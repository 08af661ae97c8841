// From the times of layers to a plan.
#include "model/error.hpp"
#include "runtime/searched_plan.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace troupe;

namespace {

run_spec auto_spec(std::uint32_t stages, std::uint32_t microbatches) {
  run_spec spec;
  spec.model.layers = 6;
  spec.pipeline.schedule = "auto";
  spec.pipeline.stages = stages;
  spec.training.microbatches = microbatches;
  return spec;
}

std::string refusal_of(const run_spec& spec) {
  try {
    make_plan(spec, find_family(spec.model.family));
  } catch (const spec_error& refused) {
    return refused.what();
  }
  return "";
}

} // namespace

TEST_CASE("a stage's measured time is spread over its layers by their estimates") {
  const std::vector<stage_cost> layers =
      spread_over_layers({{8, 4, 2}, {5, 6, 7}}, {{0, 2}, {2, 3}}, {{3, 3, 3}, {1, 1, 1}, {9, 9, 9}});
  CHECK(layers == std::vector<stage_cost>{{6, 3, 1.5}, {2, 1, 0.5}, {5, 6, 7}});
}

TEST_CASE("a searched plan cuts by measured times, not by estimates") {
  std::vector<stage_cost> layers(8, stage_cost{1, 1, 1});
  layers[0] = {5, 5, 5};
  run_spec spec = auto_spec(2, 4);
  spec.pipeline.chunks = 1;
  const searched_plan made = search_plan(spec, layers, 0);
  CHECK(made.pipeline.order.name == "auto");
  CHECK(made.pipeline.stages == std::vector<layer_range>{{0, 2}, {2, 8}});
  CHECK(made.pipeline.facts.peak_by_stage.size() == 2);
  CHECK(partition_text(made.pipeline.stages) == "2,6");
}

TEST_CASE("a searched plan obeys partition, chunks and memory limit of the spec") {
  const std::vector<stage_cost> layers(8, stage_cost{});
  run_spec spec = auto_spec(2, 8);
  spec.pipeline.partition = "1,2,3,2";
  CHECK(partition_text(search_plan(spec, layers, 0).pipeline.stages) == "1,2,3,2");
  spec.pipeline.partition = "3,5";
  CHECK(search_plan(spec, layers, 0).pipeline.order.stages() == 2);
  spec.pipeline.partition = "1,2,5";
  CHECK_THROWS_WITH(search_plan(spec, layers, 0), Catch::Matchers::StartsWith("pipeline.partition: found '1,2,5'"));
  spec.pipeline.partition.clear();
  spec.pipeline.chunks = 3;
  spec.pipeline.memory_limit = 1;
  const plan tight = search_plan(spec, layers, 0).pipeline;
  CHECK(tight.order.stages() == 6);
  for (const std::uint32_t peak : tight.facts.peak_by_rank)
    CHECK(peak <= 3);
}

TEST_CASE("with fewer processors than ranks the prediction is that of ranks that share them") {
  const std::vector<stage_cost> layers(8, stage_cost{});
  const search_result shared = search_plan(auto_spec(4, 8), layers, 1).found;
  CHECK(shared.found.step_time == Approx(8 * 8 * 3.0));
  const search_result enough = search_plan(auto_spec(4, 8), layers, 4).found;
  CHECK(enough.found.step_time < 0.3 * shared.found.step_time);
}

TEST_CASE("without a measurement auto goes by the matrix products of the layers") {
  run_spec spec = auto_spec(4, 8);
  const plan made = make_plan(spec, find_family("gpt"));
  CHECK(made.order.name == "auto");
  CHECK(made.facts.canonical);
  CHECK(made.stages.back().last == 8);
  spec.pipeline.stages = 9;
  CHECK(refusal_of(spec).find("pipeline.stages: found 9, expected at most 8") == 0);
  spec.pipeline.stages = 4;
  spec.pipeline.chunks = 3;
  CHECK(refusal_of(spec).find("pipeline.stages * pipeline.chunks: found 4 * 3 = 12, expected at most 8") == 0);
}

TEST_CASE("a memory limit is only for auto and reactive ranks") {
  run_spec spec = auto_spec(2, 4);
  spec.pipeline.memory_limit = 3;
  CHECK(refusal_of(spec) == "");
  CHECK_NOTHROW(validate(spec));
  spec.pipeline.schedule = "reference";
  CHECK(refusal_of(spec) == "");
  spec.pipeline.schedule = "1f1b";
  CHECK(refusal_of(spec) == "pipeline.memory_limit: found 3, expected 0, as pipeline.schedule is 1f1b and "
                            "pipeline.dispatch static: only auto and reactive ranks have a choice to limit");
}

TEST_CASE("reactive ranks may hold what the memory limit says, which is no less than their list needs") {
  run_spec spec = auto_spec(2, 8);
  spec.pipeline.schedule = "1f1b";
  spec.pipeline.dispatch = dispatch_mode::reactive;
  CHECK(make_plan(spec, find_family("gpt")).facts.peak_by_rank == std::vector<std::uint32_t>{2, 1});
  spec.pipeline.memory_limit = 3;
  const plan roomy = make_plan(spec, find_family("gpt"));
  CHECK(roomy.facts.peak_by_rank == std::vector<std::uint32_t>{3, 3});
  CHECK(roomy.facts.peak_by_stage == std::vector<std::uint32_t>{3, 3});
  spec.pipeline.memory_limit = 1;
  CHECK(refusal_of(spec) == "pipeline.memory_limit: found 1, expected at least 2, as rank 0 of 1f1b holds 2 "
                            "microbatches of one of its 1 stages at once");
}

TEST_CASE("auto adds gradients in as many groups as the spec says") {
  run_spec spec = auto_spec(2, 4);
  spec.training.gradient_groups = 2;
  CHECK(make_plan(spec, find_family("gpt")).gradient_groups == 2);
  spec.training.gradient_groups = 0;
  CHECK(make_plan(spec, find_family("gpt")).gradient_groups == 1);
}

TEST_CASE("auto for emulated passes goes by their times, with the stages that they are for") {
  run_spec spec = auto_spec(2, 6);
  spec.pipeline.emulate = "f=1s/3s,i=1s/3s,w=1s/3s";
  const searched_plan made = search_emulated_plan(spec, find_family("gpt"));
  CHECK(made.found.stages == std::vector<stage_cost>{{1, 1, 1, 0}, {3, 3, 3, 0}});
  CHECK(made.found.found.step_time == Approx(1 + 6 * 9.0));
  CHECK(make_plan(spec, find_family("gpt")).order == made.pipeline.order);
  CHECK(made.pipeline.stages.back().last == 8);
  spec.pipeline.chunks = 2;
  CHECK(refusal_of(spec).find("pipeline.emulate: found a list of 2 times, expected one time or 4") == 0);
  spec.pipeline.emulate = "f=1s,i=1s,w=1s";
  CHECK(make_plan(spec, find_family("gpt")).order.stages() == 4);
}
