#include "model/error.hpp"
#include "runtime/plan.hpp"
#include "runtime/schedule/csv.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>
#include <unistd.h>

using namespace troupe;

namespace {

/// An embedding, `layers` blocks, and a head; only what a plan asks of a family.
class toy_family : public model_family {
public:
  explicit toy_family(double block_flops = 100.0) : block_flops_(block_flops) {}
  std::string name() const override { return "toy"; }
  void validate(const model_spec& spec) const override {
    if (spec.width <= 0)
      throw spec_error("model.width: found 0, expected at least 1");
  }
  std::int64_t layer_count(const model_spec& spec) const override { return spec.layers + 2; }
  layer_ptr make_layer(const model_spec&, std::int64_t) const override { return nullptr; }
  double forward_flops(const model_spec& spec, std::int64_t index) const override {
    if (index == 0)
      return 0.0;
    return index <= spec.layers ? block_flops_ : 2.5 * block_flops_;
  }
  std::int64_t targets_per_sequence(const model_spec& spec) const override { return spec.sequence_length; }
  shape activation_shape(const model_spec&, std::int64_t) const override { return {}; }

private:
  double block_flops_;
};

run_spec spec_of(const std::string& schedule_name, std::uint32_t stages, std::uint32_t microbatches) {
  run_spec spec;
  spec.model.layers = 4;
  spec.pipeline.schedule = schedule_name;
  spec.pipeline.stages = stages;
  spec.training.microbatches = microbatches;
  return spec;
}

template <class Function>
std::string refusal_by(Function&& act) {
  try {
    act();
  } catch (const spec_error& refused) {
    return refused.what();
  }
  return "";
}

std::string refusal_of(const run_spec& spec) {
  return refusal_by([&] { make_plan(spec, toy_family()); });
}

std::vector<std::int64_t> sizes_of(const std::vector<layer_range>& ranges) {
  std::vector<std::int64_t> sizes;
  std::int64_t expected_first = 0;
  for (const layer_range& one : ranges) {
    CHECK(one.first == expected_first);
    expected_first = one.last;
    sizes.push_back(one.size());
  }
  return sizes;
}

/// The best cut by trying all: bit i of a mask says that a run ends before layer i + 1.
std::vector<std::int64_t> best_cut(const std::vector<double>& costs, std::uint32_t stages) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<std::int64_t> best;
  for (std::uint32_t mask = 0; mask < 1U << (costs.size() - 1); ++mask) {
    std::vector<std::int64_t> sizes{1};
    std::vector<double> sums{costs[0]};
    for (std::size_t layer = 1; layer < costs.size(); ++layer) {
      if ((mask >> (layer - 1) & 1U) != 0) {
        sizes.push_back(0);
        sums.push_back(0.0);
      }
      ++sizes.back();
      sums.back() += costs[layer];
    }
    if (sizes.size() != stages)
      continue;
    const double dearest = *std::max_element(sums.begin(), sums.end());
    if (dearest < least || (dearest == least && sizes < best)) {
      least = dearest;
      best = sizes;
    }
  }
  return best;
}

/// A file that is gone after the test, with a name of its own in each process, as test cases run side by side.
class temporary_file {
public:
  explicit temporary_file(const std::string& text)
      : path_(std::filesystem::temp_directory_path() / ("troupe_plan_test_" + std::to_string(getpid()) + ".csv")) {
    std::ofstream(path_) << text;
  }
  ~temporary_file() { std::filesystem::remove(path_); }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  std::string path() const { return path_.string(); }

private:
  std::filesystem::path path_;
};

} // namespace

TEST_CASE("layers of equal cost are cut into runs whose early stages are shortest") {
  CHECK(sizes_of(balance_layers({1, 1, 1, 1, 1, 1}, 3)) == std::vector<std::int64_t>{2, 2, 2});
  CHECK(sizes_of(balance_layers({1, 1, 1, 1, 1}, 3)) == std::vector<std::int64_t>{1, 2, 2});
  CHECK(sizes_of(balance_layers({1, 1, 1, 1}, 3)) == std::vector<std::int64_t>{1, 1, 2});
  CHECK(sizes_of(balance_layers({5, 5}, 1)) == std::vector<std::int64_t>{2});
}

TEST_CASE("a dear layer gets a stage of its own") {
  CHECK(sizes_of(balance_layers({1, 1, 1, 9}, 2)) == std::vector<std::int64_t>{3, 1});
  CHECK(sizes_of(balance_layers({9, 1, 1, 1}, 2)) == std::vector<std::int64_t>{1, 3});
}

TEST_CASE("balancing finds the best of all cuts") {
  std::mt19937 random(5);
  // Whole costs, so that sums are exact and ties are frequent; zero is among them.
  for (int round = 0; round < 500; ++round) {
    std::vector<double> costs(std::uniform_int_distribution<std::size_t>(1, 11)(random));
    for (double& cost : costs)
      cost = std::uniform_int_distribution<int>(0, 6)(random);
    for (std::uint32_t stages = 1; stages <= costs.size(); ++stages) {
      CAPTURE(costs, stages);
      REQUIRE(sizes_of(balance_layers(costs, stages)) == best_cut(costs, stages));
    }
  }
}

TEST_CASE("balancing copes with costs whose sums are rounded") {
  std::mt19937 random(6);
  std::uniform_real_distribution<double> cost(0.0, 1e9);
  std::vector<double> costs(300);
  for (double& one : costs)
    one = cost(random);
  for (const std::uint32_t stages : {1U, 2U, 17U, 150U, 299U, 300U}) {
    const auto ranges = balance_layers(costs, stages);
    const auto sizes = sizes_of(ranges);
    REQUIRE(sizes.size() == stages);
    CHECK(*std::min_element(sizes.begin(), sizes.end()) >= 1);
    CHECK(ranges.back().last == 300);
  }
}

TEST_CASE("more stages than layers are refused") {
  CHECK(refusal_by([] { balance_layers({1, 1}, 3); }) == "stages: found 3, expected at most 2, the number of layers");
}

TEST_CASE("a partition gives each stage its number of layers") {
  CHECK(parse_partition("2,3,1", 6, 3) == std::vector<layer_range>{{0, 2}, {2, 5}, {5, 6}});
  CHECK(parse_partition("6", 6, 1) == std::vector<layer_range>{{0, 6}});
}

TEST_CASE("a partition that does not fit is refused") {
  const auto refused = [](const std::string& text) { return refusal_by([&] { parse_partition(text, 6, 3); }); };
  const std::string expected = ", expected 3 positive numbers that add up to 6";
  for (const std::string text : {"", ",", "2,3,1,", ",2,3,1", "2,,4", "2,3,x", "2,0,4", "2,-1,5", "2;3;1", "2, 3,1",
                                 "2.0,3,1", "99999999999999999999,1,1"})
    CHECK(refused(text) == "pipeline.partition: found '" + text + "'" + expected);
  CHECK(refused("3,3") == "pipeline.partition: found '3,3', which has 2" + expected);
  CHECK(refused("1,1,1,3") == "pipeline.partition: found '1,1,1,3', which has 4" + expected);
  CHECK(refused("2,2,1") == "pipeline.partition: found '2,2,1', which adds up to 5" + expected);
  CHECK(refused("2,3,2") == "pipeline.partition: found '2,3,2', which adds up to more" + expected);
  CHECK(refused("9223372036854775807,9223372036854775807,8") ==
        "pipeline.partition: found '9223372036854775807,9223372036854775807,8', which adds up to more" + expected);
}

TEST_CASE("a plan has a checked schedule and a stage of layers for each rank") {
  const plan made = make_plan(spec_of("1f1b", 3, 4), toy_family());
  CHECK(made.order == generate_schedule({"1f1b", 3, 4, 1}));
  CHECK(made.facts.peak_by_rank == std::vector<std::uint32_t>{3, 2, 1});
  // Embedding and two blocks, two blocks, the head: 200, 200, 250.
  CHECK(sizes_of(made.stages) == std::vector<std::int64_t>{3, 2, 1});
  CHECK(made.ranks() == 3);
  CHECK(made.rank_of(2, 0) == 2);
  CHECK(made.stages_of(1) == std::vector<std::uint32_t>{1});
}

TEST_CASE("a plan passes chunks, group size and waves on to the schedule") {
  run_spec spec = spec_of("zb-v", 3, 4);
  CHECK(make_plan(spec, toy_family()).order == generate_schedule({"zb-v", 3, 4}));
  CHECK(make_plan(spec, toy_family()).stages_of(0) == std::vector<std::uint32_t>{0, 5});
  spec = spec_of("interleaved-1f1b", 2, 4);
  spec.pipeline.chunks = 3;
  spec.pipeline.group_size = 4;
  CHECK(make_plan(spec, toy_family()).order == generate_schedule({"interleaved-1f1b", 2, 4, 3, 4}));
  spec = spec_of("hanayo", 1, 2);
  spec.pipeline.waves = 2;
  CHECK(make_plan(spec, toy_family()).order.stages() == 4);
  spec.pipeline.stages = 2;
  CHECK(refusal_of(spec) == "pipeline.stages * pipeline.chunks: found 2 * 4 = 8, expected at most 6, the layers that "
                            "model.layers = 4 has with its embedding and head");
  spec.pipeline.schedule = "1f1b";
  CHECK(refusal_of(spec) == "schedule '1f1b': found 2 waves, expected 1, as only hanayo has more");
}

TEST_CASE("layers without matrix products are not free") {
  CHECK(sizes_of(make_plan(spec_of("gpipe", 3, 1), toy_family(0.0)).stages) == std::vector<std::int64_t>{2, 2, 2});
}

TEST_CASE("a partition in the spec is obeyed") {
  run_spec spec = spec_of("gpipe", 3, 2);
  spec.pipeline.partition = "1,1,4";
  CHECK(sizes_of(make_plan(spec, toy_family()).stages) == std::vector<std::int64_t>{1, 1, 4});
  spec.pipeline.partition = "1,5";
  CHECK(refusal_of(spec).find("pipeline.partition: found '1,5', which has 2") == 0);
}

TEST_CASE("the reference is one rank with all layers, whatever the pipeline's sizes") {
  run_spec spec = spec_of("reference", 50, 3);
  spec.pipeline.partition = "1,5";
  const plan made = make_plan(spec, toy_family());
  CHECK(made.ranks() == 1);
  CHECK(made.order.name == "reference");
  CHECK(made.order.microbatches == 3);
  CHECK(made.stages == std::vector<layer_range>{{0, 6}});
}

TEST_CASE("a spec that the model or the schedule cannot follow is refused") {
  CHECK(refusal_of(spec_of("1f1b", 9, 1)) ==
        "pipeline.stages: found 9, expected at most 6, the layers that model.layers "
        "= 4 has with its embedding and head");
  CHECK(refusal_of(spec_of("1f1b", 6, 1)) == "");
  CHECK(refusal_of(spec_of("2f2b", 2, 1)).find("schedule: found '2f2b'") == 0);
  run_spec spec = spec_of("1f1b", 4294967295, 1);
  spec.pipeline.chunks = 4294967295;
  CHECK(refusal_of(spec) == "pipeline.stages * pipeline.chunks: found 4294967295 * 4294967295 = 18446744065119617025, "
                            "expected at most 6, the "
                            "layers that model.layers = 4 has with its embedding and head");
  spec = spec_of("1f1b", 2, 1);
  spec.model.width = 0;
  CHECK(refusal_of(spec) == "model.width: found 0, expected at least 1");
}

TEST_CASE("a schedule can come from a file") {
  const temporary_file file("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
  const plan made = make_plan(spec_of(file.path(), 2, 2), toy_family());
  CHECK(made.order.actions == generate_schedule({"1f1b", 2, 2, 1}).actions);
  CHECK(made.order.name == file.path());
}

TEST_CASE("a file that does not fit the spec is refused by what differs") {
  const temporary_file file("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n");
  CHECK(refusal_of(spec_of(file.path(), 3, 2)) ==
        file.path() + ": found 2 ranks, expected 3, which is pipeline.stages");
  CHECK(refusal_of(spec_of(file.path(), 2, 4)) ==
        file.path() + ": found 2 microbatches, expected 4, which is training.microbatches");
  run_spec spec = spec_of(file.path(), 2, 2);
  spec.pipeline.chunks = 2;
  CHECK(refusal_of(spec) == file.path() + ": found 2 stages, expected 4, which is pipeline.stages * pipeline.chunks");
}

TEST_CASE("a file that cannot run, or is none, is refused") {
  const temporary_file file("0F0,0B0,0F1,0B1\n1F0,1F1,1B0,1B1\n");
  CHECK(refusal_of(spec_of(file.path(), 2, 2)).find("rank 0 waits at 0B0 for 1B0") != std::string::npos);
  CHECK(refusal_of(spec_of("/nowhere/at/all.csv", 2, 2)) ==
        "/nowhere/at/all.csv: found no such file, expected a schedule in CSV");
}
