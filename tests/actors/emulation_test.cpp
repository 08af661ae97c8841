// Runs whose passes are emulated: real actors, messages and schedules, with waits for passes.
#include "actors/run.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

TEST_CASE("alarms ring in the order of their moments, not of their being asked for", "[actors][emulation]") {
  std::vector<int> rung;
  std::promise<void> asked;
  std::promise<void> all;
  const auto past = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  alarm_clock clock;
  clock.ring_at(past, [&] { asked.get_future().wait(); }); // nothing else rings before all are asked for
  for (const int what : {3, 1, 2})
    clock.ring_at(past + std::chrono::milliseconds(what), [&, what] {
      rung.push_back(what);
      if (what == 3)
        all.set_value();
    });
  asked.set_value();
  all.get_future().wait();
  CHECK(rung == std::vector<int>{1, 2, 3});
}

TEST_CASE("an alarm that is due before all others wakes a clock that waits for these", "[actors][emulation]") {
  const auto now = std::chrono::steady_clock::now();
  std::promise<void> rang;
  alarm_clock clock;
  clock.ring_at(now + std::chrono::hours(1), [] {});
  clock.ring_at(now + std::chrono::milliseconds(1), [&] { rang.set_value(); });
  rang.get_future().wait(); // else this takes an hour
}

TEST_CASE("an alarm never rings before its moment, and one that is past rings", "[actors][emulation]") {
  std::promise<std::chrono::steady_clock::time_point> rang;
  alarm_clock clock;
  const auto moment = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
  clock.ring_at(moment, [&] { rang.set_value(std::chrono::steady_clock::now()); });
  CHECK(rang.get_future().get() >= moment);
  std::promise<void> past;
  clock.ring_at(moment, [&] { past.set_value(); });
  past.get_future().wait();
}

TEST_CASE("a clock that ends keeps nobody waiting for its alarms", "[actors][emulation]") {
  bool rung = false;
  {
    alarm_clock clock;
    clock.ring_at(std::chrono::steady_clock::now() + std::chrono::hours(1), [&] { rung = true; });
  }
  CHECK_FALSE(rung);
}

TEST_CASE("an emulated run goes through every schedule, with nothing computed and each rank as if on a machine",
          "[actors][emulation]") {
  run_spec spec = tiny_spec();
  spec.model.layers = 6;
  spec.validation.every = 0;
  spec.pipeline.stages = 4;
  spec.training.microbatches = 8;
  spec.pipeline.emulate = "f=200us,i=200us,w=200us,jitter=0.5";
  for (const std::string& schedule : schedule_names())
    for (const dispatch_mode dispatch : {dispatch_mode::fixed, dispatch_mode::reactive}) {
      const bool waits = !schedule.starts_with("pipedream"); // the asynchronous ones know no clipping and no tied head
      if (!waits && dispatch == dispatch_mode::reactive)
        continue;
      spec.model.tied_head = waits; // has no weights to send around
      spec.optimizer.clip = waits ? 0.05 : 0.0;
      spec.pipeline.schedule = schedule;
      spec.pipeline.dispatch = dispatch;
      INFO(schedule);
      const run_report report = run_pipeline(spec, made_up_data(spec), {});
      CHECK(report.losses == std::vector<double>(3, 0.0));
      CHECK(report.model_flops_per_second == 0.0);
      REQUIRE(report.ranks.size() == 4);
      const std::vector<std::uint32_t> peaks = make_plan(spec, find_family("gpt")).facts.peak_by_rank;
      for (std::uint32_t rank = 0; rank < 4; ++rank) {
        CHECK(report.ranks[rank].usage.peak_stash_microbatches <= peaks[rank]);
        CHECK(report.ranks[rank].usage.peak_stash_bytes == 0);
        CHECK(report.ranks[rank].usage.busy_seconds > 0.0);
      }
      REQUIRE(report.span_seconds);
      CHECK(report.runtime_seconds_per_action.value() > 0.0);
      CHECK(report.runtime_seconds_per_action.value() < *report.span_seconds);
    }
}

TEST_CASE("only an emulated run tells the runtime's time per action", "[actors][emulation]") {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  const run_report report = run_pipeline(spec, made_up_data(spec), {});
  CHECK(report.span_seconds.value() > 0.0);
  CHECK_FALSE(report.runtime_seconds_per_action);
}

TEST_CASE("a rank that fails ends an emulated run with its message", "[actors][emulation]") {
  struct broken_data : made_up_data {
    using made_up_data::made_up_data;
    microbatch_data sample(const step_id& at, std::uint32_t microbatch) const override {
      if (at.step == 1)
        return {std::make_shared<std::vector<std::int32_t>>(), std::make_shared<std::vector<std::int32_t>>()};
      return made_up_data::sample(at, microbatch);
    }
  };
  run_spec spec = tiny_spec();
  spec.validation.every = 0;
  spec.pipeline.stages = 3;
  spec.pipeline.emulate = "f=1ms,i=1ms,w=1ms";
  CHECK_THROWS_AS(run_pipeline(spec, broken_data(spec), {}), protocol_error);
}
