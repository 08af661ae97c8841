#include "runtime/reference_trainer.hpp"
#include "runtime/stage_runner.hpp"
#include "tests/support/direct_drive.hpp"
#include "tests/support/same_result.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

/// One rank by itself, fed by hand.
struct lone_rank {
  /// `newest_step` had begun when this life did, and the lives before had come as far as `former`.
  lone_rank(run_spec described, std::uint32_t rank, incarnation life = 1, std::uint64_t newest_step = 0,
            rank_progress former = {})
      : spec(std::move(described)), pipeline(make_plan(spec, find_family(spec.model.family))),
        runner(rank_setup{&spec,
                          &find_family(spec.model.family),
                          &pipeline,
                          nullptr,
                          rank,
                          {.life = life, .newest_step = newest_step, .former = former},
                          [] { return 0.0; }}) {}

  tensor values(float value = 0.5F) { return pool.make_filled({16, spec.model.width}, value); }
  activation_message activation(std::uint32_t stage, std::uint32_t microbatch, std::uint64_t step = 0) {
    return {{stage - 1, stage, 1, 1}, {step, pass_mode::train}, stage, microbatch, values()};
  }
  gradient_message gradient(std::uint32_t stage, std::uint32_t microbatch, std::uint64_t step = 0) {
    return {{stage + 1, stage, 1, 1}, {step, pass_mode::train}, stage, microbatch, values()};
  }
  /// Runs all that is due; returns how many activations and gradients left.
  std::size_t run_all() {
    std::size_t tensors = 0;
    while (runner.can_run())
      for (const rank_output& out : runner.run_next())
        tensors +=
            std::holds_alternative<activation_message>(out) || std::holds_alternative<gradient_message>(out) ? 1 : 0;
    return tensors;
  }

  run_spec spec;
  plan pipeline;
  tensor_pool pool;
  stage_runner runner;
};

run_spec three_stages() {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 3;
  return spec;
}

} // namespace

TEST_CASE("scheduler and ranks joined by a queue give the reference's bits", "[runner]") {
  run_spec spec = tiny_spec();
  spec.model.tied_head = true;
  spec.pipeline.stages = GENERATE(1U, 2U, 5U);
  const made_up_data data(spec);
  const run_report reference = run_reference(spec, data, {});
  direct_drive drive(spec, data);
  drive.run();
  REQUIRE(drive.end());
  CHECK(drive.end()->weights_sha256 == reference.weights_sha256);
  CHECK(drive.end()->optimizer_sha256 == reference.optimizer_sha256);
}

TEST_CASE("a step takes no new memory once the pools are warm", "[runner]") {
  run_spec spec = three_stages();
  spec.training.steps = 8;
  spec.model.dropout = 0.1;
  spec.model.tied_head = true;
  spec.pipeline.recomputation = GENERATE(recompute::none, recompute::full);
  const made_up_data data(spec);
  direct_drive drive(spec, data);
  std::vector<std::vector<std::uint64_t>> allocations; // by closed step, by rank
  drive.run([&] {
    while (allocations.size() < drive.closed().size()) {
      allocations.emplace_back();
      for (std::uint32_t rank = 0; rank < 3; ++rank)
        allocations.back().push_back(drive.rank(rank).memory().allocations);
    }
  });
  REQUIRE(drive.closed().size() == 12); // 8 steps, 4 validations
  CHECK(allocations[0] != std::vector<std::uint64_t>{0, 0, 0});
  CHECK(allocations[4] == allocations.back());
}

TEST_CASE("a stage never holds more than its schedule's peak, however early its inputs come", "[runner]") {
  run_spec spec = three_stages();
  spec.training.microbatches = 9;
  spec.pipeline.schedule = GENERATE("naive", "1f1b", "gpipe");
  lone_rank middle(spec, 1);
  const std::uint32_t peak = middle.pipeline.facts.peak_by_stage[1];
  const std::uint32_t before = middle.pipeline.facts.peak_by_stage[0];
  middle.runner.accept(step_opening{1, {0, pass_mode::train}});
  std::uint32_t next = 0;
  std::uint32_t gradients = 0;
  while (next < 9) {
    // The stage before sends as far ahead as its own stash allows.
    for (; next < 9 && next < gradients + before; ++next)
      middle.runner.accept(middle.activation(1, next));
    middle.run_all();
    CHECK(middle.runner.usage().peak_stash_microbatches <= peak);
    middle.runner.accept(middle.gradient(1, gradients++));
    middle.run_all();
  }
  CHECK(middle.runner.usage().peak_stash_microbatches == peak);
}

TEST_CASE("a stage refuses activations beyond what the stage before may have sent", "[runner]") {
  run_spec spec = three_stages();
  spec.training.microbatches = 9;
  lone_rank middle(spec, 1);
  for (std::uint32_t microbatch = 0; microbatch < middle.pipeline.facts.peak_by_stage[0]; ++microbatch)
    middle.runner.accept(middle.activation(1, microbatch));
  CHECK_THROWS_AS(middle.runner.accept(middle.activation(1, 8)), protocol_error);
}

TEST_CASE("the scheduler cannot send more tokens than the rank gave credit for", "[runner]") {
  run_spec spec = three_stages();
  spec.training.microbatches = 12;
  lone_rank first(spec, 0);
  const std::uint64_t credit = first.runner.ready().credit.tokens;
  CHECK(credit == first.pipeline.facts.peak_by_stage[0] + injection_lookahead);
  const auto tokens = made_up_data(spec).sample({0, pass_mode::train}, 0).tokens;
  for (std::uint32_t microbatch = 0; microbatch < credit; ++microbatch)
    first.runner.accept(token_message{1, {0, pass_mode::train}, microbatch, tokens});
  CHECK_THROWS_AS(first.runner.accept(token_message{1, {0, pass_mode::train}, 11, tokens}), protocol_error);
}

TEST_CASE("credit is told each time it has grown by four, with the losses since, and all losses before the report",
          "[runner]") {
  run_spec spec = three_stages();
  spec.training.microbatches = 6;
  lone_rank last(spec, 2);
  const made_up_data data(spec);
  const step_id step{0, pass_mode::train};
  const std::uint64_t at_first = last.runner.ready().credit.targets;
  std::vector<std::string> told;
  last.runner.accept(step_opening{1, step});
  for (std::uint32_t microbatch = 0; microbatch < 6; ++microbatch) {
    last.runner.accept(last.activation(2, microbatch));
    last.runner.accept(target_message{1, step, microbatch, data.sample(step, microbatch).targets});
    while (last.runner.can_run())
      for (const rank_output& out : last.runner.run_next()) {
        if (const auto* loss = std::get_if<loss_message>(&out))
          told.push_back("loss " + std::to_string(loss->microbatch));
        if (const auto* credit = std::get_if<credit_message>(&out))
          told.push_back("credit " + std::to_string(credit->credit.targets - at_first));
        if (std::holds_alternative<step_report>(out))
          told.emplace_back("report");
      }
  }
  CHECK(told ==
        std::vector<std::string>{"credit 4", "loss 0", "loss 1", "loss 2", "loss 3", "loss 4", "loss 5", "report"});
}

TEST_CASE("the pipeline is full for a rank when its first backward pass is next", "[runner]") {
  const auto filling = [](const char* schedule, std::uint32_t rank) {
    run_spec spec = three_stages();
    spec.training.microbatches = 9;
    spec.pipeline.schedule = schedule;
    return lone_rank(spec, rank).runner.filling_passes();
  };
  CHECK(filling("1f1b", 0) == 3);
  CHECK(filling("1f1b", 1) == 2);
  CHECK(filling("1f1b", 2) == 1);
  CHECK(filling("gpipe", 0) == 3); // of nine: as many as there are ranks
  CHECK(filling("naive", 0) == 1);
}

TEST_CASE("passes are counted within a step", "[runner]") {
  lone_rank first(three_stages(), 0);
  CHECK(first.runner.passes_run() == 0);
  const step_id step{0, pass_mode::train};
  first.runner.accept(step_opening{1, step});
  const auto tokens = made_up_data(first.spec).sample(step, 0).tokens;
  first.runner.accept(token_message{1, step, 0, tokens});
  first.run_all();
  CHECK(first.runner.passes_run() == 1);
}

TEST_CASE("forward passes that a life before had run count as replayed", "[runner]") {
  const auto replayed = [](rank_progress former) {
    lone_rank first(three_stages(), 0, 2, 0, former);
    const step_id step{0, pass_mode::train};
    first.runner.accept(step_opening{2, step});
    for (std::uint32_t microbatch = 0; microbatch < 3; ++microbatch)
      first.runner.accept(token_message{2, step, microbatch, made_up_data(first.spec).sample(step, microbatch).tokens});
    first.run_all();
    CHECK(first.runner.last_words().progress == rank_progress{0, 3});
    return first.runner.usage().replayed_passes;
  };
  CHECK(replayed({}) == 0);
  CHECK(replayed({0, 2}) == 2);
  CHECK(replayed({0, 4}) == 3);
  CHECK(replayed({1, 0}) == 3);
}

TEST_CASE("messages that no correct peer could send are refused and change nothing", "[runner]") {
  lone_rank middle(three_stages(), 1);
  const auto refuse = [&](auto message, const std::string& text) {
    CHECK_THROWS_WITH(middle.runner.accept(message), Catch::Contains(text));
  };

  activation_message wrong_stage = middle.activation(2, 0);
  wrong_stage.via.target_rank = 1;
  refuse(wrong_stage, "expected a stage of this rank");
  refuse(middle.activation(1, 4), "microbatch below 4");
  refuse(middle.activation(1, 0, 1), "expected a step up to 0");
  activation_message wrong_shape = middle.activation(1, 0);
  wrong_shape.values = middle.pool.make({3, 3});
  refuse(wrong_shape, "found an activation of shape [3, 3]");
  activation_message unknown_rank = middle.activation(1, 0);
  unknown_rank.via.source_rank = 77;
  refuse(unknown_rank, "expected a rank below 3");
  refuse(step_decision{1, {0, pass_mode::train}, 1.0, 0.1}, "before the rank's report");

  middle.runner.accept(step_opening{1, {0, pass_mode::train}});
  CHECK(middle.run_all() == 0);
  middle.runner.accept(middle.activation(1, 0));
  CHECK(middle.run_all() == 1);
}

TEST_CASE("repeated and stale messages are dropped", "[runner]") {
  lone_rank middle(three_stages(), 1, 3);
  const auto addressed = [](auto message, incarnation source, incarnation target) {
    message.via.source_incarnation = source;
    message.via.target_incarnation = target;
    return message;
  };
  middle.runner.accept(step_opening{3, {0, pass_mode::train}});
  middle.runner.accept(addressed(middle.activation(1, 0), 1, 2)); // for the life before this one
  CHECK(middle.runner.dropped_messages() == 1);
  CHECK(middle.run_all() == 0);
  middle.runner.accept(addressed(middle.activation(1, 0), 2, 3));
  CHECK(middle.run_all() == 1);
  middle.runner.accept(addressed(middle.activation(1, 0), 2, 3)); // again, after it was used
  CHECK(middle.runner.dropped_messages() == 2);
  middle.runner.accept(addressed(middle.activation(1, 1), 1, 3)); // from a former life of the sender
  CHECK(middle.runner.dropped_messages() == 3);
  CHECK(middle.run_all() == 0);
  middle.runner.accept(step_opening{1, {1, pass_mode::train}});
  CHECK(middle.runner.dropped_messages() == 4);
}

TEST_CASE("a rank that lives again takes all that was sent since, validations with few microbatches included",
          "[runner]") {
  run_spec spec = three_stages();
  spec.training.microbatches = 9;
  spec.validation.every = 1;
  spec.validation.microbatches = 1;
  lone_rank middle(spec, 1, 2, 2);
  const auto take = [&](std::uint64_t step, pass_mode mode, std::uint32_t microbatch) {
    activation_message in = middle.activation(1, microbatch, step);
    in.at.mode = mode;
    in.via.target_incarnation = 2;
    CHECK_NOTHROW(middle.runner.accept(in));
  };
  for (std::uint64_t step = 0; step <= 2; ++step) {
    for (std::uint32_t microbatch = 0; microbatch < 9; ++microbatch)
      take(step, pass_mode::train, microbatch);
    take(step, pass_mode::evaluate, 0);
  }
  CHECK(middle.runner.dropped_messages() == 0);
}

TEST_CASE("what belongs to the steps that follow may come before the decision that ends the one before them",
          "[runner]") {
  run_spec spec = tiny_spec();
  spec.pipeline.schedule = "pipedream";
  spec.pipeline.stages = 1;
  spec.training.microbatches = 1;
  lone_rank only(spec, 0);
  const made_up_data data(spec);
  const auto feed = [&](std::uint64_t step) {
    const microbatch_data sample = data.sample({step, pass_mode::train}, 0);
    only.runner.accept(token_message{1, {step, pass_mode::train}, 0, sample.tokens});
    only.runner.accept(target_message{1, {step, pass_mode::train}, 0, sample.targets});
  };
  only.runner.accept(step_opening{1, {0, pass_mode::train}});
  feed(0);
  only.run_all(); // its report is out, and it waits for the decision
  feed(1);
  CHECK_NOTHROW(feed(2)); // the scheduler has decided, and opened two steps that join
  CHECK_THROWS_AS(feed(3), protocol_error);
}
