// Small models and made-up data for tests of whole runs.
#pragma once

#include "runtime/data.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace troupe::test {

/// A run that takes milliseconds: a gpt with 4 blocks (6 layers to cut), 4 microbatches, 3 steps.
inline run_spec tiny_spec() {
  run_spec spec;
  spec.model.layers = 4;
  spec.model.width = 16;
  spec.model.heads = 2;
  spec.model.vocabulary = 32;
  spec.model.sequence_length = 8;
  spec.model.embedding_width = 4;
  spec.data.path = "made-up";
  spec.training.steps = 3;
  spec.training.microbatches = 4;
  spec.training.microbatch_size = 2;
  spec.training.seed = 7;
  spec.optimizer.learning_rate = 1e-2;
  spec.optimizer.warmup_steps = 2;
  spec.optimizer.decay_steps = 3;
  spec.optimizer.clip = 0.0;
  spec.validation.every = 2;
  spec.validation.microbatches = 3;
  return spec;
}

/// Tokens that follow from (step, microbatch) by a formula.
class made_up_data : public data_source {
public:
  explicit made_up_data(run_spec spec) : spec_(std::move(spec)) {}

  microbatch_data sample(const step_id& at, std::uint32_t microbatch) const override {
    const auto length = static_cast<std::size_t>(spec_.model.sequence_length);
    auto tokens = std::make_shared<std::vector<std::int32_t>>();
    auto targets = std::make_shared<std::vector<std::int32_t>>();
    for (std::size_t sequence = 0; sequence < spec_.training.microbatch_size; ++sequence)
      for (std::size_t t = 0; t < length; ++t) {
        tokens->push_back(token(at, microbatch, sequence, t));
        if (spec_.model.family != "mlp" || t + 1 == length)
          targets->push_back(token(at, microbatch, sequence, t + 1));
      }
    return {tokens, targets};
  }

private:
  std::int32_t token(const step_id& at, std::uint32_t microbatch, std::size_t sequence, std::size_t t) const {
    const std::size_t validation = at.mode == pass_mode::evaluate ? 1 : 0;
    const std::size_t mixed = 7 * t * t + 31 * t + 17 * std::size_t{microbatch} + 101 * at.step * (1 - validation) +
                              11 * sequence + 5 * validation;
    return static_cast<std::int32_t>(mixed % static_cast<std::size_t>(spec_.model.vocabulary));
  }

  run_spec spec_;
};

} // namespace troupe::test
