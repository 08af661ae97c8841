// The large matrix: every schedule over many sizes, through real actors, against the reference's bits. Minutes, so it
// only runs when asked for: scripts/matrix.sh.
#include "actors/run.hpp"
#include "model/error.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// A model of 34 layers to cut, so that eight ranks may have four stages each.
run_spec matrix_spec(bool everything) {
  run_spec spec = tiny_spec();
  spec.model.layers = 32;
  spec.model.width = 8;
  spec.training.steps = 2;
  spec.validation.every = 0;
  if (everything) {
    spec.model.tied_head = true;
    spec.model.dropout = 0.1;
    spec.optimizer.clip = 0.05;
  }
  return spec;
}

/// Nothing when the schedule's rules exclude the numbers.
std::optional<plan> plan_for(const run_spec& spec) {
  try {
    return make_plan(spec, find_family(spec.model.family));
  } catch (const spec_error&) {
    return std::nullopt;
  }
}

struct shape_of_run {
  std::uint32_t chunks = 0;
  std::uint32_t waves = 1;
};

std::vector<shape_of_run> shapes_of(const std::string& schedule) {
  if (schedule == "hanayo")
    return {{0, 1}, {0, 2}};
  if (schedule.starts_with("interleaved") || schedule == "looped-bfs")
    return {{2, 1}, {3, 1}};
  return {{0, 1}};
}

/// The references of one model, each made when it is first asked for.
class references {
public:
  explicit references(run_spec spec) : spec_(std::move(spec)) {}

  const run_report& of(std::uint32_t microbatches, std::uint32_t groups) {
    const auto [found, fresh] = known_.try_emplace({microbatches, groups});
    if (fresh) {
      run_spec spec = spec_;
      spec.training.microbatches = microbatches;
      spec.training.gradient_groups = groups;
      found->second = run_reference(spec, made_up_data(spec), {});
    }
    return found->second;
  }

private:
  run_spec spec_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, run_report> known_;
};

/// Runs one pipeline each way that it can be run, and compares. Returns how many runs that were.
int check_pipeline(run_spec spec, references& expected) {
  int runs = 0;
  const std::optional<plan> cut = plan_for(spec);
  if (!cut)
    return 0;
  const bool asynchronous = cut->order.asynchronous.has_value();
  const made_up_data data(spec);
  for (const recompute recomputation : {recompute::none, recompute::full})
    for (const dispatch_mode dispatch : {dispatch_mode::fixed, dispatch_mode::reactive}) {
      if (asynchronous && dispatch == dispatch_mode::reactive)
        continue;
      spec.pipeline.recomputation = recomputation;
      spec.pipeline.dispatch = dispatch;
      INFO(spec.pipeline.schedule << ", " << spec.pipeline.stages << " ranks, " << cut->order.stages() << " stages, "
                                  << spec.training.microbatches << " microbatches, " << cut->gradient_groups
                                  << " gradient groups, recompute " << get_field(spec, "pipeline.recompute") << ", "
                                  << get_field(spec, "pipeline.dispatch"));
      check_same_result(run_pipeline(spec, data, {}),
                        asynchronous ? run_one_thread(spec, data, {})
                                     : expected.of(spec.training.microbatches, cut->gradient_groups));
      ++runs;
    }
  return runs;
}

} // namespace

TEST_CASE("every schedule has the reference's bits over the large matrix", "[.][matrix]") {
  int all = 0;
  for (const bool everything : {false, true}) {
    references expected(matrix_spec(everything));
    for (const std::string& schedule : schedule_names()) {
      int runs = 0;
      for (const std::uint32_t ranks : {1U, 2U, 3U, 4U, 6U, 8U})
        for (const std::uint32_t microbatches : {1U, 2U, 3U, 6U, 8U, 16U})
          for (const std::uint32_t groups : {0U, 3U})
            for (const auto& [chunks, waves] : shapes_of(schedule)) {
              if (groups != 0 && microbatches % groups != 0)
                continue;
              run_spec spec = matrix_spec(everything);
              spec.training.microbatches = microbatches;
              spec.training.gradient_groups = groups;
              spec.pipeline.schedule = schedule;
              spec.pipeline.stages = ranks;
              spec.pipeline.chunks = chunks;
              spec.pipeline.waves = waves;
              runs += check_pipeline(spec, expected);
            }
      std::printf("%-24s %s  %4d runs\n", schedule.c_str(), everything ? "tied, dropout, clip" : "plain", runs);
      std::fflush(stdout);
      all += runs;
    }
  }
  CHECK(all > 3000);
}
