#include "tests/support/small_models.hpp"

#include <set>

using namespace troupe;
using namespace troupe::test;

namespace {

/// What block `index` adds to an input of zeros when only the two projections' biases are not zero: the sum of two
/// masks.
std::vector<float> sum_of_masks(std::int64_t index) {
  model_spec spec = small_spec("gpt");
  spec.dropout = 0.5;
  tensor_pool pool;
  const layer_ptr block = build_layer(find_family("gpt"), spec, index, 1, pool);
  for (parameter* p : parameters_of(*block))
    p->value.fill(p->name.ends_with("c_proj.bias") ? 1.0F : 0.0F);
  stash kept;
  const tensor zeros = pool.make_filled({2 * spec.sequence_length, spec.width}, 0.0F);
  const tensor y =
      block->forward(zeros, kept, {.sequences = 2, .sequence_length = spec.sequence_length, .pool = &pool});
  return {y.values().begin(), y.values().end()};
}

} // namespace

TEST_CASE("the places of dropout in a gpt draw different masks") {
  const std::vector<float> first = sum_of_masks(1);
  // Both kept, one kept, none kept: two equal masks would never give the middle value.
  REQUIRE(std::set<float>(first.begin(), first.end()) == std::set<float>{0.0F, 2.0F, 4.0F});
  REQUIRE(first != sum_of_masks(2));
}
