// What a hop through a stage costs when the stage computes nothing: a message in, the rank's state machine, a message
// out.
#include "actors/run.hpp"
#include "runtime/run_options.hpp"

#include <benchmark/benchmark.h>

#include <memory>

namespace troupe {

namespace {

/// Hands its input on.
class empty_layer : public layer {
public:
  tensor forward(const tensor& input, stash&, const pass_context& at) const override {
    return input.empty() ? at.pool->make({1, 1}) : input;
  }
  tensor backward_input(const tensor& output_gradient, stash&, const pass_context& at) const override {
    return output_gradient.empty() ? at.pool->make({1, 1}) : output_gradient;
  }
  void backward_weight(stash&, const pass_context&) override {}
};

class empty_family : public model_family {
public:
  std::string name() const override { return "empty"; }
  void validate(const model_spec&) const override {}
  std::int64_t layer_count(const model_spec& spec) const override { return spec.layers; }
  layer_ptr make_layer(const model_spec&, std::int64_t) const override { return std::make_unique<empty_layer>(); }
  double forward_flops(const model_spec&, std::int64_t) const override { return 1.0; }
  std::int64_t targets_per_sequence(const model_spec&) const override { return 1; }
  shape activation_shape(const model_spec&, std::int64_t) const override { return {1, 1}; }
};

class empty_data : public data_source {
public:
  microbatch_data sample(const step_id&, std::uint32_t) const override { return {token_, token_}; }

private:
  token_block token_ = std::make_shared<const std::vector<std::int32_t>>(1, 0);
};

/// One microbatch at a time through the pipeline and back: nothing overlaps, so the time is the sum of all hops.
void local_hop(benchmark::State& state) {
  run_spec spec;
  spec.model.layers = spec.pipeline.stages = static_cast<std::uint32_t>(state.range(0));
  spec.model.sequence_length = 1;
  spec.training.microbatch_size = 1;
  spec.training.microbatches = 2000;
  spec.training.steps = 5;
  spec.pipeline.schedule = "naive";
  const empty_family family;
  const empty_data data;
  run_options options;
  options.family = &family;
  const double actions = 2.0 * spec.pipeline.stages * spec.training.microbatches;
  for (auto _ : state)
    state.SetIterationTime(median_after_warmup(run_pipeline(spec, data, options).step_seconds) / actions);
}
BENCHMARK(local_hop)->Arg(2)->Arg(4)->UseManualTime()->Iterations(3)->Unit(benchmark::kMicrosecond);

} // namespace

} // namespace troupe
