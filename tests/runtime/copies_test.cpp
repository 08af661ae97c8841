// Ranks that hold stages of two copies of the model, run without actors.
#include "model/error.hpp"
#include "runtime/reference_trainer.hpp"
#include "tests/support/direct_drive.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <utility>
#include <variant>

using namespace troupe;
using namespace troupe::test;

namespace {

run_spec both_ends(const std::string& schedule = "chimera") {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.pipeline.schedule = schedule;
  spec.training.gradient_groups = 2;
  return spec;
}

/// Rank 0 of two, fed by hand: stage 0 of copy 0 (microbatches 0 and 1), stage 1 of copy 1 (2 and 3).
struct fed_rank {
  explicit fed_rank(run_spec described)
      : spec(std::move(described)), data(spec), pipeline(make_plan(spec, find_family(spec.model.family))),
        runner({&spec, &find_family(spec.model.family), &pipeline, nullptr, 0, {}, [] { return 0.0; }}) {}

  tensor values() { return pool.make_filled({16, spec.model.width}, 0.01F); }

  /// All that rank 0 needs to run the lists of step 0, up to the end of its own list.
  void feed() {
    const step_id at{0, pass_mode::train};
    runner.accept(step_opening{1, at});
    for (const std::uint32_t microbatch : {0U, 1U}) {
      runner.accept(token_message{1, at, microbatch, data.sample(at, microbatch).tokens});
      run();
    }
    for (const std::uint32_t microbatch : {2U, 3U}) {
      runner.accept(target_message{1, at, microbatch, data.sample(at, microbatch).targets});
      runner.accept(activation_message{{1, 0, 1, 1}, at, 1, microbatch, values()});
      run();
    }
    for (const std::uint32_t microbatch : {0U, 1U}) {
      runner.accept(gradient_message{{1, 0, 1, 1}, at, 0, microbatch, values()});
      run();
    }
  }

  void run() {
    while (runner.can_run())
      for (rank_output& out : runner.run_next())
        sent.push_back(std::move(out));
  }

  template <class Message>
  std::vector<Message> all_sent() const {
    std::vector<Message> found;
    for (const rank_output& one : sent)
      if (const auto* message = std::get_if<Message>(&one))
        found.push_back(*message);
    return found;
  }

  /// What rank 1 would answer: as large as what rank 0 sent.
  group_gradient_message answer(std::uint32_t stage) {
    for (group_gradient_message message : all_sent<group_gradient_message>())
      if (message.stage == stage) {
        std::swap(message.via.source_rank, message.via.target_rank);
        return message;
      }
    FAIL("rank 0 did not send its gradients");
    return {};
  }

  run_spec spec;
  made_up_data data;
  plan pipeline;
  tensor_pool pool;
  stage_runner runner;
  std::vector<rank_output> sent;
};

} // namespace

TEST_CASE("scheduler and ranks with two copies, joined by a queue, give the reference's bits", "[copies]") {
  run_spec spec = both_ends(GENERATE("dualpipe", "chimera"));
  spec.model.tied_head = GENERATE(false, true);
  spec.model.dropout = 0.1;
  const made_up_data data(spec);
  const run_report reference = run_reference(spec, data, {});
  direct_drive drive(spec, data);
  drive.run();
  REQUIRE(drive.end());
  CHECK(drive.end()->weights_sha256 == reference.weights_sha256);
  CHECK(drive.end()->optimizer_sha256 == reference.optimizer_sha256);
}

TEST_CASE("a rank reports its step only with the gradients of the other copies of all its stages", "[copies]") {
  fed_rank rank(both_ends());
  rank.feed();
  CHECK(rank.all_sent<slice_batch>().size() == 1);
  CHECK(rank.all_sent<group_gradient_message>().size() == 2);
  CHECK(rank.all_sent<step_report>().empty());
  rank.runner.accept(rank.answer(0));
  rank.run();
  CHECK(rank.all_sent<step_report>().empty());
  rank.runner.accept(rank.answer(1));
  rank.run();
  const auto reports = rank.all_sent<step_report>();
  REQUIRE(reports.size() == 1);
  REQUIRE(reports[0].squares.size() == 1); // stage 1 is counted by the rank that has copy 0 of it
  CHECK(reports[0].squares[0].stage == 0);
}

TEST_CASE("the gradients of the other copy are added, and once", "[copies]") {
  fed_rank alone(both_ends());
  alone.feed();
  const auto squares_with = [&](int times) {
    fed_rank rank(both_ends());
    rank.feed();
    for (int i = 0; i < times; ++i)
      for (const std::uint32_t stage : {0U, 1U})
        rank.runner.accept(rank.answer(stage));
    rank.run();
    CHECK(rank.runner.dropped_messages() == 2 * static_cast<std::uint64_t>(times - 1));
    return rank.all_sent<step_report>().at(0).squares.at(0).squares;
  };
  const std::vector<double> once = squares_with(1);
  CHECK(squares_with(3) == once);
  // The answer repeats the rank's own gradients, so each sum is twice as large, and its square four times.
  const std::vector<group_gradient_message> sent = alone.all_sent<group_gradient_message>();
  REQUIRE(sent.at(0).stage == 0);
  REQUIRE(sent[0].values.size() == once.size());
  for (std::size_t i = 0; i < once.size(); ++i) {
    double squares = 0.0;
    for (const float value : sent[0].values[i].values())
      squares += static_cast<double>(value) * static_cast<double>(value);
    CHECK(once[i] == Approx(4.0 * squares));
  }
}

TEST_CASE("gradients of another copy that come late or again do no harm", "[copies]") {
  fed_rank rank(both_ends());
  rank.feed();
  rank.runner.accept(rank.answer(0));
  rank.runner.accept(rank.answer(1));
  rank.run();
  rank.runner.accept(rank.answer(0)); // after the report
  CHECK(rank.runner.dropped_messages() == 1);
  rank.runner.accept(step_decision{1, {0, pass_mode::train}, 1.0, 0.1});
  rank.run();
  rank.runner.accept(rank.answer(1)); // after the step
  CHECK(rank.runner.dropped_messages() == 2);
  group_gradient_message next = rank.answer(1); // of the next step, before this rank has opened it
  next.at.step = 1;
  rank.runner.accept(next);
  CHECK(rank.runner.dropped_messages() == 2);
}

TEST_CASE("gradients of another copy that no correct peer could send are refused", "[copies]") {
  fed_rank rank(both_ends());
  rank.feed();
  const auto refuse = [&](auto message, const std::string& text) {
    CHECK_THROWS_WITH(rank.runner.accept(message), Catch::Contains(text));
  };
  group_gradient_message wrong = rank.answer(0);
  wrong.values.pop_back();
  refuse(wrong, "found a group's gradients of stage 0");
  wrong = rank.answer(0);
  wrong.values[0] = rank.pool.make({3, 3});
  refuse(wrong, "in the same shapes");
  wrong = rank.answer(0);
  wrong.stage = 7;
  refuse(wrong, "found a group's gradients of stage 7");
  wrong = rank.answer(0);
  wrong.at.mode = pass_mode::evaluate;
  refuse(wrong, "found a group's gradients");
  wrong = rank.answer(0);
  wrong.at.step = 2;
  refuse(wrong, "expected a step up to 1");
  // A microbatch of the group that runs through the other copy of the stage.
  refuse(activation_message{{1, 0, 1, 1}, {1, pass_mode::train}, 1, 0, rank.values()}, "expected a stage of this rank");

  run_spec one_copy = tiny_spec();
  one_copy.pipeline.stages = 2;
  fed_rank plain(one_copy);
  CHECK_THROWS_WITH(plain.runner.accept(rank.answer(0)), Catch::Contains("found a group's gradients"));
}

TEST_CASE("snapshot and digests of a layer come from copy 0, and copy 1's digests beside them", "[copies]") {
  fed_rank rank(both_ends());
  rank.feed();
  rank.runner.accept(rank.answer(0));
  rank.runner.accept(rank.answer(1));
  rank.run();
  rank.runner.accept(step_decision{1, {0, pass_mode::train}, 1.0, 0.1, take_snapshot::to_checkpoint});
  rank.runner.accept(digest_request{1, 1});
  rank.run();
  const auto layers_of = [](const auto& list) {
    std::set<std::int64_t> layers;
    for (const auto& one : list)
      layers.insert(one.layer);
    return layers;
  };
  REQUIRE(rank.pipeline.stages[0] == layer_range{0, 3});
  const std::set<std::int64_t> first{0, 1, 2};
  CHECK(layers_of(rank.all_sent<rank_snapshot>().at(0).layers) == first);
  const digest_report digests = rank.all_sent<digest_report>().at(0);
  CHECK(layers_of(digests.layers) == first);
  CHECK(layers_of(digests.second_copy) == std::set<std::int64_t>{3, 4, 5});
}

TEST_CASE("a step with two copies, or with gradient groups, takes no new memory once the pools are warm", "[copies]") {
  run_spec spec = both_ends(GENERATE("dualpipe", "1f1b"));
  spec.training.steps = 8;
  spec.model.tied_head = true;
  const made_up_data data(spec);
  direct_drive drive(spec, data);
  std::vector<std::vector<std::uint64_t>> allocations; // by closed step, by rank
  drive.run([&] {
    while (allocations.size() < drive.closed().size())
      allocations.push_back({drive.rank(0).memory().allocations, drive.rank(1).memory().allocations});
  });
  REQUIRE(drive.closed().size() == 12); // 8 steps, 4 validations
  CHECK(allocations[0] != std::vector<std::uint64_t>{0, 0});
  CHECK(allocations[4] == allocations.back());
}
