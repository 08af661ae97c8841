#include "runtime/emulated_family.hpp"

#include "model/error.hpp"

namespace troupe {

namespace {

/// Whether there are layers before and after this one.
struct neighbours {
  bool before = false;
  bool after = false;
};

class emulated_layer final : public layer {
public:
  emulated_layer(const model_family& real, const model_spec& spec, const neighbours& has)
      : real_(real), spec_(spec), has_(has) {}

  tensor forward(const tensor&, stash&, const pass_context& at) const override {
    return has_.after ? unfilled(at) : tensor();
  }
  tensor backward_input(const tensor&, stash&, const pass_context& at) const override {
    return has_.before ? unfilled(at) : tensor();
  }
  void backward_weight(stash&, const pass_context&) override {}

private:
  tensor unfilled(const pass_context& at) const { return at.pool->make(real_.activation_shape(spec_, at.sequences)); }

  const model_family& real_;
  model_spec spec_;
  neighbours has_;
};

} // namespace

layer_ptr emulated_family::make_layer(const model_spec& spec, std::int64_t index) const {
  TROUPE_CHECK(index >= 0 && index < layer_count(spec), "layer " + std::to_string(index));
  return std::make_unique<emulated_layer>(real_, spec,
                                          neighbours{.before = index > 0, .after = index + 1 < layer_count(spec)});
}

} // namespace troupe
