// GPT-2's input: the sum of a token's embedding and its position's, both learned.
#pragma once

#include "model/layer.hpp"

#include <cstdint>

namespace troupe {

struct token_and_position_options {
  std::int64_t vocabulary = 0;
  std::int64_t sequence_length = 0;
  std::int64_t width = 0;
  double token_deviation = 0.02;
  double position_deviation = 0.01;
};

/// From at.tokens (B*T of them, read in forward and in W) to [B*T, width]. Parameters "wte.weight" [V, width] and
/// "wpe.weight" [T, width]. Throws data_error on a token outside the vocabulary.
class token_and_position_embedding final : public layer {
public:
  explicit token_and_position_embedding(const token_and_position_options& options);

  tensor forward(const tensor& input, stash& kept, const pass_context& at) const override;
  tensor backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const override;
  void backward_weight(stash& kept, const pass_context& at) override;
  void collect_parameters(std::vector<parameter*>& out) override;

private:
  parameter tokens_;
  parameter positions_;
};

} // namespace troupe
