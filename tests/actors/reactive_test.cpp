// Reactive ranks run their lists in whatever order the inputs come, and still give the reference's bits.
#include "runtime/reference_trainer.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/sanitized.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/tiny_run.hpp"
#include "tests/support/unruly_network.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

struct row {
  std::string schedule;
  std::uint32_t stages = 3;
  std::uint32_t microbatches = 4;
  std::uint32_t waves = 1;
};

const std::vector<row> rows = {{"gpipe"},
                               {"1f1b"},
                               {"1f1b", 4, 2},
                               {"interleaved-1f1b", 3, 6},
                               {"looped-bfs", 2, 5},
                               {"interleaved-zb", 3, 6},
                               {"zb-h1", 4, 6},
                               {"zb-h2", 3, 6},
                               {"zb-v", 3, 6},
                               {"zb-v", 4, 3},
                               {"v-half", 3, 5},
                               {"v-min", 4, 6},
                               {"dualpipev", 3, 7},
                               {"hanayo", 3, 5},
                               {"hanayo", 2, 6, 2},
                               {"dualpipe", 2, 8},
                               {"chimera", 4, 8}};

run_spec spec_of(const row& one) {
  run_spec spec = tiny_spec();
  spec.model.layers = 6;
  spec.model.tied_head = true;
  spec.model.dropout = 0.1;
  spec.optimizer.clip = 0.05;
  spec.training.microbatches = one.microbatches;
  spec.training.gradient_groups = one.schedule == "dualpipe" || one.schedule == "chimera" ? 2 : 1;
  return spec;
}

run_spec reactive(run_spec spec, const row& one) {
  spec.pipeline.schedule = one.schedule;
  spec.pipeline.stages = one.stages;
  spec.pipeline.waves = one.waves;
  spec.pipeline.dispatch = dispatch_mode::reactive;
  return spec;
}

} // namespace

TEST_CASE("reactive ranks give the reference's bits, whatever comes late, and stay within the schedule's peaks",
          "[actors][dispatch]") {
  for (const row& one : rows) {
    const run_spec plain = spec_of(one);
    const made_up_data data(plain);
    const run_report reference = run_reference(plain, data, {});
    const run_spec spec = reactive(plain, one);
    const std::vector<std::uint32_t> peaks = make_plan(spec, find_family(spec.model.family)).facts.peak_by_rank;
    for (std::uint64_t seed = 0; seed < orders(12); ++seed) {
      INFO(one.schedule << ", " << one.stages << " ranks, " << one.microbatches << " microbatches, seed " << seed);
      const outcome seen = unruly_run(spec, data, {}, seed).play();
      REQUIRE_FALSE(seen.failure);
      REQUIRE(seen.report);
      check_same_result(*seen.report, reference);
      for (std::uint32_t rank = 0; rank < one.stages; ++rank)
        CHECK(seen.report->ranks[rank].usage.peak_stash_microbatches <= peaks[rank]);
    }
  }
}

TEST_CASE("reactive ranks on threads give the reference's bits", "[actors][dispatch]") {
  for (const row& one : rows) {
    const run_spec plain = spec_of(one);
    const run_report reference = run_reference(plain, made_up_data(plain), {});
    INFO(one.schedule << ", " << one.stages << " ranks, " << one.microbatches << " microbatches");
    check_same_result(run_pipeline(reactive(plain, one), made_up_data(plain), {}), reference);
  }
}

TEST_CASE("with late messages a reactive run's trace shows actions that overtook, a static run's the list's order",
          "[actors][dispatch]") {
  const row one = {"zb-h1", 3, 6};
  const scratch_directory scratch;
  const run_spec plain = spec_of(one);
  const made_up_data data(plain);
  run_options options;
  options.trace = scratch / "trace.json";
  const auto trace_of = [&](const dispatch_mode mode, std::uint64_t seed) {
    run_spec spec = reactive(plain, one);
    spec.pipeline.dispatch = mode;
    REQUIRE(unruly_run(spec, data, options, seed).play().report);
    std::string names; // the actions in the order of the trace
    const std::string text = read_bytes(options.trace);
    const std::string key = "\"name\":\"";
    for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1))
      names += text.substr(at + key.size(), text.find('"', at + key.size()) - at - key.size()) + ' ';
    return names;
  };
  const std::string in_order = trace_of(dispatch_mode::fixed, 0);
  int overtaken = 0;
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    CHECK(trace_of(dispatch_mode::fixed, seed) == in_order);
    overtaken += trace_of(dispatch_mode::reactive, seed) != in_order ? 1 : 0;
  }
  CHECK(overtaken >= 4);
}
