#include "model/layers/cross_entropy.hpp"

#include "model/error.hpp"
#include "model/layers/packs.hpp"
#include "model/layers/tokens.hpp"

#include <cmath>

namespace troupe {

namespace {

/// The gradient of one row times `weight`, from exp(logit - largest logit) and their sum.
void finish_gradient(float* row, std::int64_t vocabulary, float sum, float weight, std::int32_t target) {
  const float scale = weight / sum;
  for (std::int64_t token = 0; token < vocabulary; ++token)
    row[token] *= scale;
  row[target] -= weight;
}

} // namespace

tensor cross_entropy::forward(const tensor& input, stash& kept, const pass_context& at) const {
  const std::int64_t rows = input.rows();
  const std::int64_t vocabulary = input.columns();
  TROUPE_CHECK(std::ssize(at.targets) == rows, "logits of shape " + to_string(input.extents()) + " for " +
                                                   std::to_string(at.targets.size()) + " targets");
  check_tokens(at.targets, vocabulary);
  const bool trains = at.mode == pass_mode::train;
  // When evaluating, one row serves all.
  tensor gradient = at.pool->make({trains ? rows : 1, vocabulary});
  const auto weight = static_cast<float>(1.0 / (static_cast<double>(rows) * at.microbatches));
  double loss = 0.0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* const logits = input.row(row);
    const std::int32_t target = at.targets[static_cast<std::size_t>(row)];
    float* const exponentials = gradient.row(trains ? row : 0);
    const float largest = max_packs(logits, vocabulary);
    exp_packs(logits, exponentials, vocabulary, 1.0F, largest);
    const float sum = sum_packs(exponentials, vocabulary);
    loss += std::log(static_cast<double>(sum)) + (static_cast<double>(largest) - static_cast<double>(logits[target]));
    if (trains)
      finish_gradient(exponentials, vocabulary, sum, weight, target);
  }
  kept.loss = loss / static_cast<double>(rows);
  if (trains)
    kept.slots.push_back(std::move(gradient));
  return {};
}

tensor cross_entropy::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  (void)output_gradient;
  (void)at;
  tensor gradient = std::move(kept.slots.front());
  kept.clear();
  return gradient;
}

void cross_entropy::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  kept.clear();
}

} // namespace troupe
