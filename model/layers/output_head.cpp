#include "model/layers/output_head.hpp"

#include "model/error.hpp"
#include "model/gemm.hpp"

namespace troupe {

namespace {

enum slot : std::size_t { input_slot, output_gradient_slot };

} // namespace

output_head::output_head(const output_head_options& options)
    : weight_{.name = "lm_head.weight",
              .extents = {options.vocabulary, options.width},
              .start = {.standard_deviation = options.standard_deviation},
              .decay = weight_decay::yes,
              .replica_of = options.replica_of} {}

tensor output_head::forward(const tensor& input, stash& kept, const pass_context& at) const {
  TROUPE_CHECK(input.columns() == weight_.extents[1], weight_.name + ": input of shape " + to_string(input.extents()));
  tensor logits = at.pool->make({input.rows(), weight_.extents[0]});
  gemm(as_matrix(input), transpose::no, as_matrix(weight_.value), transpose::yes, as_matrix(logits), accumulate::no);
  kept.slots.push_back(input);
  return logits;
}

tensor output_head::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  tensor input_gradient = at.pool->make(kept.slots[input_slot].extents());
  gemm(as_matrix(output_gradient), transpose::no, as_matrix(weight_.value), transpose::no, as_matrix(input_gradient),
       accumulate::no);
  kept.slots.push_back(output_gradient);
  return input_gradient;
}

void output_head::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  const tensor& input = kept.slots[input_slot];
  const tensor& output_gradient = kept.slots[output_gradient_slot];
  gemm(as_matrix(output_gradient), transpose::yes, as_matrix(input), transpose::no, as_matrix(weight_.gradient),
       accumulate::yes);
  kept.clear();
}

} // namespace troupe
