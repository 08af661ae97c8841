#include "tests/support/any_message.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/random_schedule.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <optional>
#include <random>

using namespace troupe;
using namespace troupe::test;

namespace {

/// A plan of a schedule, with stages of 1, 2, 1, 2, .. layers.
plan plan_of(const schedule& order) {
  plan made;
  made.order = order;
  made.facts = check_schedule(order);
  made.gradient_groups = order.copies();
  std::int64_t first = 0;
  for (std::uint32_t stage = 0; stage < order.stages(); ++stage) {
    made.stages.push_back({first, first + 1 + stage % 2});
    first = made.stages.back().last;
  }
  return made;
}

assignment assignment_of(const plan& pipeline) {
  assignment made{.run = {1, 2, 3, 255},
                  .worker = 1,
                  .where = {.version = 7,
                            .workers = {{"localhost:4000", {}}, {"[::1]:5", {}, worker_standing::joining}},
                            .ranks = {}},
                  .pipeline = pipeline,
                  .peer_timeout_seconds = 2.5,
                  .checkpoints = checkpoint_route::coordinator,
                  .resume_directory = "/a/b c",
                  .steps_done = 77,
                  .resume_through_coordinator = true,
                  .key = {.result = {1, 2}, .shape = {3, 255}},
                  .from_held = true};
  for (std::uint32_t rank = pipeline.ranks(); rank-- > 0;) {
    made.where.workers[rank % 2].ranks.push_back(rank);
    made.where.ranks.push_back({rank + 1, rank % 2});
  }
  made.spec.training.microbatches = pipeline.order.microbatches;
  made.spec.optimizer.learning_rate = 0.1 + 1e-17;
  made.spec.data.path = "text.bin";
  return made;
}

assignment small_assignment() {
  return assignment_of(plan_of(generate_schedule({"1f1b", 2, 4, 1})));
}

assignment through(const assignment& sent) {
  const auto read = read_all(bytes_of({sent}), limits_before_assignment);
  REQUIRE(read.size() == 1);
  return std::get<assignment>(read.front());
}

std::string refusal_of(const assignment& sent) {
  return error_text<protocol_error>([&] { read_all(bytes_of({sent}), limits_before_assignment); });
}

bool same_plan(const plan& a, const plan& b) {
  return a.order == b.order && a.facts.peak_by_stage == b.facts.peak_by_stage &&
         a.facts.peak_by_rank == b.facts.peak_by_rank && a.facts.activations_by_rank == b.facts.activations_by_rank &&
         a.facts.canonical == b.facts.canonical && a.facts.versions_by_rank == b.facts.versions_by_rank &&
         a.gradient_groups == b.gradient_groups && a.stages == b.stages && a.notes.bookkeeping == b.notes.bookkeeping;
}

std::optional<schedule> generated(const schedule_request& request) {
  try {
    return generate_schedule(request);
  } catch (const spec_error&) {
    return std::nullopt; // sizes that this schedule cannot use
  }
}

} // namespace

TEST_CASE("an assignment arrives with every field as it was sent") {
  const assignment sent = small_assignment();
  const assignment got = through(sent);
  CHECK(got.run == sent.run);
  CHECK(got.worker == 1);
  CHECK(got.where == sent.where);
  CHECK(got.spec == sent.spec);
  CHECK(same_plan(got.pipeline, sent.pipeline));
  CHECK(got.peer_timeout_seconds == 2.5);
  CHECK(got.checkpoints == checkpoint_route::coordinator);
  CHECK(got.resume_directory == "/a/b c");
  CHECK(got.steps_done == 77);
  CHECK(got.resume_through_coordinator);
  CHECK(got.key == sent.key);
  CHECK(got.from_held);
}

TEST_CASE("the plan of every schedule arrives exactly") {
  for (const std::string& name : schedule_names()) {
    int plans = 0;
    for (const std::uint32_t ranks : {1U, 2U, 3U, 4U})
      for (const std::uint32_t microbatches : {1U, 4U, 5U, 8U})
        for (const std::uint32_t chunks : {0U, 3U})
          if (const auto order =
                  generated({.name = name, .ranks = ranks, .microbatches = microbatches, .chunks = chunks})) {
            CAPTURE(name, ranks, microbatches, chunks);
            const plan sent = plan_of(*order);
            REQUIRE(same_plan(through(assignment_of(sent)).pipeline, sent));
            ++plans;
          }
    CAPTURE(name);
    CHECK(plans > 2);
  }
}

TEST_CASE("the plan of a schedule that nobody's rule made arrives exactly") {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const plan sent = plan_of(random_schedule(random));
    REQUIRE(same_plan(through(assignment_of(sent)).pipeline, sent));
  }
}

TEST_CASE("a plan of many thousand actions arrives exactly") {
  const plan sent = plan_of(generate_schedule({"zb-h1", 16, 600, 1}));
  CHECK(bytes_of({assignment_of(sent)}).size() > 64 << 10);
  CHECK(same_plan(through(assignment_of(sent)).pipeline, sent));
}

TEST_CASE("peaks that were raised stay so, peaks below the schedule's own are refused") {
  run_spec spec;
  spec.pipeline.stages = 3;
  spec.pipeline.dispatch = dispatch_mode::reactive;
  spec.pipeline.memory_limit = 6;
  spec.training.microbatches = 8;
  assignment sent = assignment_of(make_plan(spec, find_family(spec.model.family)));
  const schedule_facts own = check_schedule(sent.pipeline.order);
  REQUIRE(sent.pipeline.facts.peak_by_rank.front() == 6);
  REQUIRE(sent.pipeline.facts.peak_by_rank != own.peak_by_rank);
  REQUIRE(sent.pipeline.facts.peak_by_stage != own.peak_by_stage);
  CHECK(same_plan(through(sent).pipeline, sent.pipeline));

  sent.pipeline.facts = own;
  sent.pipeline.facts.peak_by_rank[1] = 1;
  CHECK(refusal_of(sent) == "assignment: found a peak of 1 on rank 1, expected at least 2");
  sent.pipeline.facts = own;
  sent.pipeline.facts.peak_by_stage[0] = 0;
  CHECK(refusal_of(sent) == "assignment: found a peak of 0 on stage 0, expected at least 3");
  sent.pipeline.facts = own;
  sent.pipeline.facts.peak_by_rank.push_back(9);
  CHECK(refusal_of(sent) == "assignment: found 4 peaks, expected 3, one a rank");
}

TEST_CASE("a schedule that cannot run is refused by what is wrong with it") {
  const auto refused = [](auto&& spoil) {
    assignment sent = small_assignment();
    spoil(sent.pipeline.order);
    return refusal_of(sent);
  };
  CHECK(refused([](schedule& order) {
          std::swap(order.actions[0].front(), order.actions[0].back());
        }).find("assignment: schedule '1f1b': rank 0 waits at ") == 0);
  CHECK(refused([](schedule& order) { order.actions.pop_back(); }) ==
        "assignment: schedule '1f1b': found 1 lists of actions, expected 2, one a rank");
  CHECK(refused([](schedule& order) { order.ranks = 4'000'000'000; }) ==
        "assignment: schedule '1f1b': found 2 lists of actions, expected 4000000000, one a rank");
  CHECK(refused([](schedule& order) { order.microbatches = 4'000'000'000; }).find("lacks") != std::string::npos);
  CHECK(refused([](schedule& order) { order.placements.clear(); }).find("found 2 ranks, 0 stages") !=
        std::string::npos);
  CHECK(refused([](schedule& order) { order.placements[0][1] = 7; }).find("found stage 1 on rank 7") !=
        std::string::npos);
  CHECK(refused([](schedule& order) {
          order.placements.resize(3, {0, 1});
        }).find("found 3 copies") != std::string::npos);
  CHECK(refused([](schedule& order) {
          order.overlapped = {{4'000'000'000}, {}};
        }).find("overlapped pair at place 4000000000") != std::string::npos);
  CHECK(refused([](schedule& order) { order.actions[1][0].stage = 9; }).find("expected a stage below 2") !=
        std::string::npos);
  CHECK(refused([](schedule& order) {
          order.asynchronous = asynchrony{.update_every = 0, .lag = {}, .ahead = {}};
        }).find("assignment: schedule '1f1b': ") == 0);
  CHECK(refused([](schedule& order) { order.name = std::string(5000, 'n'); }) ==
        "assignment: found a schedule's name of 5000 bytes, expected at most 4096");
}

TEST_CASE("an assignment that contradicts itself is refused") {
  const auto refused = [](auto&& spoil) {
    assignment sent = small_assignment();
    spoil(sent);
    return refusal_of(sent);
  };
  CHECK(refused([](assignment&) {}).empty());
  CHECK(refused([](assignment& one) { one.worker = 2; }) == "assignment: found worker 2, expected one below 2");
  CHECK(refused([](assignment& one) { one.where.workers[0].ranks = {}; }) ==
        "placement: found no worker for rank 0, expected one");
  CHECK(refused([](assignment& one) {
          one.where.workers[0].ranks = {0, 1};
        }) == "placement: found rank 1 on worker 1, expected each of 2 ranks once");
  CHECK(refused([](assignment& one) {
          one.where.workers[0].ranks = {0, 2};
        }) == "placement: found rank 2 on worker 0, expected each of 2 ranks once");
  CHECK(refused([](assignment& one) { one.spec.training.microbatches = 5; }) ==
        "assignment: found a schedule of 4 microbatches, expected 5, as training.microbatches says");
  CHECK(refused([](assignment& one) { one.spec.training.gradient_groups = 2; }) ==
        "assignment: found 1 groups of gradients, expected 2, as training.gradient_groups says");
  CHECK(refused([](assignment& one) { one.pipeline.gradient_groups = 0; }) ==
        "assignment: found 0 groups of gradients, expected a number that divides 4 microbatches");
  CHECK(refused([](assignment& one) { one.pipeline.stages.pop_back(); }) ==
        "assignment: found layers of 1 stages, expected those of 2");
  CHECK(refused([](assignment& one) {
          one.pipeline.stages[1] = {1, 1};
        }) == "assignment: found no layers on stage 1, expected at least one");
  CHECK(refused([](assignment& one) { one.peer_timeout_seconds = -1.0; }).find("found a peer timeout of -1 seconds") !=
        std::string::npos);
  CHECK(refused([](assignment& one) { one.checkpoints = static_cast<checkpoint_route>(2); }) ==
        "wire: found 2 as checkpoint route, expected 0 to 1");
}

TEST_CASE("a run spec with text that is not UTF-8 is refused by the writer") {
  assignment sent = small_assignment();
  sent.spec.data.path = "caf\xe9.bin";
  frame_writer writer;
  CHECK(error_text<spec_error>([&] { writer.put(sent); }) ==
        "run spec: found a text that is not UTF-8, expected UTF-8, as it is sent to other processes");
  CHECK(writer.empty());
}

TEST_CASE("before the hello no assignment of any size is read, and before a run no tensor") {
  plan large = plan_of(generate_schedule({"gpipe", 16, 4000, 1}));
  CHECK(error_text<protocol_error>([&] {
          read_all(bytes_of({assignment_of(large)}), limits_before_hello);
        }).find("wire: found a message with a record of ") == 0);
  tensor_pool pool;
  CHECK(error_text<protocol_error>([&] {
          read_all(bytes_of({carrying<tied_value_message>(pool.make_filled({1}, 0.0F))}), limits_before_assignment);
        }) == "wire: found a message with 4 bytes of tensors, expected at most 0");
}
