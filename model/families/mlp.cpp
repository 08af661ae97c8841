#include "model/families/mlp.hpp"

#include "model/error.hpp"
#include "model/families/spec_checks.hpp"
#include "model/layers/chain.hpp"
#include "model/layers/context_embedding.hpp"
#include "model/layers/cross_entropy.hpp"
#include "model/layers/dropout.hpp"
#include "model/layers/gelu.hpp"
#include "model/layers/layer_norm.hpp"
#include "model/layers/linear.hpp"
#include "model/layers/output_head.hpp"
#include "model/layers/residual.hpp"

#include <cmath>

namespace troupe {

namespace {

constexpr std::int64_t most_embedding_width = 1 << 16;
constexpr std::int64_t hidden_factor = 2; ///< hidden width of a block over the model's

/// Keeps the variance of a product with unit-variance inputs at 1 (LeCun et al., "Efficient backprop", 1998, 4.6).
double deviation_for(std::int64_t inputs) {
  return 1.0 / std::sqrt(static_cast<double>(inputs));
}

layer_ptr make_input(const model_spec& spec) {
  const std::int64_t inputs = spec.sequence_length * spec.embedding_width;
  return make_chain(
      std::make_unique<context_embedding>(context_embedding_options{
          .vocabulary = spec.vocabulary, .embedding_width = spec.embedding_width, .standard_deviation = 1.0}),
      std::make_unique<dropout>(spec.dropout, 0),
      std::make_unique<linear>(linear_options{"input", inputs, spec.width, deviation_for(inputs)}),
      std::make_unique<gelu>());
}

layer_ptr make_block(const model_spec& spec, std::int64_t index) {
  const std::string name = "blocks." + std::to_string(index - 1);
  const std::int64_t hidden = hidden_factor * spec.width;
  const double residual_deviation = deviation_for(hidden) / std::sqrt(static_cast<double>(spec.layers));
  return std::make_unique<residual>(
      make_chain(std::make_unique<layer_norm>(name + ".norm", spec.width),
                 std::make_unique<linear>(linear_options{name + ".up", spec.width, hidden, deviation_for(spec.width)}),
                 std::make_unique<gelu>(),
                 std::make_unique<linear>(linear_options{name + ".down", hidden, spec.width, residual_deviation}),
                 std::make_unique<dropout>(spec.dropout, static_cast<std::uint64_t>(index))));
}

} // namespace

void mlp_family::validate(const model_spec& spec) const {
  check_common_fields(spec);
  check_size({"model.embedding_width", spec.embedding_width}, most_embedding_width);
  if (spec.tied_head)
    throw spec_error("model.tied_head: found true, expected false: the embedding of mlp has another width than its "
                     "head");
  check_product({{"model.vocabulary", spec.vocabulary}, {"model.width", spec.width}});
  check_product({{"model.vocabulary", spec.vocabulary}, {"model.embedding_width", spec.embedding_width}});
  check_product({{"model.sequence_length", spec.sequence_length},
                 {"model.embedding_width", spec.embedding_width},
                 {"model.width", spec.width}});
}

layer_ptr mlp_family::make_layer(const model_spec& spec, std::int64_t index) const {
  TROUPE_CHECK(index >= 0 && index < layer_count(spec), "layer " + std::to_string(index));
  if (index == 0)
    return make_input(spec);
  return index <= spec.layers ? make_block(spec, index)
                              : make_chain(make_output_layer(spec), std::make_unique<cross_entropy>());
}

layer_ptr mlp_family::make_output_layer(const model_spec& spec) const {
  // Small logits: training starts near the uniform distribution.
  return make_chain(std::make_unique<layer_norm>("norm", spec.width),
                    std::make_unique<output_head>(output_head_options{
                        .vocabulary = spec.vocabulary, .width = spec.width, .standard_deviation = 0.02}));
}

double mlp_family::forward_flops(const model_spec& spec, std::int64_t index) const {
  const auto C = static_cast<double>(spec.width);
  if (index == 0)
    return 2.0 * static_cast<double>(spec.sequence_length) * static_cast<double>(spec.embedding_width) * C;
  if (index > spec.layers)
    return 2.0 * C * static_cast<double>(spec.vocabulary);
  return 2.0 * 2.0 * C * static_cast<double>(hidden_factor) * C;
}

} // namespace troupe
