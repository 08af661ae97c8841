#include "model/stage_model.hpp"
#include "tests/support/small_models.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

model_spec with_dropout(model_spec spec) {
  spec.dropout = 0.2;
  return spec;
}

model_spec any_spec() {
  return GENERATE(with_dropout(small_spec("gpt", 70)), small_spec("gpt"), with_dropout(small_spec("mlp")));
}

/// One step of three microbatches, one after the other.
void run_step(small_model& model, std::uint64_t step = 0) {
  for (std::uint32_t microbatch = 0; microbatch < 3; ++microbatch) {
    const pass_context at = model.context(microbatch, step);
    model.stage().forward({}, at);
    model.stage().backward({}, at);
  }
}

} // namespace

TEST_CASE("I then W, with all microbatches in flight, gives the same bits as one backward pass after the other") {
  const model_spec spec = any_spec();
  small_model plain(spec, recompute::none);
  run_step(plain);

  small_model split(spec, recompute::none);
  std::vector<pass_context> contexts;
  for (std::uint32_t microbatch = 0; microbatch < 3; ++microbatch) {
    contexts.push_back(split.context(microbatch));
    split.stage().forward({}, contexts.back());
  }
  for (const std::uint32_t microbatch : {2U, 0U, 1U})
    split.stage().backward_input({}, contexts[microbatch]);
  for (const pass_context& at : contexts)
    split.stage().backward_weight(at);
  REQUIRE(same_gradients(plain, split));
}

TEST_CASE("a recomputed forward pass gives the same bits as a kept one") {
  const model_spec spec = any_spec();
  small_model kept(spec, recompute::none);
  small_model recomputed(spec, recompute::full);
  run_step(kept);
  run_step(recomputed);
  REQUIRE(kept.stage().last_loss() == recomputed.stage().last_loss());
  REQUIRE(same_gradients(kept, recomputed));
}

TEST_CASE("a second step through the pool allocates nothing") {
  const recompute mode = GENERATE(recompute::none, recompute::full);
  small_model model(any_spec(), mode);
  run_step(model, 0);
  const std::uint64_t warm = model.pool().statistics().allocations;
  run_step(model, 1);
  REQUIRE(model.pool().statistics().allocations == warm);
}

TEST_CASE("the gradients of a step are those of its microbatches, added") {
  const model_spec spec = any_spec();
  small_model together(spec, recompute::none);
  run_step(together);
  reference::parameters total;
  for (std::uint32_t microbatch = 0; microbatch < 3; ++microbatch) {
    small_model alone(spec, recompute::none);
    const pass_context at = alone.context(microbatch);
    alone.stage().forward({}, at);
    alone.stage().backward({}, at);
    for (const auto& [name, gradient] : alone.gradients())
      total[name] = microbatch == 0 ? gradient : reference::sum(total.at(name), gradient);
  }
  for (const parameter* p : together.stage().parameters()) {
    CAPTURE(p->name);
    REQUIRE(relative_error(p->gradient, total.at(p->name)) < 2e-5);
  }
}

TEST_CASE("dropout changes a loss in training, and evaluation neither drops nor keeps anything") {
  const model_spec spec = small_spec("gpt");
  small_model plain(spec, recompute::none);
  small_model dropping(with_dropout(spec), recompute::none);
  pass_context at = plain.context(0);
  plain.stage().forward({}, at);
  const double loss = plain.stage().last_loss();
  at.pool = &dropping.pool();
  dropping.stage().forward({}, at);
  REQUIRE(dropping.stage().last_loss() != loss);
  at.microbatch = 1;
  at.mode = pass_mode::evaluate;
  const std::size_t before = dropping.stage().stash_bytes();
  dropping.stage().forward({}, at);
  REQUIRE(dropping.stage().last_loss() == loss);
  REQUIRE(dropping.stage().stash_bytes() == before);
}

TEST_CASE("after a step nothing is stashed") {
  small_model model(any_spec(), recompute::none);
  run_step(model);
  REQUIRE(model.stage().stash_bytes() == 0);
  REQUIRE(model.stage().stashed_microbatches() == 0);
}
