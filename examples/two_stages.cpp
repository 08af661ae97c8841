// The smallest pipeline: a tiny GPT in two stages, an actor each, learns to count, and ends with the same weights, bit
// for bit, as the reference trainer's plain loops.
#include "actors/run.hpp"
#include "runtime/reference_trainer.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace {

using namespace troupe;

/// Sequences that count upwards from a place that follows from the step and the microbatch. Any class with a sample()
/// that depends on nothing but its arguments will do; troupe::file_data reads a file.
class counting_data : public data_source {
public:
  explicit counting_data(run_spec spec) : spec_(std::move(spec)) {}

  microbatch_data sample(const step_id& at, std::uint32_t microbatch) const override {
    auto tokens = std::make_shared<std::vector<std::int32_t>>();
    auto targets = std::make_shared<std::vector<std::int32_t>>();
    for (std::uint32_t sequence = 0; sequence < spec_.training.microbatch_size; ++sequence)
      for (std::int64_t t = 0; t < spec_.model.sequence_length; ++t) {
        const std::uint64_t start = 31 * at.step + 17 * std::uint64_t{microbatch} + 5 * std::uint64_t{sequence};
        const std::uint64_t number = start + static_cast<std::uint64_t>(t);
        const auto vocabulary = static_cast<std::uint64_t>(spec_.model.vocabulary);
        tokens->push_back(static_cast<std::int32_t>(number % vocabulary));
        targets->push_back(static_cast<std::int32_t>((number + 1) % vocabulary));
      }
    return {tokens, targets};
  }

private:
  run_spec spec_;
};

} // namespace

int main() {
  run_spec spec;
  spec.model = {.family = "gpt", .layers = 2, .width = 32, .heads = 2, .vocabulary = 64, .sequence_length = 16};
  spec.data.tokens = token_format::uint16; // a source of one's own may use any vocabulary up to 65536
  spec.training = {.steps = 30, .microbatches = 4, .microbatch_size = 4, .seed = 1};
  spec.optimizer.learning_rate = 1e-2;
  spec.pipeline.stages = 2;
  spec.pipeline.schedule = "1f1b";
  const counting_data data(spec);

  try {
    validate(spec);
    run_options options;
    options.on_step = [](const step_progress& at) {
      if (at.step % 5 == 0)
        fmt::print("step {:2}  loss {:.4f}\n", at.step, at.loss);
    };
    const run_report pipeline = run_pipeline(spec, data, options);
    const run_report reference = run_reference(spec, data, {});
    fmt::print("two stages  {}\none thread  {}\n", pipeline.weights_sha256, reference.weights_sha256);
    return pipeline.weights_sha256 == reference.weights_sha256 ? 0 : 1;
  } catch (const error& problem) { // whatever the world can cause, with one line that explains it
    fmt::print(stderr, "{}\n", problem.what());
    return 1;
  }
}
