// Schedule auto through real actors: whatever the search finds, the bits are the reference's.
#include "actors/profile.hpp"
#include "actors/run.hpp"
#include "runtime/reference_trainer.hpp"
#include "runtime/searched_plan.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

run_spec auto_spec(std::uint32_t stages) {
  run_spec spec = tiny_spec();
  spec.model.layers = 10;
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.pipeline.schedule = "auto";
  spec.pipeline.stages = stages;
  return spec;
}

} // namespace

TEST_CASE("auto has the reference's bits, searched by estimates or by a profile", "[equality]") {
  const std::vector<std::uint32_t> all_stages = sanitized ? std::vector{3U} : std::vector{1U, 3U, 4U};
  const std::vector<std::uint32_t> all_limits = sanitized ? std::vector{1U} : std::vector{0U, 1U};
  for (const std::uint32_t stages : all_stages)
    for (const std::uint32_t limit : all_limits) {
      run_spec spec = auto_spec(stages);
      spec.pipeline.memory_limit = limit;
      CAPTURE(stages, limit);
      const made_up_data data(spec);
      const run_report reference = run_reference(spec, data, {});
      check_same_result(run_pipeline(spec, data, {}), reference);
      const auto profile = profile_layers(spec, data, {});
      REQUIRE(profile);
      const plan chosen = search_plan(spec, profile->layers, profile->processors).pipeline;
      run_options options;
      options.pipeline = &chosen;
      const run_report report = run_pipeline(spec, data, options);
      check_same_result(report, reference);
      CHECK(report.schedule == "auto");
      for (const rank_report& rank : report.ranks)
        CHECK(rank.usage.peak_stash_microbatches == chosen.facts.peak_by_rank[rank.rank]);
    }
}

TEST_CASE("a profile has a time for each layer's passes and leaves no checkpoint") {
  run_spec spec = auto_spec(3);
  spec.checkpoint.directory = "/nonexistent/never/written";
  spec.pipeline.partition = "4,4,4";
  const auto profile = profile_layers(spec, made_up_data(spec), {});
  REQUIRE(profile);
  CHECK(profile->processors == usable_processors());
  REQUIRE(profile->layers.size() == 12);
  for (const stage_cost& layer : profile->layers) {
    CHECK(layer.forward > 0.0);
    CHECK(layer.backward_input > 0.0);
    CHECK(layer.backward_weight > 0.0);
  }
}

TEST_CASE("a profile that the user interrupts is none") {
  const run_spec spec = auto_spec(2);
  const std::atomic<int> interrupts = 1;
  run_options options;
  options.interrupts = &interrupts;
  CHECK_FALSE(profile_layers(spec, made_up_data(spec), options));
}
