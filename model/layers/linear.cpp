#include "model/layers/linear.hpp"

#include "model/error.hpp"
#include "model/gemm.hpp"

#include <algorithm>

namespace troupe {

namespace {

enum slot : std::size_t { input_slot, output_gradient_slot };

} // namespace

linear::linear(const linear_options& options)
    : weight_{.name = options.name + ".weight",
              .extents = {options.inputs, options.outputs},
              .start = {.standard_deviation = options.standard_deviation}},
      bias_{.name = options.name + ".bias", .extents = {options.outputs}, .decay = weight_decay::no} {}

tensor linear::forward(const tensor& input, stash& kept, const pass_context& at) const {
  TROUPE_CHECK(input.columns() == weight_.extents[0], weight_.name + ": input of shape " + to_string(input.extents()));
  tensor output = at.pool->make({input.rows(), weight_.extents[1]});
  for (std::int64_t row = 0; row < output.rows(); ++row)
    std::copy_n(bias_.value.data(), output.columns(), output.row(row));
  gemm(as_matrix(input), transpose::no, as_matrix(weight_.value), transpose::no, as_matrix(output), accumulate::yes);
  kept.slots.push_back(input);
  return output;
}

tensor linear::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  tensor input_gradient = at.pool->make(kept.slots[input_slot].extents());
  gemm(as_matrix(output_gradient), transpose::no, as_matrix(weight_.value), transpose::yes, as_matrix(input_gradient),
       accumulate::no);
  kept.slots.push_back(output_gradient);
  return input_gradient;
}

void linear::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  const tensor& input = kept.slots[input_slot];
  const tensor& output_gradient = kept.slots[output_gradient_slot];
  gemm(as_matrix(input), transpose::yes, as_matrix(output_gradient), transpose::no, as_matrix(weight_.gradient),
       accumulate::yes);
  float* const bias_gradient = bias_.gradient.data();
  for (std::int64_t row = 0; row < output_gradient.rows(); ++row) {
    const float* const gradient = output_gradient.row(row);
    for (std::int64_t column = 0; column < output_gradient.columns(); ++column)
      bias_gradient[column] += gradient[column];
  }
  kept.clear();
}

void linear::collect_parameters(std::vector<parameter*>& out) {
  out.push_back(&weight_);
  out.push_back(&bias_);
}

} // namespace troupe
