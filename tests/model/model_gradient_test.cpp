#include "model/model_spec.hpp"
#include "tests/support/small_models.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

model_spec tied(model_spec spec) {
  spec.tied_head = true;
  return spec;
}

} // namespace

TEST_CASE("a whole model's loss and gradient agree with differences of the loss in double precision") {
  const model_spec spec =
      GENERATE(small_spec("gpt"), tied(small_spec("gpt")), small_spec("gpt", 70), small_spec("mlp"));
  CAPTURE(spec.family, spec.tied_head, spec.sequence_length);
  small_model model(spec, recompute::none);
  model.perturb();
  const pass_context at = model.context(0);
  model.stage().forward({}, at);
  model.stage().backward({}, at);

  const auto loss = spec.family == "gpt" ? reference::gpt_loss : reference::mlp_loss;
  const reference::batch batch{at.tokens, at.targets};
  reference::parameters values = model.values();
  REQUIRE(model.stage().last_loss() == Approx(loss(values, spec, batch)).epsilon(1e-6));
  for (const auto& [name, gradient] : model.gradients()) {
    CAPTURE(name);
    // Along the gradient itself, so that the slope is its squared norm over microbatches.
    const reference::matrix original = values.at(name);
    double squares = 0.0;
    for (const double g : gradient.values)
      squares += g * g;
    REQUIRE(squares > 0.0);
    const auto loss_at = [&, &name = name, &gradient = gradient](double distance) {
      for (std::size_t i = 0; i < original.values.size(); ++i)
        values.at(name).values[i] = original.values[i] + distance * gradient.values[i] / std::sqrt(squares);
      return loss(values, spec, batch);
    };
    const double h = 1e-4;
    const double slope = (loss_at(h) - loss_at(-h)) / (2.0 * h);
    values.at(name) = original;
    REQUIRE(slope / at.microbatches == Approx(std::sqrt(squares)).epsilon(2e-5));
  }
}

TEST_CASE("every element of a tied model's shared matrix has the right gradient") {
  small_model model(tied(small_spec("gpt")), recompute::none);
  model.perturb();
  const pass_context at = model.context(0);
  model.stage().forward({}, at);
  model.stage().backward({}, at);
  reference::parameters values = model.values();
  const reference::matrix gradient = model.gradients().at("wte.weight");
  for (std::size_t i = 0; i < gradient.values.size(); i += 7) {
    double& moved = values.at("wte.weight").values[i];
    const double original = moved;
    moved = original + 1e-4;
    const double above = reference::gpt_loss(values, model.spec(), {at.tokens, at.targets});
    moved = original - 1e-4;
    const double below = reference::gpt_loss(values, model.spec(), {at.tokens, at.targets});
    moved = original;
    REQUIRE(gradient.values[i] == Approx((above - below) / 2e-4 / at.microbatches).epsilon(1e-3).margin(1e-6));
  }
}
