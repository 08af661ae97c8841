// How the scheduler begins a run whose state is no checkpoint's. The ranks are played by the test.
#include "runtime/step_coordinator.hpp"
#include "tests/support/tiny_run.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <optional>
#include <variant>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::uint64_t held_steps = 4;

/// A run of two ranks that goes on after held_steps, and what its scheduler has opened first.
class resumed_run {
public:
  explicit resumed_run(const run_spec& spec, bool from_held)
      : spec_(spec), pipeline_(make_plan(spec_, find_family(spec_.model.family))), data_(spec_) {
    coordinator_.emplace(coordinator_setup{.spec = &spec_,
                                           .pipeline = &pipeline_,
                                           .data = &data_,
                                           .steps_done = held_steps,
                                           .clock = [] { return 0.0; },
                                           .from_held = from_held});
    for (std::uint32_t rank = 0; rank < 2; ++rank)
      for (const coordinator_output& one :
           coordinator_->accept(rank_ready{.rank = rank, .credit = {100, 100}, .steps_done = held_steps}))
        if (const auto* const order = std::get_if<rank_order>(&one); order && !opened_)
          if (const auto* const opening = std::get_if<step_opening>(&order->what))
            opened_ = opening->at;
  }

  step_coordinator& coordinator() { return *coordinator_; }
  std::optional<step_id> opened() const { return opened_; }

private:
  run_spec spec_;
  plan pipeline_;
  made_up_data data_;
  std::optional<step_coordinator> coordinator_;
  std::optional<step_id> opened_;
};

run_spec due_after(std::uint64_t every) {
  run_spec spec = tiny_spec();
  spec.pipeline.stages = 2;
  spec.training.steps = 10;
  spec.checkpoint.directory = "run";
  spec.checkpoint.every = every;
  spec.validation.every = every;
  return spec;
}

bool next_life_saves(step_coordinator& coordinator) {
  for (const coordinator_output& one : coordinator.accept(rank_lost{.rank = 1, .cause = "it was killed"}))
    if (const auto* const order = std::get_if<restart_order>(&one))
      return order->birth.save_again;
  return false;
}

} // namespace

TEST_CASE("what is due after the steps that workers have held is done before the next step") {
  resumed_run run(due_after(2), true);
  CHECK(run.opened() == step_id{held_steps - 1, pass_mode::evaluate});
  CHECK(run.coordinator().books().checkpoint_in_flight == held_steps);
  CHECK(next_life_saves(run.coordinator()));
  run.coordinator().accept(checkpoint_committed{.steps_done = held_steps, .generation = {}, .warning = {}});
  CHECK(run.coordinator().books().checkpoint_in_flight == 0);
  CHECK_FALSE(next_life_saves(run.coordinator()));
}

TEST_CASE("nothing is done before the next step where nothing is due, or where the run begins with a checkpoint") {
  for (const bool from_held : {true, false}) {
    resumed_run run(due_after(from_held ? 3 : 2), from_held);
    CHECK(run.opened() == step_id{held_steps, pass_mode::train});
    CHECK(run.coordinator().books().checkpoint_in_flight == 0);
    CHECK_FALSE(next_life_saves(run.coordinator()));
  }
}
