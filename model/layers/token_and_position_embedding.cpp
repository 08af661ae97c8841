#include "model/layers/token_and_position_embedding.hpp"

#include "model/error.hpp"
#include "model/layers/tokens.hpp"

namespace troupe {

token_and_position_embedding::token_and_position_embedding(const token_and_position_options& options)
    : tokens_{.name = "wte.weight",
              .extents = {options.vocabulary, options.width},
              .start = {.standard_deviation = options.token_deviation}},
      positions_{.name = "wpe.weight",
                 .extents = {options.sequence_length, options.width},
                 .start = {.standard_deviation = options.position_deviation}} {}

tensor token_and_position_embedding::forward(const tensor& input, stash& kept, const pass_context& at) const {
  (void)input;
  (void)kept;
  check_tokens(at.tokens, tokens_.extents[0]);
  TROUPE_CHECK(at.sequence_length > 0 && at.sequence_length <= positions_.extents[0],
               "a sequence of " + std::to_string(at.sequence_length) + " tokens");
  const std::int64_t width = tokens_.extents[1];
  tensor output = at.pool->make({static_cast<std::int64_t>(at.tokens.size()), width});
  for (std::int64_t row = 0; row < output.rows(); ++row) {
    const float* const token = tokens_.value.row(at.tokens[static_cast<std::size_t>(row)]);
    const float* const position = positions_.value.row(row % at.sequence_length);
    float* const to = output.row(row);
    for (std::int64_t column = 0; column < width; ++column)
      to[column] = token[column] + position[column];
  }
  return output;
}

tensor token_and_position_embedding::backward_input(const tensor& output_gradient, stash& kept,
                                                    const pass_context& at) const {
  (void)at;
  kept.slots.push_back(output_gradient);
  return {};
}

void token_and_position_embedding::backward_weight(stash& kept, const pass_context& at) {
  const tensor& gradient = kept.slots.front();
  TROUPE_CHECK(std::ssize(at.tokens) == gradient.rows(), "W of an embedding needs the tokens of its microbatch");
  for (std::int64_t row = 0; row < gradient.rows(); ++row) {
    const float* const from = gradient.row(row);
    float* const token = tokens_.gradient.row(at.tokens[static_cast<std::size_t>(row)]);
    float* const position = positions_.gradient.row(row % at.sequence_length);
    for (std::int64_t column = 0; column < gradient.columns(); ++column) {
      token[column] += from[column];
      position[column] += from[column];
    }
  }
  kept.clear();
}

void token_and_position_embedding::collect_parameters(std::vector<parameter*>& out) {
  out.push_back(&tokens_);
  out.push_back(&positions_);
}

} // namespace troupe
