#include "model/layers/context_embedding.hpp"

#include "model/error.hpp"
#include "model/layers/tokens.hpp"

#include <algorithm>

namespace troupe {

context_embedding::context_embedding(const context_embedding_options& options)
    : table_{.name = "embedding.weight",
             .extents = {options.vocabulary, options.embedding_width},
             .start = {.standard_deviation = options.standard_deviation}} {}

// A row of the output is T rows of the table in token order, so token n of the microbatch starts at n * E.
tensor context_embedding::forward(const tensor& input, stash& kept, const pass_context& at) const {
  (void)input;
  (void)kept;
  check_tokens(at.tokens, table_.extents[0]);
  const std::int64_t width = table_.extents[1];
  TROUPE_CHECK(std::ssize(at.tokens) == at.sequences * at.sequence_length,
               "a microbatch of " + std::to_string(at.tokens.size()) + " tokens");
  tensor output = at.pool->make({at.sequences, at.sequence_length * width});
  float* to = output.data();
  for (const std::int32_t token : at.tokens)
    to = std::copy_n(table_.value.row(token), width, to);
  return output;
}

tensor context_embedding::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  (void)at;
  kept.slots.push_back(output_gradient);
  return {};
}

void context_embedding::backward_weight(stash& kept, const pass_context& at) {
  const tensor& gradient = kept.slots.front();
  const std::int64_t width = table_.extents[1];
  TROUPE_CHECK(std::ssize(at.tokens) * width == gradient.size(),
               "W of an embedding needs the tokens of its microbatch");
  const float* from = gradient.data();
  for (const std::int32_t token : at.tokens) {
    float* const to = table_.gradient.row(token);
    for (std::int64_t column = 0; column < width; ++column)
      to[column] += from[column];
    from += width;
  }
  kept.clear();
}

} // namespace troupe
