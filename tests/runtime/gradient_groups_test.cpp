#include "model/error.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/plan.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// One parameter of one element, to which gradients are added by hand.
struct one_number {
  one_number() {
    what.extents = {1};
    what.gradient = pool.make_filled({1}, 0.0F);
  }
  float& gradient() { return what.gradient.values()[0]; }

  tensor_pool pool;
  parameter what;
};

/// The gradient of a step whose microbatches have these gradients.
float summed(const std::vector<float>& gradients, std::uint32_t groups) {
  one_number one;
  group_sums sums({&one.what}, groups, static_cast<std::uint32_t>(gradients.size()), one.pool);
  for (const float gradient : gradients) {
    one.gradient() += gradient;
    sums.count_microbatch();
  }
  return one.gradient();
}

// With a 1 beside it, 2^24 is where a float's last bit stands for 2: 2^24 + 1 is rounded to 2^24.
constexpr float large = 16777216.0F;

} // namespace

TEST_CASE("each group is summed from zero, and the groups' sums in their order") {
  CHECK(summed({large, 1.0F, 1.0F, 1.0F}, 1) == large);
  CHECK(summed({large, 1.0F, 1.0F, 1.0F}, 2) == large + 2.0F); // large + (1 + 1)
  CHECK(summed({large, 1.0F, 1.0F, 1.0F}, 4) == large);        // as with one group
  CHECK(summed({large, 0.0F, 1.0F, 1.0F, -large, 0.0F}, 1) == 0.0F);
  CHECK(summed({large, 0.0F, 1.0F, 1.0F, -large, 0.0F}, 3) == 2.0F);
  CHECK(summed({1.0F, 0.0F, large, 0.0F, -large, 0.0F}, 3) == 0.0F); // (1 + large) - large, not 1 + (large - large)
}

TEST_CASE("a second step starts from nothing") {
  one_number one;
  group_sums sums({&one.what}, 3, 6, one.pool);
  for (int step = 0; step < 3; ++step) {
    for (int microbatch = 0; microbatch < 6; ++microbatch) {
      one.gradient() += 1.0F;
      sums.count_microbatch();
    }
    CHECK(one.gradient() == 6.0F);
    one.gradient() = 0.0F; // as the update does
  }
}

TEST_CASE("another copy's gradients fit when they are as many and of the same shapes") {
  one_number one;
  const std::vector<parameter*> parameters{&one.what};
  CHECK(gradients_fit(parameters, {one.pool.make({1})}));
  CHECK_FALSE(gradients_fit(parameters, {}));
  CHECK_FALSE(gradients_fit(parameters, {one.pool.make({2})}));
  CHECK_FALSE(gradients_fit(parameters, {one.pool.make({1}), one.pool.make({1})}));
  one.gradient() = 3.0F;
  std::vector<tensor> sent = copy_gradients(parameters, one.pool);
  add_gradients(parameters, sent);
  CHECK(one.gradient() == 6.0F);
  CHECK(sent[0].values()[0] == 3.0F);
}

TEST_CASE("a plan settles the number of gradient groups by what the schedule needs") {
  run_spec spec = tiny_spec();
  spec.training.microbatches = 8;
  spec.pipeline.stages = 4;
  const auto groups_with = [&](const std::string& schedule, std::uint32_t wanted) {
    spec.pipeline.schedule = schedule;
    spec.training.gradient_groups = wanted;
    return make_plan(spec, find_family(spec.model.family)).gradient_groups;
  };
  CHECK(groups_with("1f1b", 0) == 1);
  CHECK(groups_with("1f1b", 8) == 8);
  for (const std::string schedule : {"dualpipe", "chimera"}) {
    CHECK(groups_with(schedule, 0) == 2);
    CHECK(groups_with(schedule, 2) == 2);
    for (const std::uint32_t wanted : {1U, 4U, 8U})
      CHECK(error_text<spec_error>([&] { groups_with(schedule, wanted); }) ==
            "training.gradient_groups: found " + std::to_string(wanted) +
                ", expected 2, one for each copy of the model that schedule '" + schedule + "' has");
  }
}

TEST_CASE("in a plan with two copies every rank has a stage of each") {
  run_spec spec = tiny_spec();
  spec.training.microbatches = 8;
  spec.pipeline.stages = 4;
  spec.pipeline.schedule = "dualpipe";
  const plan made = make_plan(spec, find_family(spec.model.family));
  CHECK(made.stages_of(0) == std::vector<std::uint32_t>{0, 3});
  CHECK(made.stages_of(2) == std::vector<std::uint32_t>{1, 2});
  CHECK(made.rank_of(1, 0) == 1);
  CHECK(made.rank_of(1, 1) == 2);
  CHECK(made.copy_on(1, 1) == 0);
  CHECK(made.copy_on(2, 1) == 1);
}
