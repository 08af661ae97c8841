// The emulated family: a model in the shape of another one whose layers have no parameters and compute nothing. Its
// stages exchange what the other one's would.
#pragma once

#include "model/model_spec.hpp"

namespace troupe {

/// As many layers as `real`, with its activations, whose elements are undefined; the loss is 0.
class emulated_family final : public model_family {
public:
  /// `real` outlives this and its layers.
  explicit emulated_family(const model_family& real) : real_(real) {}

  std::string name() const override { return real_.name(); }
  void validate(const model_spec& spec) const override { real_.validate(spec); }
  std::int64_t layer_count(const model_spec& spec) const override { return real_.layer_count(spec); }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override;
  double forward_flops(const model_spec&, std::int64_t) const override { return 0.0; }
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return real_.targets_per_sequence(spec); }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override {
    return real_.activation_shape(spec, sequences);
  }

private:
  const model_family& real_;
};

} // namespace troupe
