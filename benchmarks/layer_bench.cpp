// Each layer's forward (F), backward_input (I) and backward_weight (W) at the shapes of the reference model.
#include "benchmarks/support.hpp"
#include "model/layers/attention.hpp"
#include "model/layers/cross_entropy.hpp"
#include "model/layers/dropout.hpp"
#include "model/layers/gelu.hpp"
#include "model/layers/layer_norm.hpp"
#include "model/layers/linear.hpp"
#include "model/layers/output_head.hpp"
#include "model/layers/token_and_position_embedding.hpp"
#include "model/model_spec.hpp"

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

namespace troupe::benchmarks {

namespace {

struct layer_case {
  std::string name;
  std::function<layer_ptr()> make;
  std::int64_t input_columns = 0; ///< 0: the input is tokens
  double forward_flops = 0.0;     ///< of matrix products; 0: not worth a rate
};

enum class half { forward, backward_input, backward_weight };

tensor random_tensor(tensor_pool& pool, const shape& extents, std::uint64_t index) {
  parameter p;
  p.extents = extents;
  p.start.standard_deviation = 1.0;
  allocate(p, pool, 1, 0, index);
  return p.value;
}

/// Runs all three halves and times one of them.
class timed_layer {
public:
  explicit timed_layer(const layer_case& one) : layer_(one.make()), tokens_(B * T) {
    std::uint64_t index = 0;
    for (parameter* p : parameters_of(*layer_))
      allocate(*p, pool_, 1, 1, index++);
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      tokens_[i] = static_cast<std::int32_t>((i * i + 31 * i) % V);
    at_.sequences = B;
    at_.sequence_length = T;
    at_.tokens = at_.targets = tokens_;
    at_.pool = &pool_;
    if (one.input_columns > 0)
      input_ = random_tensor(pool_, {B * T, one.input_columns}, 100);
    const tensor output = layer_->forward(input_, kept_, at_);
    kept_.clear();
    if (!output.empty())
      output_gradient_ = random_tensor(pool_, output.extents(), 101);
  }

  /// Seconds that `which` took.
  double run(half which) {
    const double forward = seconds_of([&] { layer_->forward(input_, kept_, at_); });
    const double input = seconds_of([&] { layer_->backward_input(output_gradient_, kept_, at_); });
    const double weight = seconds_of([&] { layer_->backward_weight(kept_, at_); });
    kept_.clear();
    return which == half::forward ? forward : which == half::backward_input ? input : weight;
  }

private:
  tensor_pool pool_;
  layer_ptr layer_;
  std::vector<std::int32_t> tokens_;
  pass_context at_;
  stash kept_;
  tensor input_, output_gradient_;
};

void run_layer(benchmark::State& state, const layer_case& one, half which, double flops) {
  timed_layer timed(one);
  double total_seconds = 0.0;
  for (auto _ : state) {
    const double taken = timed.run(which);
    state.SetIterationTime(taken);
    total_seconds += taken;
  }
  if (flops > 0.0)
    report_flops(state, flops, total_seconds);
}

// Fixed, since a half that does nothing would otherwise be repeated millions of times, with the other two.
constexpr std::int64_t iterations = 200;

void register_layer(const layer_case& one) {
  // Of the backward pass's two products, each as large as the forward one, I and W have one each. Attention has no
  // parameters and both in I (without the scores that it computes again).
  const bool is_attention = one.name == "attention";
  const auto add = [&](const std::string& name, half which, double flops) {
    benchmark::RegisterBenchmark(("layer/" + one.name + "/" + name).c_str(),
                                 [one, which, flops](benchmark::State& state) { run_layer(state, one, which, flops); })
        ->UseManualTime()
        ->Iterations(iterations)
        ->Unit(benchmark::kMicrosecond);
  };
  add("forward", half::forward, one.forward_flops);
  add("backward_input", half::backward_input, (is_attention ? 2.0 : 1.0) * one.forward_flops);
  add("backward_weight", half::backward_weight, is_attention ? 0.0 : one.forward_flops);
}

layer_case linear_case(const std::string& name, std::int64_t inputs, std::int64_t outputs) {
  return {name,
          [=] {
            return std::make_unique<linear>(linear_options{"w", inputs, outputs, 0.02});
          },
          inputs, 2.0 * static_cast<double>(B * T * inputs * outputs)};
}

/// A whole block of the family, as the planner sees it.
layer_case block_case() {
  const model_spec spec{.layers = 1, .width = C, .heads = heads, .vocabulary = V, .sequence_length = T};
  const model_family& family = find_family("gpt");
  return {"block", [=, &family] { return family.make_layer(spec, 1); }, C,
          static_cast<double>(B) * family.forward_flops(spec, 1)};
}

[[maybe_unused]] const bool registered = [] {
  register_layer({"embedding", [] {
                    return std::make_unique<token_and_position_embedding>(
                        token_and_position_options{.vocabulary = V, .sequence_length = T, .width = C});
                  }});
  register_layer({"layer_norm", [] { return std::make_unique<layer_norm>("ln", C); }, C});
  register_layer(linear_case("linear_256x768", C, 3 * C));
  register_layer({"attention", [] { return std::make_unique<attention>(attention_options{.heads = heads}); }, 3 * C,
                  2.0 * static_cast<double>(B * C * T * (T + 1))});
  register_layer(linear_case("linear_256x256", C, C));
  register_layer(linear_case("linear_256x1024", C, 4 * C));
  register_layer({"gelu", [] { return std::make_unique<gelu>(); }, 4 * C});
  register_layer(linear_case("linear_1024x256", 4 * C, C));
  register_layer({"dropout", [] { return std::make_unique<dropout>(0.1, 0); }, C});
  register_layer({"output_head",
                  [] {
                    return std::make_unique<output_head>(
                        output_head_options{.vocabulary = V, .width = C, .standard_deviation = 0.02});
                  },
                  C, 2.0 * static_cast<double>(B * T * C * V)});
  register_layer({"cross_entropy", [] { return std::make_unique<cross_entropy>(); }, V});
  register_layer(block_case());
  return true;
}();

} // namespace

} // namespace troupe::benchmarks
