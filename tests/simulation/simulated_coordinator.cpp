#include "tests/simulation/simulated_coordinator.hpp"

#include "actors/run.hpp"
#include "actors/scheduler.hpp"
#include "actors/shell.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/recovery/run_log.hpp"

#include <filesystem>
#include <utility>

namespace troupe::test {

simulated_coordinator::simulated_coordinator(cluster& all, process_number who, setup how)
    : all_(all), who_(who), how_(std::move(how)), asked_(how_.spec) {
  how_.workers.outside = all_.around(who_);
  clock_ = [here = how_.workers.outside.clock, began = how_.workers.outside.clock()] { return here() - began; };
  options_.resume = how_.resume ? &*how_.resume : nullptr;
  if (how_.follows)
    options_.followed = asked_.checkpoint.directory;
  so_far_.first_step = options_.resume == nullptr ? 0 : options_.resume->steps_done();
  so_far_.resumed_from = options_.resume == nullptr ? "" : "checkpoint";
  now_ = options_;
  now_.so_far = &so_far_;
  attempt();
}

void simulated_coordinator::attempt() {
  at_ = stage::claiming;
  workers_.reset();
  lost_.reset();
  left_ = false;
  everyone_ = {};
  if (now_.resume != nullptr) // read through the coordinator it would be by a thread that waits
    how_.workers.checkpoints = checkpoint_route::shared;
  how_.workers.held = question_of(how_.spec, now_, how_.workers);
  setup_ = make_setup(asked_, how_.data, now_, how_.workers.processors);
  setup_->clock = clock_;
  setup_->log = log_;
  prepare_checkpoints(asked_);
  all_.within(who_, [this] {
    head_ = all_.system().spawn(coordinator, setup_, how_.workers, caf::actor_cast<observer>(all_.main_of(who_)));
  });
}

void simulated_coordinator::look() {
  all_.within(who_, [this] {
    hear();
    const bool ended = report_ || failure_ || lost_;
    if (ended && (at_ == stage::claiming || at_ == stage::running))
      ended_running_ = at_ == stage::running;
    if (at_ == stage::claiming && ended)
      leave();
    else if (at_ == stage::claiming && workers_)
      begin();
    else if (at_ == stage::running && ended)
      dismiss();
    else if (at_ == stage::ending && alive_ == 0)
      leave();
    if (at_ == stage::leaving && left_)
      settle();
  });
}

void simulated_coordinator::hear() {
  caf::scoped_actor& main = all_.main_of(who_);
  while (main->has_next_message())
    main->receive(
        [&](const run_finished& in) { report_ = *in.report; },
        [&](const failure_message& in) {
          if (!failure_)
            failure_ = in;
        },
        [&](const workers_ready& in) { workers_ = in; }, [&](const state_lost& in) { lost_ = in; },
        [&](const left_run&) { left_ = true; },
        [&](const caf::down_msg& in) {
          --alive_;
          if (everyone_.keeper.address() == in.source)
            left_ = true;
          if (!report_ && !failure_ && !lost_)
            failure_ = failure_message{error_kind::run, "an actor of the coordinator ended before the run did"};
        });
}

void simulated_coordinator::begin() {
  at_ = stage::running;
  if (workers_->held_steps)
    setup_ = begun_from_held(*setup_, *how_.data, *workers_->held_steps);
  if (returns_ > 0)
    before_.returns.back().to_step = setup_->first_step();
  const auto seen_by = caf::actor_cast<observer>(all_.main_of(who_));
  caf::actor_system& system = all_.system();
  everyone_ = spawn_sides(system, setup_, *workers_, how_.workers, head_, seen_by);
  scheduler_now_ = caf::actor_cast<caf::actor>(everyone_.scheduler);
  const auto seen = std::make_shared<const company>(everyone_);
  for (const caf::actor& member :
       {caf::actor_cast<caf::actor>(everyone_.recorder), caf::actor_cast<caf::actor>(everyone_.store), head_})
    all_.main_of(who_)->monitor(member);
  alive_ = 3;
  tell(everyone_.recorder, introduction{seen});
  tell(everyone_.store, introduction{seen});
  tell(everyone_.scheduler, introduction{seen});
  tell(head_, begin_run{seen, [this, &system, setup = setup_, seen_by](const scheduler_start& start) {
                          const auto next = system.spawn(scheduler, setup, start, seen_by);
                          scheduler_now_ = caf::actor_cast<caf::actor>(next);
                          return next;
                        }});
}

void simulated_coordinator::dismiss() {
  at_ = stage::ending;
  tell(everyone_.keeper, dismiss_ranks{});
  caf::anon_send_exit(everyone_.recorder, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(everyone_.store, caf::exit_reason::user_shutdown);
}

void simulated_coordinator::leave() {
  at_ = stage::leaving;
  tell(head_, leave_run{});
}

/// As after run_attempt: the run is over, goes back, or tries again to begin.
void simulated_coordinator::settle() {
  caf::anon_send_exit(head_, caf::exit_reason::user_shutdown);
  at_ = stage::over;
  if (report_ || failure_)
    return;
  if (!lost_->begun) {
    how_.workers.missing = missing_rule::left_out;
    return attempt();
  }
  expect_own_log(std::filesystem::path(how_.spec.checkpoint.directory) / decision_log_name, *log_);
  ++returns_;
  before_ = so_far_;
  now_.followed = how_.spec.checkpoint.directory;
  now_.resume = newest_state(how_.spec, options_.resume, written_);
  now_.before = &before_;
  const std::uint64_t to_step = now_.resume == nullptr ? 0 : now_.resume->steps_done();
  before_.returns.push_back({before_.first_step + before_.losses.size(), to_step, lost_->cause, clock_(), 0.0});
  how_.workers.missing = missing_rule::left_out;
  attempt();
}

} // namespace troupe::test
