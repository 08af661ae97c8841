// A layer and a model family of one's own: a GPT whose blocks end in a learned factor for each channel (Touvron et al.,
// "Going deeper with image transformers", 2021, section 2, call it LayerScale). It runs in the pipeline like any other.
#include "actors/run.hpp"
#include "model/error.hpp"
#include "model/layers/chain.hpp"
#include "runtime/reference_trainer.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace troupe;

/// y = x * factor, a factor for each channel, starting at 1. [N, width] to [N, width].
class channel_scale : public layer {
public:
  channel_scale(const std::string& name, std::int64_t width)
      : factor_{.name = name + ".weight", .extents = {width}, .start = {.value = 1.0F}, .decay = weight_decay::no} {}

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override {
    TROUPE_CHECK(input.columns() == factor_.extents[0], "a factor for each channel");
    kept.slots.push_back(input); // W will need x
    return scaled(input, *at.pool);
  }

  /// I: dx = dy * factor. W will need dy.
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override {
    kept.slots.push_back(output_gradient);
    return scaled(output_gradient, *at.pool);
  }

  /// W: adds the sum over all rows of dy * x. Rows in ascending order, so that the bits are always the same.
  void backward_weight(stash& kept, const pass_context&) override {
    const tensor& input = kept.slots[0];
    const tensor& output_gradient = kept.slots[1];
    float* const sum = factor_.gradient.data();
    for (std::int64_t row = 0; row < input.rows(); ++row)
      for (std::int64_t c = 0; c < input.columns(); ++c)
        sum[c] += output_gradient.row(row)[c] * input.row(row)[c];
    kept.clear();
  }

  void collect_parameters(std::vector<parameter*>& out) override { out.push_back(&factor_); }

private:
  tensor scaled(const tensor& values, tensor_pool& pool) const {
    tensor result = pool.make(values.extents());
    for (std::int64_t row = 0; row < values.rows(); ++row)
      for (std::int64_t c = 0; c < values.columns(); ++c)
        result.row(row)[c] = values.row(row)[c] * factor_.value.data()[c];
    return result;
  }

  parameter factor_;
};

/// The built-in gpt, but for the layer at the end of each block.
class scaled_gpt : public model_family {
public:
  std::string name() const override { return "scaled_gpt"; }
  void validate(const model_spec& spec) const override { gpt_.validate(spec); }
  std::int64_t layer_count(const model_spec& spec) const override { return gpt_.layer_count(spec); }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override {
    layer_ptr made = gpt_.make_layer(spec, index);
    if (index == 0 || index > spec.layers) // the embedding and the head
      return made;
    const std::string name = "h." + std::to_string(index - 1) + ".scale";
    return make_chain(std::move(made), std::make_unique<channel_scale>(name, spec.width));
  }
  double forward_flops(const model_spec& spec, std::int64_t index) const override {
    return gpt_.forward_flops(spec, index); // only matrix products count
  }
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return gpt_.targets_per_sequence(spec); }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override {
    return gpt_.activation_shape(spec, sequences);
  }

private:
  const model_family& gpt_ = find_family("gpt");
};

} // namespace

int main() {
  run_spec spec;
  spec.model = {.family = "scaled_gpt", .layers = 2, .width = 32, .heads = 2, .sequence_length = 32};
  spec.data.path = "/usr/share/common-licenses/GPL-3";
  spec.training = {.steps = 20, .microbatches = 4, .microbatch_size = 4, .seed = 1};
  spec.optimizer.learning_rate = 1e-2;
  spec.pipeline.stages = 4;

  try {
    const scaled_gpt family;
    validate(spec, family);
    const file_data data(spec, family.targets_per_sequence(spec.model));
    run_options options;
    options.family = &family;
    const run_report pipeline = run_pipeline(spec, data, options);
    const run_report reference = run_reference(spec, data, options);
    fmt::print("{} parameters, loss {:.4f} at the start, {:.4f} after {} steps\n", parameter_count(spec.model, family),
               pipeline.losses.front(), pipeline.losses.back(), spec.training.steps);
    fmt::print("four stages  {}\none thread   {}\n", pipeline.weights_sha256, reference.weights_sha256);
    return pipeline.weights_sha256 == reference.weights_sha256 ? 0 : 1;
  } catch (const error& problem) {
    fmt::print(stderr, "{}\n", problem.what());
    return 1;
  }
}
