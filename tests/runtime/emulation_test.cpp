// Emulated passes: what they are told to take, and that they take it, by a clock that the test moves.
#include "model/error.hpp"
#include "runtime/emulated_family.hpp"
#include "runtime/emulation.hpp"
#include "runtime/plan.hpp"
#include "runtime/stage_runner.hpp"
#include "runtime/start_delay.hpp"
#include "runtime/timer_aim.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <functional>
#include <set>
#include <string>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr const char* field = "pipeline.emulate";

void refuse(const std::string& text, const std::string& message) {
  INFO(text);
  CHECK_THROWS_AS(parse_emulation(text, field), spec_error);
  CHECK_THROWS_WITH(parse_emulation(text, field), std::string(field) + ": " + message);
}

/// The middle rank of three, its passes emulated, with a clock that stands where the test puts it.
struct emulated_rank {
  explicit emulated_rank(const std::string& times, const std::function<void(run_spec&)>& change = {},
                         double patience = 0.0) {
    if (change)
      change(spec);
    spec.pipeline.stages = 3;
    spec.pipeline.emulate = times;
    spec.validation.every = 0;
    pipeline = make_plan(spec, family);
    runner.emplace(rank_setup{&spec, &family, &pipeline, nullptr, 1, {}, [this] { return now; }, patience});
    runner->accept(step_opening{1, {0, pass_mode::train}});
    CHECK(runner->run_next().empty()); // the step begins
  }
  void return_gradient(std::uint32_t microbatch) {
    runner->accept(gradient_message{
        {2, 1, 1, 1}, {0, pass_mode::train}, 1, microbatch, pool.make(family.activation_shape(spec.model, 2))});
  }
  /// Begins what is due and ends it `seconds` later.
  void run_for(double seconds) {
    REQUIRE(runner->can_run());
    runner->run_next();
    now += seconds;
    runner->run_next();
  }
  void arrive(std::uint32_t microbatch) {
    runner->accept(activation_message{
        {0, 1, 1, 1}, {0, pass_mode::train}, 1, microbatch, pool.make(family.activation_shape(spec.model, 2))});
  }

  run_spec spec = tiny_spec();
  emulated_family family{find_family("gpt")};
  plan pipeline;
  tensor_pool pool;
  double now = 10.0;
  std::optional<stage_runner> runner;
};

} // namespace

TEST_CASE("emulated times are seconds, and B takes what I and W take", "[emulation]") {
  const emulation read = parse_emulation("f=1ms/2ms,i=20ms,w=300us", field);
  CHECK(read.jitter == 0.0);
  CHECK(read.seconds({0, operation::forward, 3}, 1, 0) == Approx(1e-3));
  CHECK(read.seconds({1, operation::forward, 3}, 1, 0) == Approx(2e-3));
  CHECK(read.seconds({1, operation::backward_input, 3}, 1, 0) == Approx(20e-3));
  CHECK(read.seconds({1, operation::backward_weight, 3}, 1, 0) == Approx(0.3e-3));
  CHECK(read.seconds({1, operation::backward, 3}, 1, 0) == Approx(20.3e-3));
}

TEST_CASE("jitter stays within its bounds, fills them, and follows from seed, step and action alone", "[emulation]") {
  const emulation read = parse_emulation("jitter=0.25,f=1s,i=1s,w=1s", field);
  std::set<double> seen;
  double sum = 0.0;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (std::uint64_t step = 0; step < 4; ++step)
      for (std::uint32_t stage = 0; stage < 4; ++stage)
        for (const operation op : {operation::forward, operation::backward_input, operation::backward_weight})
          for (std::uint32_t microbatch = 0; microbatch < 4; ++microbatch) {
            const double seconds = read.seconds({stage, op, microbatch}, seed, step);
            CHECK(seconds == read.seconds({stage, op, microbatch}, seed, step));
            seen.insert(seconds);
            sum += seconds;
          }
  CHECK(seen.size() == std::size_t{4} * 4 * 4 * 3 * 4); // no two the same
  CHECK(*seen.begin() >= 0.75);
  CHECK(*seen.begin() < 0.76);
  CHECK(*seen.rbegin() <= 1.25);
  CHECK(*seen.rbegin() > 1.24);
  CHECK(sum / static_cast<double>(seen.size()) == Approx(1.0).margin(0.02));
}

TEST_CASE("some passes are held up: as many as asked for, each by the factor, the others not at all", "[emulation]") {
  const emulation read = parse_emulation("slow=0.1x5,f=1s,i=1s,w=1s", field);
  std::size_t slow = 0;
  constexpr std::uint32_t count = 5000;
  for (std::uint32_t microbatch = 0; microbatch < count; ++microbatch) {
    const double seconds = read.seconds({1, operation::forward, microbatch}, 7, 3);
    REQUIRE((seconds == 1.0 || seconds == 5.0));
    slow += seconds == 5.0 ? 1 : 0;
  }
  CHECK(slow > count / 10 - 100); // a standard deviation is 21
  CHECK(slow < count / 10 + 100);
  for (const std::string term : {"slow=0.1", "slow=x5", "slow=1.1x2", "slow=0.1x0.5", "slow=0.1x2000", "slow=0.1x2x3"})
    refuse("f=1s,i=1s,w=1s," + term, "found '" + term +
                                         "', expected a part of all passes from 0 to 1, and from 1 to 1000 times "
                                         "as long, as in slow=0.05x6");
}

TEST_CASE("times without units, communication and jitter that could stop a pass are refused", "[emulation]") {
  refuse("f=1,i=1,w=1", "found 'f=1,i=1,w=1', expected times with units, as in f=10ms,i=10ms,w=10ms");
  refuse("jitter=0.5", "found 'jitter=0.5', expected times with units, as in f=10ms,i=10ms,w=10ms");
  refuse("f=1ms", "found no i=, expected f=, i= and w=, since times have units");
  for (const std::string term : {"comm=1ms", "opt=1ms", "stash=1", "bandwidth=5", "out=3"})
    refuse("f=1ms,i=1ms,w=1ms," + term,
           "found 'f=1ms,i=1ms,w=1ms," + term +
               "', expected just f=, i=, w=, jitter= and slow=, as all but passes is real");
  for (const std::string term : {"jitter=1", "jitter=-0.1", "jitter=", "jitter=x", "jitter=0.1ms", "jitter=nan"})
    refuse("f=1ms,i=1ms,w=1ms," + term,
           "found '" + term + "', expected a number from 0 to 1, itself excluded, as in jitter=0.3");
  refuse("f=1ms,z=1", "found 'z=1', expected f=, i=, w=, opt= or comm= and a time, or bandwidth=, weights=, stash= or "
                      "out= and a size");
}

TEST_CASE("a list of times must have one for each stage of the schedule", "[emulation]") {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.pipeline.schedule = "zb-v";
  spec.pipeline.emulate = "f=1ms/1ms/1ms/2ms,i=1ms,w=1ms";
  CHECK_NOTHROW(make_plan(spec, find_family("gpt")));
  spec.pipeline.emulate = "f=1ms/2ms,i=1ms,w=1ms";
  CHECK_THROWS_WITH(make_plan(spec, find_family("gpt")),
                    "pipeline.emulate: found a list of 2 times, expected one time or 4, one for each stage");
}

TEST_CASE("an emulated model has the real one's layers and activations, no parameters, and a loss of 0",
          "[emulation]") {
  const model_spec spec = tiny_spec().model;
  const model_family& real = find_family("gpt");
  const emulated_family family(real);
  tensor_pool pool;
  pass_context at{.sequences = 3, .sequence_length = spec.sequence_length, .pool = &pool};
  REQUIRE(family.layer_count(spec) == real.layer_count(spec));
  const shape activations = real.activation_shape(spec, 3);
  for (std::int64_t index = 0; index < family.layer_count(spec); ++index) {
    const bool first = index == 0;
    const bool last = index + 1 == family.layer_count(spec);
    const layer_ptr one = family.make_layer(spec, index);
    CHECK(parameters_of(*one).empty());
    stash kept;
    CHECK(one->forward({}, kept, at).extents() == (last ? shape() : activations));
    CHECK(kept.loss == 0.0);
    CHECK(kept.bytes() == 0);
    CHECK(one->backward_input({}, kept, at).extents() == (first ? shape() : activations));
  }
}

TEST_CASE("an emulated pass gives its result when its time is over, and the rank begins nothing else meanwhile",
          "[emulation]") {
  emulated_rank rank("f=2s,i=3s,w=4s");
  CHECK_FALSE(rank.runner->can_run());
  rank.arrive(0);
  REQUIRE(rank.runner->can_run());
  CHECK_FALSE(rank.runner->wake_at());
  CHECK(rank.runner->run_next().empty()); // F0 begins
  CHECK(rank.runner->wake_at() == 12.0);
  rank.arrive(1); // is taken in meanwhile
  CHECK(rank.runner->wake_at() == 12.0);
  CHECK(rank.runner->usage().busy_seconds == 0.0);
  rank.now = 12.0;
  const rank_outputs out = rank.runner->run_next();
  REQUIRE(out.size() == 1);
  const auto& sent = std::get<activation_message>(out.front());
  CHECK(sent.microbatch == 0);
  CHECK(sent.stage == 2);
  CHECK(sent.values.extents() == rank.family.activation_shape(rank.spec.model, 2));
  CHECK(rank.runner->usage().busy_seconds == 2.0);
  CHECK_FALSE(rank.runner->wake_at());
  REQUIRE(rank.runner->can_run());
  CHECK(rank.runner->run_next().empty()); // F1 begins at 12
  CHECK(rank.runner->wake_at().value() == Approx(14.0));
}

TEST_CASE("an emulated B takes I's and W's time together", "[emulation]") {
  emulated_rank rank("f=2s,i=3s,w=4s");
  for (std::uint32_t microbatch = 0; microbatch < 2; ++microbatch) { // 1f1b: rank 1 of 3 warms up with F0, F1
    rank.arrive(microbatch);
    rank.runner->run_next();
    rank.now += 2.0;
    rank.runner->run_next();
  }
  CHECK_FALSE(rank.runner->can_run());
  rank.runner->accept(gradient_message{
      {2, 1, 1, 1}, {0, pass_mode::train}, 1, 0, rank.pool.make(rank.family.activation_shape(rank.spec.model, 2))});
  rank.runner->run_next();
  CHECK(rank.runner->wake_at().value() == Approx(rank.now + 7.0));
}

TEST_CASE("a reactive rank waits for its next action a part of the time that another one would take", "[emulation]") {
  emulated_rank rank(
      "f=2s,i=4s,w=4s",
      [](run_spec& spec) {
        spec.pipeline.schedule = "gpipe"; // F0 F1 F2 F3 B0 ..
        spec.pipeline.dispatch = dispatch_mode::reactive;
      },
      0.25);
  rank.arrive(0);
  rank.run_for(2.0);
  rank.return_gradient(0);
  CHECK_FALSE(rank.runner->patience_ends());
  rank.run_for(8.0); // B0 before F1: it has no usual time yet
  rank.arrive(1);
  rank.run_for(2.0);
  CHECK_FALSE(rank.runner->patience_ends()); // nothing to run, however long it waits
  rank.return_gradient(1);
  CHECK_FALSE(rank.runner->can_run()); // F2 may come any moment
  REQUIRE(rank.runner->patience_ends());
  CHECK(*rank.runner->patience_ends() == Approx(rank.now + 0.25 * 8.0));
  rank.now += 0.125 * 8.0;
  CHECK_FALSE(rank.runner->can_run());
  rank.now += 0.25 * 8.0;
  CHECK(rank.runner->can_run()); // B1
  CHECK_FALSE(rank.runner->patience_ends());
  rank.arrive(2);
  rank.run_for(2.0); // F2 came first after all
  CHECK(rank.runner->usage().busy_seconds == Approx(14.0));
}

TEST_CASE("an action that may overtake still may when another one becomes ready that may not yet", "[emulation]") {
  emulated_rank rank(
      "f=2s,i=4s,w=4s",
      [](run_spec& spec) {
        spec.pipeline.schedule = "zb-h1"; // F0 F1 I0 F2 I1 W0 ..
        spec.pipeline.dispatch = dispatch_mode::reactive;
      },
      0.25);
  rank.arrive(0);
  rank.run_for(2.0);
  rank.arrive(1);
  rank.run_for(2.0);
  rank.return_gradient(0);
  rank.run_for(4.0);
  REQUIRE(rank.runner->can_run()); // W0, which has no usual time yet
  rank.return_gradient(1);         // I1 stands before it, and has one
  REQUIRE(rank.runner->can_run());
  rank.run_for(4.0);
}

TEST_CASE("a timer that is late each time is aimed earlier, and one great lateness counts little", "[emulation]") {
  timer_aim aim;
  double now = 0.0;
  double error = 0.0;
  for (int round = 0; round < 100; ++round) {
    const double moment = now + 1e-2;
    now = aim.aim_at(moment) + (round == 90 ? 5e-3 : 60e-6); // when the timer rings
    error = now - moment;
    aim.woke(now);
  }
  CHECK(std::abs(error) < 5e-6);
  timer_aim exact;
  CHECK(exact.aim_at(3.0) == 3.0);
  exact.woke(3.0);
  CHECK(exact.aim_at(4.0) == 4.0);
  exact.woke(3.5); // early: not aimed later than the moment
  CHECK(exact.aim_at(5.0) == 5.0);
}

TEST_CASE("the start delay is from the moment at which rank and input were there", "[emulation]") {
  const action_slice f0{{0, operation::forward, 0}, 1.0, 2.0};  // follows nothing: left out
  const action_slice f1{{0, operation::forward, 1}, 2.5, 3.0};  // 0.5 after the rank was free
  const action_slice g0{{1, operation::forward, 0}, 2.25, 4.0}; // 0.25 after F0 of stage 0
  const action_slice g1{{1, operation::forward, 1}, 4.75, 5.0}; // 0.75 after the rank was free; input since 3
  const action_slice i1{{1, operation::backward_input, 1}, 5.0, 6.0};
  const action_slice w1{{1, operation::backward_weight, 1}, 6.0, 7.0};
  const action_slice b1{{0, operation::backward, 1}, 6.5, 8.0}; // 0.5 after I1 of stage 1
  const step_id at;
  CHECK(mean_start_delay({{0, at, {f0, f1, b1}}, {1, at, {g0, g1, i1, w1}}}, 2) ==
        Approx((0.5 + 0.25 + 0.75 + 0.0 + 0.0 + 0.5) / 6));
  CHECK(mean_start_delay({{0, at, {f0}}}, 1) == 0.0);
}
