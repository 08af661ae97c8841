// The GPT family: GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019) to the letter.
#pragma once

#include "model/model_spec.hpp"

namespace troupe {

/// Layer 0 is the embedding, 1 to L are the blocks, L + 1 is ln_f with the head and the loss. Parameter names are those
/// of Hugging Face's GPT-2.
class gpt_family final : public model_family {
public:
  std::string name() const override { return "gpt"; }
  void validate(const model_spec& spec) const override;
  std::int64_t layer_count(const model_spec& spec) const override { return spec.layers + 2; }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override;
  layer_ptr make_output_layer(const model_spec& spec) const override;
  double forward_flops(const model_spec& spec, std::int64_t index) const override;
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return spec.sequence_length; }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override;
};

} // namespace troupe
