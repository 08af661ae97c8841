// The gpt family, some of whose layers are put into a wrapper.
#pragma once

#include "model/model_spec.hpp"

#include <functional>
#include <utility>

namespace troupe::test {

class changed_family : public model_family {
public:
  /// Gets each layer with its index, and returns it or something around it.
  using wrapper = std::function<layer_ptr(std::int64_t, layer_ptr)>;

  explicit changed_family(wrapper wrap) : wrap_(std::move(wrap)) {}

  std::string name() const override { return gpt_.name(); }
  void validate(const model_spec& spec) const override { gpt_.validate(spec); }
  std::int64_t layer_count(const model_spec& spec) const override { return gpt_.layer_count(spec); }
  layer_ptr make_layer(const model_spec& spec, std::int64_t index) const override {
    return wrap_(index, gpt_.make_layer(spec, index));
  }
  layer_ptr make_output_layer(const model_spec& spec) const override { return gpt_.make_output_layer(spec); }
  double forward_flops(const model_spec& spec, std::int64_t index) const override {
    return gpt_.forward_flops(spec, index);
  }
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return gpt_.targets_per_sequence(spec); }
  shape activation_shape(const model_spec& spec, std::int64_t sequences) const override {
    return gpt_.activation_shape(spec, sequences);
  }

private:
  const model_family& gpt_ = find_family("gpt");
  wrapper wrap_;
};

} // namespace troupe::test
