#include "model/families/gpt.hpp"

#include "model/error.hpp"
#include "model/families/spec_checks.hpp"
#include "model/layers/attention.hpp"
#include "model/layers/chain.hpp"
#include "model/layers/cross_entropy.hpp"
#include "model/layers/dropout.hpp"
#include "model/layers/gelu.hpp"
#include "model/layers/layer_norm.hpp"
#include "model/layers/linear.hpp"
#include "model/layers/output_head.hpp"
#include "model/layers/residual.hpp"
#include "model/layers/token_and_position_embedding.hpp"

#include <cmath>

namespace troupe {

namespace {

// The start of the weights, as in OpenAI's release (src/model.py) and the paper's section 2.3.
constexpr double weight_deviation = 0.02;
constexpr double position_deviation = 0.01;

/// The places of dropout within a layer; a place's number in the model is 4 * layer + place.
enum place : std::uint64_t { after_embedding = 0, on_attention = 0, after_attention = 1, after_mlp = 2 };

std::uint64_t dropout_site(std::int64_t index, place where) {
  return 4 * static_cast<std::uint64_t>(index) + where;
}

layer_ptr make_embedding(const model_spec& spec) {
  return make_chain(std::make_unique<token_and_position_embedding>(
                        token_and_position_options{.vocabulary = spec.vocabulary,
                                                   .sequence_length = spec.sequence_length,
                                                   .width = spec.width,
                                                   .token_deviation = weight_deviation,
                                                   .position_deviation = position_deviation}),
                    std::make_unique<dropout>(spec.dropout, dropout_site(0, after_embedding)));
}

layer_ptr make_block(const model_spec& spec, std::int64_t index) {
  const std::string name = "h." + std::to_string(index - 1);
  const std::int64_t C = spec.width;
  // Two projections in each of the L blocks add to the residual stream.
  const double projection_deviation = weight_deviation / std::sqrt(2.0 * static_cast<double>(spec.layers));
  layer_ptr attend = make_chain(
      std::make_unique<layer_norm>(name + ".ln_1", C),
      std::make_unique<linear>(linear_options{name + ".attn.c_attn", C, 3 * C, weight_deviation}),
      std::make_unique<attention>(attention_options{spec.heads, spec.dropout, dropout_site(index, on_attention)}),
      std::make_unique<linear>(linear_options{name + ".attn.c_proj", C, C, projection_deviation}),
      std::make_unique<dropout>(spec.dropout, dropout_site(index, after_attention)));
  layer_ptr mlp =
      make_chain(std::make_unique<layer_norm>(name + ".ln_2", C),
                 std::make_unique<linear>(linear_options{name + ".mlp.c_fc", C, 4 * C, weight_deviation}),
                 std::make_unique<gelu>(),
                 std::make_unique<linear>(linear_options{name + ".mlp.c_proj", 4 * C, C, projection_deviation}),
                 std::make_unique<dropout>(spec.dropout, dropout_site(index, after_mlp)));
  return make_chain(std::make_unique<residual>(std::move(attend)), std::make_unique<residual>(std::move(mlp)));
}

} // namespace

void gpt_family::validate(const model_spec& spec) const {
  check_common_fields(spec);
  check_size({"model.heads", spec.heads}, spec.width);
  if (spec.width % spec.heads != 0)
    throw spec_error("model.width: found " + std::to_string(spec.width) + ", expected a multiple of model.heads (" +
                     std::to_string(spec.heads) + ")");
  check_product({{"model.vocabulary", spec.vocabulary}, {"model.width", spec.width}});
  // The widest activation of one sequence.
  check_product({{"model.sequence_length", spec.sequence_length}, {"model.width", spec.width}, {"4", 4}});
}

layer_ptr gpt_family::make_layer(const model_spec& spec, std::int64_t index) const {
  TROUPE_CHECK(index >= 0 && index < layer_count(spec), "layer " + std::to_string(index));
  if (index == 0)
    return make_embedding(spec);
  return index <= spec.layers ? make_block(spec, index)
                              : make_chain(make_output_layer(spec), std::make_unique<cross_entropy>());
}

layer_ptr gpt_family::make_output_layer(const model_spec& spec) const {
  return make_chain(
      std::make_unique<layer_norm>("ln_f", spec.width),
      std::make_unique<output_head>(output_head_options{.vocabulary = spec.vocabulary,
                                                        .width = spec.width,
                                                        .standard_deviation = weight_deviation,
                                                        .replica_of = spec.tied_head ? "wte.weight" : ""}));
}

double gpt_family::forward_flops(const model_spec& spec, std::int64_t index) const {
  const auto T = static_cast<double>(spec.sequence_length);
  const auto C = static_cast<double>(spec.width);
  if (index == 0)
    return 0.0;
  if (index > spec.layers)
    return 2.0 * T * C * static_cast<double>(spec.vocabulary);
  const double projections = 2.0 * T * 12.0 * C * C; // C*3C + C*C + C*4C + 4C*C
  const double pairs = T * (T + 1.0) / 2.0;          // of a token and one that it sees
  return projections + 2.0 * 2.0 * pairs * C;        // scores, and weighted values
}

shape gpt_family::activation_shape(const model_spec& spec, std::int64_t sequences) const {
  return {sequences * spec.sequence_length, spec.width};
}

} // namespace troupe
