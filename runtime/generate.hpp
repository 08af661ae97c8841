// Generation: the next token from a checkpoint's weights, again and again.
#pragma once

#include "model/model_spec.hpp"
#include "runtime/checkpoint.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

/// How a token is chosen from the model's prediction.
struct sampling {
  double temperature = 1.0; ///< 0: always the likeliest token
  std::uint32_t top_k = 0;  ///< only among the k likeliest; 0: among all
  std::uint64_t seed = 1;

  friend bool operator==(const sampling&, const sampling&) = default;
};

/// Chooses from logits [V]; of equal logits the lower token counts as likelier. A function of its arguments alone:
/// token `position` of one seed is drawn with one random number of its own. Throws run_error when no logit is finite.
std::int32_t pick_token(std::span<const float> logits, const sampling& how, std::uint64_t position);

/// A model with trained weights that predicts. It sees the last T tokens. A model that predicts once a sequence needs T
/// tokens each time: a shorter history is padded on the left, with spaces where tokens are bytes, else with token 0.
class generator {
public:
  /// Reads all weights. Throws checkpoint_error, and spec_error when the family cannot generate.
  generator(const checkpoint& source, const model_family& family);

  /// The logits [V] of the token that follows `history`, which holds at least one token below V.
  std::vector<float> next_logits(std::span<const std::int32_t> history);

private:
  std::vector<std::int32_t> visible(std::span<const std::int32_t> history) const;

  run_spec spec_;
  std::uint64_t shortest_ = 1; ///< tokens that the model needs at least
  tensor_pool pool_;
  std::vector<layer_ptr> layers_;
};

} // namespace troupe
