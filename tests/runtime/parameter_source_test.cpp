// A run may resume from anything that has its parameters, not from files alone.
#include "model/error.hpp"
#include "runtime/digest.hpp"
#include "runtime/stage_runner.hpp"
#include "tests/support/rank_snapshots.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <span>
#include <string>
#include <variant>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// The snapshots of a run in memory, as a peer would hand them over.
class kept_snapshots : public parameter_source {
public:
  kept_snapshots(const std::vector<rank_snapshot>& ranks, std::uint64_t steps_done) : steps_done_(steps_done) {
    for (const rank_snapshot& rank : ranks)
      for (const layer_snapshot& layer : rank.layers)
        for (const parameter_snapshot& one : layer.parameters)
          parameters_[one.name] = one;
  }

  std::uint64_t steps_done() const override { return steps_done_; }
  void read(const std::string& parameter, tensor& value, std::span<tensor> state) const override {
    const auto copy = [](const tensor& from, tensor& to) {
      REQUIRE(from.extents() == to.extents());
      std::ranges::copy(from.values(), to.values().begin());
    };
    const parameter_snapshot& one = parameters_.at(parameter);
    copy(one.value, value);
    for (std::size_t index = 0; index < state.size(); ++index)
      copy(one.state.at(index), state[index]);
  }

private:
  std::uint64_t steps_done_;
  std::map<std::string, parameter_snapshot> parameters_;
};

} // namespace

TEST_CASE("a rank starts from whatever source it is given, with its weights, its optimizer's state and its step") {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.pipeline.stages = 3;
  const model_family& family = find_family(spec.model.family);
  const plan pipeline = make_plan(spec, family);
  tensor_pool pool;
  run_spec other_seed = spec;
  other_seed.training.seed = 99; // else weights drawn anew would be the same ones
  const std::vector<rank_snapshot> ranks = rank_snapshots(other_seed, pipeline, 2, pool);
  const kept_snapshots source(ranks, 2);
  for (std::uint32_t rank = 0; rank < 3; ++rank) {
    stage_runner runner({&spec, &family, &pipeline, &source, rank, {}, [] { return 0.0; }});
    runner.accept(digest_request{1, 2});
    REQUIRE(runner.can_run()); // two steps are done
    const rank_outputs out = runner.run_next();
    REQUIRE(out.size() == 1);
    std::vector<parameter_digest> found;
    for (const layer_digests& layer : std::get<digest_report>(out[0]).layers)
      found.insert(found.end(), layer.parameters.begin(), layer.parameters.end());
    std::vector<parameter_digest> expected;
    for (const layer_snapshot& layer : ranks[rank].layers)
      for (const parameter_snapshot& one : layer.parameters)
        expected.push_back(digest_of(one.name, one.value, one.state));
    INFO("rank " << rank);
    CHECK(found == expected);
  }
}
