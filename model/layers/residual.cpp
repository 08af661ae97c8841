#include "model/layers/residual.hpp"

#include "model/error.hpp"

namespace troupe {

namespace {

/// Adds in place where nobody else holds `inner`.
tensor add(tensor inner, const tensor& outer, tensor_pool& pool) {
  TROUPE_CHECK(inner.extents() == outer.extents(),
               "sum of shapes " + to_string(inner.extents()) + " and " + to_string(outer.extents()));
  tensor sum = inner.unique() ? std::move(inner) : pool.copy(inner);
  float* const to = sum.data();
  const float* const from = outer.data();
  for (std::int64_t i = 0; i < sum.size(); ++i)
    to[i] += from[i];
  return sum;
}

} // namespace

tensor residual::forward(const tensor& input, stash& kept, const pass_context& at) const {
  if (kept.parts.empty())
    kept.parts.resize(1);
  return add(inner_->forward(input, kept.parts.front(), at), input, *at.pool);
}

tensor residual::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  return add(inner_->backward_input(output_gradient, kept.parts.front(), at), output_gradient, *at.pool);
}

void residual::backward_weight(stash& kept, const pass_context& at) {
  inner_->backward_weight(kept.parts.front(), at);
  kept.clear();
}

} // namespace troupe
