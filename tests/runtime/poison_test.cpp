// What of a step is poisoned, and how it is told.
#include "model/model_spec.hpp"
#include "model/stage_model.hpp"
#include "runtime/poison.hpp"
#include "tests/support/poisoned_family.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <limits>
#include <optional>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

poison_sighting of_loss(std::uint32_t microbatch, std::int64_t layer) {
  return {poison_source::loss, microbatch, layer};
}
poison_sighting of_gradients(std::int64_t layer) {
  return {poison_source::gradients, 0, layer};
}

/// Layers 1 to 4 (all blocks) of the tiny gpt, of which one gives a NaN for microbatch 2, after their forward passes.
struct blocks {
  blocks(std::int64_t poisoned, recompute mode)
      : family({{poison_dose::moment::forward, poisoned, 0, 2}}), model(build(), mode) {
    for (std::uint32_t microbatch = 0; microbatch < 4; ++microbatch)
      model.forward(pool.make_filled(family.activation_shape(spec, 2), 0.5F), context(microbatch));
  }

  std::vector<layer_ptr> build() {
    std::vector<layer_ptr> layers;
    for (std::int64_t index = of.first; index < of.last; ++index)
      layers.push_back(build_layer(family, spec, index, 1, pool));
    return layers;
  }
  pass_context context(std::uint32_t microbatch) {
    return {.microbatch = microbatch, .sequences = 2, .sequence_length = spec.sequence_length, .pool = &pool};
  }
  /// What a watch sees of one microbatch.
  std::vector<poison_sighting> look(std::uint32_t microbatch) {
    poison_watch watch(family.layer_count(spec));
    watch.look(model, of, context(microbatch));
    return watch.take();
  }

  model_spec spec = tiny_spec().model;
  layer_range of{1, 5};
  tensor_pool pool;
  poisoned_family family;
  stage_model model;
};

} // namespace

TEST_CASE("finite losses and norms are no poison, whatever their size", "[poison]") {
  CHECK_FALSE(find_poison({1.0, -0.0, 1e308, 5e-324}, 1e300, {}));
  CHECK_FALSE(find_poison({}, 0.0, {}));
}

TEST_CASE("the first loss that is not finite is the cause, before the norm", "[poison]") {
  const auto poison = find_poison({1.0, 2.0, infinity, not_a_number}, not_a_number,
                                  {of_gradients(7), of_loss(3, 1), of_loss(2, 5), of_loss(2, 4), of_loss(2, 6)});
  REQUIRE(poison);
  CHECK(*poison == poisoned_step{poison_source::loss, 2, 4, infinity});
  CHECK(find_poison({1.0, -infinity}, 1.0, {}) == poisoned_step{poison_source::loss, 1, -1, -infinity});
}

TEST_CASE("where all losses are finite the norm is the cause, and the last layer is where backward passes met it",
          "[poison]") {
  CHECK(find_poison({1.0, 2.0}, infinity, {of_gradients(2), of_gradients(4), of_loss(0, 6), of_gradients(0)}) ==
        poisoned_step{poison_source::gradients, 0, 4, infinity});
  CHECK(find_poison({1.0}, infinity, {}) == poisoned_step{poison_source::gradients, 0, -1, infinity});
}

TEST_CASE("poison is told by step, microbatch, cause and layer, each as far as it is known", "[poison]") {
  const model_spec model = tiny_spec().model; // 4 blocks
  const auto text = [&](const poisoned_step& one, std::int64_t layers = 6) { return describe(one, 11, model, layers); };
  CHECK(text({poison_source::loss, 3, 5, not_a_number}) ==
        "step 12, microbatch 3: found a loss of nan (first seen in layer 5, the head)");
  CHECK(text({poison_source::loss, 0, 4, -not_a_number}) ==
        "step 12, microbatch 0: found a loss of nan (first seen in layer 4, block 3)");
  CHECK(text({poison_source::gradients, 0, 0, infinity}) ==
        "step 12: found a gradient norm of inf (first seen in layer 0, the embedding)");
  CHECK(text({poison_source::loss, 3, -1, -infinity}) == "step 12, microbatch 3: found a loss of -inf");
  CHECK(text({poison_source::loss, 3, 4, not_a_number}, 9) ==
        "step 12, microbatch 3: found a loss of nan (first seen in layer 4)"); // layers of another kind
  CHECK(refusal_of({poison_source::gradients, 0, -1, not_a_number}, 0, model, 6) ==
        "step 1: found a gradient norm of nan, expected a finite number (a lower learning rate may help)");
}

TEST_CASE("a watch finds the first layer that kept what is not finite, recomputed or not", "[poison]") {
  for (const recompute mode : {recompute::none, recompute::full}) {
    CHECK(blocks(2, mode).look(2).size() == 1);
    const poison_sighting seen = blocks(2, mode).look(2).front();
    CHECK(seen.layer == 3); // 2's output is 3's input
    CHECK(seen.microbatch == 2);
    CHECK(seen.source == poison_source::loss);
    CHECK(blocks(2, mode).look(1).empty());
    CHECK(blocks(4, mode).look(2).empty()); // its output has gone to the next stage, which will see it
  }
}

TEST_CASE("a search for poison leaves the passes' results as they are", "[poison]") {
  for (const recompute mode : {recompute::none, recompute::full}) {
    const auto gradients = [&](bool searched) {
      blocks stage(2, mode);
      if (searched)
        stage.look(1);
      const tensor gradient = stage.model.backward(
          stage.pool.make_filled(stage.family.activation_shape(stage.spec, 2), 0.25F), stage.context(1));
      std::vector<float> all(gradient.values().begin(), gradient.values().end());
      for (const parameter* one : stage.model.parameters())
        all.insert(all.end(), one->gradient.values().begin(), one->gradient.values().end());
      return all;
    };
    CHECK(gradients(true) == gradients(false));
  }
}

TEST_CASE("poison that no stash has is the last layer's, which makes the loss", "[poison]") {
  blocks stage(2, recompute::none);
  poison_watch watch(stage.of.last); // as if there were no layers after these
  watch.look(stage.model, stage.of, stage.context(0));
  const auto seen = watch.take();
  REQUIRE(seen.size() == 1);
  CHECK(seen.front().layer == 4);
}

TEST_CASE("a watch reports the first microbatch and of that the first layer, once", "[poison]") {
  blocks stage(2, recompute::none);
  poison_watch watch(stage.of.last);
  watch.look(stage.model, stage.of, stage.context(3)); // clean, so the last layer's
  watch.look(stage.model, stage.of, stage.context(2));
  watch.look(stage.model, {5, 9}, stage.context(2)); // as if a later stage were the same
  watch.look(std::optional<std::int64_t>(2));
  watch.look(std::nullopt);
  watch.look(std::optional<std::int64_t>(4));
  const auto seen = watch.take();
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].microbatch == 2);
  CHECK(seen[0].layer == 3);
  CHECK(seen[1].source == poison_source::gradients);
  CHECK(seen[1].layer == 4);
  CHECK(watch.take().empty());
}

TEST_CASE("suspects of steps before are forgotten", "[poison]") {
  poison_watch watch(6);
  const step_id now{4, pass_mode::train};
  watch.suspect({{3, pass_mode::train}, 5, 1});
  watch.suspect({now, 0, 1});
  CHECK(watch.suspects({now, 0, 1}));
  CHECK_FALSE(watch.suspects({now, 1, 1}));
  watch.forget_before(now);
  CHECK(watch.suspects({now, 0, 1}));
  CHECK_FALSE(watch.suspects({{3, pass_mode::train}, 5, 1}));
}
