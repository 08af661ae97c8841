// What the scheduler makes of snapshots that are kept, lost, or of a checkpoint under way. The ranks are played by the
// test.
#include "runtime/step_coordinator.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

/// A scheduler of two ranks that are there, and all that it has said.
class played_run {
public:
  explicit played_run(const run_spec& spec)
      : spec_(spec), pipeline_(make_plan(spec_, find_family(spec_.model.family))), data_(spec_),
        coordinator_(std::in_place, setup_with(nullptr)) {
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      say(rank_ready{.rank = rank, .credit = {100, 100}});
  }

  template <class Message>
  void say(const Message& message) {
    std::ranges::move(coordinator_->accept(message), std::back_inserter(said_));
  }

  /// Another scheduler follows this one, and has heard of both ranks.
  void follow() {
    coordinator_.emplace(setup_with(coordinator_->changed_books()));
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      say(rank_ready{.rank = rank, .credit = {100, 100}});
  }

  void say_all_again() { std::ranges::move(coordinator_->send_all_again(0.5), std::back_inserter(said_)); }
  void forget() { said_.clear(); }
  double longest_step_seconds() const { return coordinator_->longest_step_seconds(); }
  std::uint64_t progress() const { return coordinator_->progress(); }

  std::vector<rank_order> orders() const {
    std::vector<rank_order> found;
    for (const coordinator_output& one : said_)
      if (const auto* const order = std::get_if<rank_order>(&one))
        found.push_back(*order);
    return found;
  }

  /// All that the ranks have to say of a training step.
  void work_through(std::uint64_t step) {
    for (std::uint32_t microbatch = 0; microbatch < spec_.training.microbatches; ++microbatch)
      say(loss_message{.rank = 1, .at = {step}, .microbatch = microbatch, .loss = 1.0});
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      say(step_report{.rank = rank, .at = {step}, .squares = {{rank, {1.0}}}, .usage = {}});
  }

  std::optional<step_decision> decision_on(std::uint64_t step) const {
    for (const coordinator_output& one : said_)
      if (const auto* const order = std::get_if<rank_order>(&one))
        if (const auto* const decision = std::get_if<step_decision>(&order->what);
            decision && decision->at.step == step)
          return *decision;
    return std::nullopt;
  }

  std::uint64_t recovery_line() const {
    return last<recovery_line_message>().value_or(recovery_line_message{}).steps_done;
  }

  template <class Message>
  std::optional<Message> last() const {
    std::optional<Message> found;
    for (const coordinator_output& one : said_)
      if (const auto* const message = std::get_if<Message>(&one))
        found = *message;
    return found;
  }

  double now = 0.0;

private:
  coordinator_setup setup_with(std::shared_ptr<const scheduler_books> books) {
    return {&spec_, &pipeline_, &data_, 0, [this] { return now; }, std::move(books)};
  }

  run_spec spec_;
  plan pipeline_;
  made_up_data data_;
  std::optional<step_coordinator> coordinator_;
  coordinator_outputs said_;
};

run_spec two_ranks() {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.training.steps = 10;
  spec.validation.every = 0;
  return spec;
}

run_spec losing_ranks() {
  run_spec spec = two_ranks();
  spec.faults.chaos = "drop:share=0.1";
  return spec;
}

} // namespace

TEST_CASE("a generation of snapshots that can not be whole any more is forgotten, and the step that waits asks for "
          "another one") {
  played_run run(two_ranks());
  run.work_through(0);
  REQUIRE(run.decision_on(0));
  REQUIRE(run.decision_on(0)->snapshot == take_snapshot::to_keep);
  run.say(snapshot_kept{.rank = 0, .steps_done = 1});
  run.work_through(1);
  REQUIRE_FALSE(run.decision_on(1)); // waits for rank 1's snapshot
  run.say(snapshot_lost{.rank = 0});
  REQUIRE(run.decision_on(1));
  CHECK(run.decision_on(1)->snapshot == take_snapshot::to_keep);
  run.say(snapshot_kept{.rank = 1, .steps_done = 1}); // rank 0's is gone
  CHECK(run.recovery_line() == 0);
  run.say(snapshot_kept{.rank = 1, .steps_done = 2});
  CHECK(run.recovery_line() == 0);
  run.say(snapshot_kept{.rank = 0, .steps_done = 2});
  CHECK(run.recovery_line() == 2);
}

TEST_CASE("the recovery line of a run that was given up stays where the run is saved") {
  run_spec spec = two_ranks();
  spec.faults.max_restarts = 0;
  played_run run(spec);
  run.work_through(0);
  run.say(snapshot_kept{.rank = 0, .steps_done = 1});
  run.say(rank_lost{.rank = 1, .cause = "killed"});
  REQUIRE(run.last<run_given_up>());
  REQUIRE(run.last<run_given_up>()->steps_done == 0);
  run.say(snapshot_kept{.rank = 1, .steps_done = 1}); // was on its way when rank 1 died
  CHECK_FALSE(run.last<recovery_line_message>());
}

TEST_CASE(
    "a rank that lives again is told how far those before it have come, and where that is unknown, how far at most") {
  played_run run(two_ranks());
  run.work_through(0);
  const auto former_after = [&](incarnation life, std::optional<rank_progress> progress) {
    rank_lost lost{.rank = 1, .life = life, .cause = "it died"};
    if (progress)
      lost.last_words = rank_last_words{*progress, {}};
    run.say(lost);
    REQUIRE(run.last<restart_order>());
    return run.last<restart_order>()->birth.former;
  };
  CHECK(former_after(1, rank_progress{1, 2}) == rank_progress{1, 2});
  CHECK(former_after(2, rank_progress{0, 3}) == rank_progress{1, 2}); // it had not caught up
  CHECK(former_after(3, std::nullopt) == rank_progress{1, 4});
}

TEST_CASE("who starts from the state that a checkpoint under way is made of is told to save it again") {
  run_spec spec = two_ranks();
  spec.checkpoint.directory = "nowhere";
  spec.checkpoint.every = 2;
  played_run run(spec);
  run.work_through(0);
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    run.say(snapshot_kept{.rank = rank, .steps_done = 1});
  run.work_through(1);
  REQUIRE(run.decision_on(1)->snapshot == take_snapshot::to_checkpoint);

  const auto birth_after_death = [&](incarnation life) {
    run.say(rank_lost{.rank = 1, .life = life, .cause = "it died"});
    const std::optional<restart_order> order = run.last<restart_order>();
    REQUIRE(order);
    REQUIRE(order->birth.life == life + 1);
    run.say(rank_ready{1, order->birth.life, {100, 100}, order->birth.steps_done});
    return order->birth;
  };
  const rank_birth before = birth_after_death(1);
  CHECK(before.steps_done == 1);
  CHECK_FALSE(before.save_again); // it will come by the checkpoint's state once more

  run.say(snapshot_kept{.rank = 0, .steps_done = 2});
  run.say(snapshot_kept{1, 2, 2});
  const rank_birth within = birth_after_death(2);
  CHECK(within.steps_done == 2);
  CHECK(within.save_again);

  run.say(checkpoint_committed{.steps_done = 2, .generation = {}, .warning = {}});
  const rank_birth after = birth_after_death(3);
  CHECK(after.steps_done == 2);
  CHECK_FALSE(after.save_again);
}

TEST_CASE("what may be lost is asked for of every rank, and all that was said since the recovery line is said again") {
  played_run run(two_ranks());
  run.work_through(0);
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    run.say(snapshot_kept{.rank = rank, .steps_done = 1});
  run.work_through(1);
  const std::vector<rank_order> before = run.orders();
  run.forget();
  run.say_all_again();
  const std::vector<rank_order> again = run.orders();
  for (std::uint32_t rank = 0; rank < 2; ++rank) {
    const auto asked = std::ranges::find_if(
        again, [&](const rank_order& one) { return one.rank == rank && std::holds_alternative<send_again>(one.what); });
    REQUIRE(asked != again.end());
    CHECK(std::get<send_again>(asked->what).recovery_line == 1);
  }
  const auto since_line = [](const std::vector<rank_order>& orders, auto tag) {
    return std::ranges::count_if(orders, [](const rank_order& one) {
      const auto* const message = std::get_if<decltype(tag)>(&one.what);
      return message != nullptr && message->at.step >= 1;
    });
  };
  const auto all_of_kind = [&](auto tag) {
    INFO(typeid(tag).name());
    CHECK(since_line(before, tag) > 0);
    CHECK(since_line(again, tag) == since_line(before, tag));
  };
  all_of_kind(step_opening{});
  all_of_kind(step_decision{});
  all_of_kind(token_message{});
  all_of_kind(target_message{});
}

TEST_CASE("a message that was of use is progress, and its repeat is none") {
  played_run run(two_ranks());
  const auto progresses = [&](const auto& message) {
    const std::uint64_t before = run.progress();
    run.say(message);
    return run.progress() > before;
  };
  const loss_message loss{.rank = 1, .at = {}, .microbatch = 2, .loss = 1.0};
  const credit_message credit{0, 1, {101, 0}};
  const step_report report{.rank = 0, .at = {}, .squares = {{0, {1.0}}}, .usage = {}};
  CHECK(progresses(loss));
  CHECK_FALSE(progresses(loss));
  CHECK(progresses(credit));
  CHECK_FALSE(progresses(credit));
  CHECK(progresses(report));
  CHECK_FALSE(progresses(report));
  CHECK_FALSE(progresses(rank_ready{.rank = 0, .credit = {101, 0}}));
  CHECK(progresses(rank_ready{.rank = 0, .credit = {102, 0}})); // a credit that got lost
}

TEST_CASE("a step that stalled is no measure of how long steps take") {
  played_run run(two_ranks());
  run.now = 10.0;
  run.say_all_again();
  run.now = 20.0;
  run.work_through(0);
  CHECK(run.longest_step_seconds() == 0.0);
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    run.say(snapshot_kept{.rank = rank, .steps_done = 1});
  run.now = 21.0;
  run.work_through(1);
  CHECK(run.longest_step_seconds() == 1.0);
}

TEST_CASE("a run that computes for long is not told to stall before anything can have got lost") {
  played_run run(two_ranks());
  run.say_all_again();
  CHECK_FALSE(run.last<run_stalled>());
  run.say(rank_lost{.rank = 1, .cause = "it died"});
  run.say_all_again();
  CHECK(run.last<run_stalled>());
}

TEST_CASE("a poisoned step whose last good state the disk refuses ends the run all the same", "[poison]") {
  run_spec spec = two_ranks();
  spec.checkpoint.directory = "nowhere";
  spec.checkpoint.every =
      GENERATE(0U, 1U); // the state is asked for when the step is poisoned, or was after the step before
  played_run run(spec);
  run.work_through(0);
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    run.say(snapshot_kept{.rank = rank, .steps_done = 1});
  const checkpoint_failed refused{.steps_done = 1, .reason = "the disk is full"};
  if (spec.checkpoint.every == 1)
    run.say(refused);
  run.say(loss_message{.rank = 1, .at = {1}, .microbatch = 0, .loss = std::numeric_limits<double>::quiet_NaN()});
  run.work_through(1);
  if (spec.checkpoint.every == 0) {
    REQUIRE(run.decision_on(1));
    REQUIRE(run.decision_on(1)->verdict == step_verdict::give_up);
    run.say(refused);
  }
  REQUIRE(run.last<failure_message>());
  const std::string text = run.last<failure_message>()->text;
  CHECK_THAT(text, Contains("found a loss of nan"));
  // The run went on after the one that was due; of the other one the line that ends it says so.
  const bool went_on = spec.checkpoint.every == 1;
  CHECK(text.ends_with("; the checkpoint after step 1 failed: the disk is full") == !went_on);
  CHECK(run.last<checkpoint_failed>().has_value() == went_on);
  CHECK_FALSE(run.last<checkpoint_failed>().value_or(checkpoint_failed{}).run_ends);
}

TEST_CASE("a checkpoint that fails when its run has been given up is told as one of a run that ends") {
  run_spec spec = two_ranks();
  spec.checkpoint.directory = "nowhere";
  spec.checkpoint.every = 1;
  spec.faults.max_restarts = 0;
  played_run run(spec);
  run.work_through(0);
  run.say(rank_lost{.rank = 0, .cause = "it was killed"});
  REQUIRE(run.last<run_given_up>());
  run.say(checkpoint_failed{.steps_done = 1, .reason = "the disk is full"});
  REQUIRE(run.last<checkpoint_failed>());
  CHECK(run.last<checkpoint_failed>()->reason == "the disk is full");
  CHECK(run.last<checkpoint_failed>()->run_ends);
}

TEST_CASE("a stall is told with its step and how long nothing had come") {
  played_run run(losing_ranks());
  run.work_through(0);
  CHECK_FALSE(run.last<run_stalled>());
  run.say_all_again();
  REQUIRE(run.last<run_stalled>());
  CHECK(run.last<run_stalled>()->step == 1);
  CHECK(run.last<run_stalled>()->seconds == 0.5);
}

TEST_CASE("a run whose ranks are not all there yet has not stalled") {
  const run_spec spec = losing_ranks();
  const plan pipeline = make_plan(spec, find_family(spec.model.family));
  const made_up_data data(spec);
  step_coordinator coordinator({&spec, &pipeline, &data, 0, [] { return 0.0; }});
  coordinator.accept(rank_ready{.rank = 0, .credit = {100, 100}});
  const coordinator_outputs said = coordinator.send_all_again(0.5);
  CHECK_FALSE(said.empty());
  CHECK(std::ranges::none_of(said,
                             [](const coordinator_output& one) { return std::holds_alternative<run_stalled>(one); }));
}

TEST_CASE("a generation that was forgotten in a stall is the recovery line once all its snapshots are kept") {
  played_run run(two_ranks());
  run.work_through(0);
  run.say_all_again();
  run.work_through(1);
  REQUIRE(run.decision_on(1)->snapshot == take_snapshot::to_keep);
  run.say(snapshot_kept{.rank = 0, .steps_done = 1});
  run.say(snapshot_kept{.rank = 0, .steps_done = 2});
  CHECK(run.recovery_line() == 0);
  run.say(snapshot_kept{.rank = 1, .steps_done = 1});
  CHECK(run.recovery_line() == 1);
  run.say(snapshot_kept{.rank = 1, .steps_done = 2});
  CHECK(run.recovery_line() == 2);
}

TEST_CASE("what a rank has used is what it said last of it, in whatever order the reports of joined steps come") {
  run_spec spec = two_ranks();
  spec.pipeline.schedule = "pipedream";
  spec.training.steps = 2;
  played_run run(spec);
  for (std::uint64_t step = 0; step < 2; ++step)
    for (std::uint32_t microbatch = 0; microbatch < spec.training.microbatches; ++microbatch)
      run.say(loss_message{.rank = 1, .at = {step}, .microbatch = microbatch, .loss = 1.0});
  for (const std::uint64_t step : {1U, 0U})
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      run.say(step_report{
          .rank = rank, .at = {step}, .squares = {{rank, {1.0}}}, .usage = {.forward_passes = 4 * (step + 1)}});
  for (std::uint32_t rank = 0; rank < 2; ++rank)
    run.say(digest_report{.rank = rank, .source_incarnation = 1, .layers = {}, .second_copy = {}});
  REQUIRE(run.last<run_closed>());
  CHECK(run.last<run_closed>()->usage[0].forward_passes == 8);
}

TEST_CASE("a step in which the scheduler died is no measure of how long steps take") {
  played_run run(two_ranks());
  run.follow();
  run.now = 20.0;
  run.work_through(0);
  REQUIRE(run.decision_on(0));
  CHECK(run.longest_step_seconds() == 0.0);
}
