#include "model/layers/layer_norm.hpp"

#include "model/error.hpp"
#include "model/layers/packs.hpp"

#include <cmath>

namespace troupe {

namespace {

enum slot : std::size_t { input_slot, statistics_slot, output_gradient_slot };

/// What is kept of a row.
struct row_statistics {
  float mean;
  float scale; ///< 1 / sqrt(variance + epsilon)
};

row_statistics measure(const float* x, std::int64_t width) {
  const auto count = static_cast<float>(width);
  const float mean = sum_packs(x, width) / count;
  const float variance = sum_packs(
                             width, [=](const auto& v) { return (v - mean).square(); }, x) /
                         count;
  return {mean, 1.0F / std::sqrt(variance + layer_norm::epsilon)};
}

} // namespace

layer_norm::layer_norm(const std::string& name, std::int64_t width)
    : gamma_{.name = name + ".weight", .extents = {width}, .start = {.value = 1.0F}, .decay = weight_decay::no},
      beta_{.name = name + ".bias", .extents = {width}, .decay = weight_decay::no} {}

tensor layer_norm::forward(const tensor& input, stash& kept, const pass_context& at) const {
  const std::int64_t width = gamma_.extents[0];
  TROUPE_CHECK(input.columns() == width, gamma_.name + ": input of shape " + to_string(input.extents()));
  tensor output = at.pool->make(input.extents());
  tensor statistics = at.pool->make({input.rows(), 2});
  for (std::int64_t row = 0; row < input.rows(); ++row) {
    const row_statistics of_row = measure(input.row(row), width);
    map_packs(
        output.row(row), width,
        [mean = of_row.mean, scale = of_row.scale](const auto& x, const auto& gamma, const auto& beta) {
          return (x - mean) * scale * gamma + beta;
        },
        input.row(row), gamma_.value.data(), beta_.value.data());
    statistics.row(row)[0] = of_row.mean;
    statistics.row(row)[1] = of_row.scale;
  }
  kept.slots.push_back(input);
  kept.slots.push_back(std::move(statistics));
  return output;
}

// With n = (x - mean) * scale and g = dy * gamma: dx = scale * (g - mean(g) - n * mean(g * n)).
tensor layer_norm::backward_input(const tensor& output_gradient, stash& kept, const pass_context& at) const {
  const tensor& input = kept.slots[input_slot];
  const std::int64_t width = input.columns();
  const float* const gamma = gamma_.value.data();
  tensor input_gradient = at.pool->make(input.extents());
  for (std::int64_t row = 0; row < input.rows(); ++row) {
    const float* const x = input.row(row);
    const float* const dy = output_gradient.row(row);
    const float mean = kept.slots[statistics_slot].row(row)[0];
    const float scale = kept.slots[statistics_slot].row(row)[1];
    const float mean_g = sum_packs(
                             width, [](const auto& d, const auto& g) { return d * g; }, dy, gamma) /
                         static_cast<float>(width);
    const float mean_gn =
        sum_packs(
            width, [=](const auto& d, const auto& g, const auto& v) { return d * g * ((v - mean) * scale); }, dy, gamma,
            x) /
        static_cast<float>(width);
    map_packs(
        input_gradient.row(row), width,
        [=](const auto& d, const auto& g, const auto& v) {
          return scale * (d * g - mean_g - (v - mean) * scale * mean_gn);
        },
        dy, gamma, x);
  }
  kept.slots.push_back(output_gradient);
  return input_gradient;
}

void layer_norm::backward_weight(stash& kept, const pass_context& at) {
  (void)at;
  const tensor& input = kept.slots[input_slot];
  const tensor& output_gradient = kept.slots[output_gradient_slot];
  float* const gamma_gradient = gamma_.gradient.data();
  float* const beta_gradient = beta_.gradient.data();
  for (std::int64_t row = 0; row < input.rows(); ++row) {
    const float mean = kept.slots[statistics_slot].row(row)[0];
    const float scale = kept.slots[statistics_slot].row(row)[1];
    map_packs(
        gamma_gradient, input.columns(),
        [=](const auto& sum, const auto& d, const auto& x) { return sum + d * ((x - mean) * scale); }, gamma_gradient,
        output_gradient.row(row), input.row(row));
    map_packs(
        beta_gradient, input.columns(), [](const auto& sum, const auto& d) { return sum + d; }, beta_gradient,
        output_gradient.row(row));
  }
  kept.clear();
}

void layer_norm::collect_parameters(std::vector<parameter*>& out) {
  out.push_back(&gamma_);
  out.push_back(&beta_);
}

} // namespace troupe
