#include "actors/keeper.hpp"

#include "actors/rank_death.hpp"
#include "actors/shell.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

using keeper_pointer = keeper_actor::stateful_pointer<keeper_actor_state>;

void watch_all(keeper_pointer self, const company& everyone) {
  keeper_actor_state& state = self->state;
  state.everyone = everyone;
  state.lives.assign(everyone.ranks.size(), 1);
  state.alive = everyone.ranks.size() + 1;
  self->monitor(everyone.scheduler);
  for (const stage_actor& rank : everyone.ranks)
    self->monitor(rank);
}

void end_if_alone(keeper_pointer self) {
  if (self->state.dismissing && self->state.alive == 0)
    self->quit();
}

void note_rank_death(keeper_pointer self, std::uint32_t rank, double now) {
  keeper_actor_state& state = self->state;
  state.lost[rank] = death_of(rank, state.lives[rank], state.failing,
                              "rank " + std::to_string(rank) + " ended before the run did", now);
  post(self, state.everyone.scheduler, state.lost[rank]);
}

void give_up(keeper_pointer self, const run_given_up& in) {
  const keeper_actor_state& state = self->state;
  run_given_up told = in;
  for (std::uint32_t rank = 0; rank < state.lives.size(); ++rank)
    if (const auto kept = state.shelf.find(rank, in.steps_done))
      told.kept.push_back(kept);
  post(self, state.everyone.store, std::move(told));
}

/// A new scheduler has its predecessor's books; what that one may not have heard any more it is told again.
void tell_all_again(keeper_pointer self) {
  const keeper_actor_state& state = self->state;
  const scheduler_actor& next = state.everyone.scheduler;
  if (state.scheduler.interrupted)
    post(self, next, interrupt_message{});
  for (const auto& [rank, lost] : state.lost)
    post(self, next, lost);
  for (std::uint32_t rank = 0; state.scheduler.books != nullptr && rank < state.lives.size(); ++rank)
    if (const auto life = state.shelf.life_of(rank, state.scheduler.books->newest_generation))
      post(self, next, snapshot_kept{rank, *life, state.scheduler.books->newest_generation});
}

void introduce_scheduler(keeper_pointer self) {
  const keeper_actor_state& state = self->state;
  const auto shown = state.how.view(state.everyone);
  post(self, state.everyone.scheduler, introduction{shown});
  post(self, state.everyone.store, introduction{shown});
  tell_all_again(self);
  const std::uint64_t line = state.scheduler.recovery_line();
  for (std::uint32_t rank = 0; rank < state.lives.size(); ++rank)
    post(self, state.everyone.ranks[rank], scheduler_successor{{state.lives[rank], line, rank}, shown});
}

void restart_scheduler(keeper_pointer self, const std::string& cause, double now) {
  keeper_actor_state& state = self->state;
  scheduler_care& care = state.scheduler;
  if (!care.policy->allows(0, now)) {
    state.given_up = true;
    return give_up(self, {.steps_done = care.recovery_line(), .cause = care.policy->refusal(0, cause)});
  }
  state.everyone.scheduler = care.spawn_next(cause, now, keeper_actor(self));
  self->monitor(state.everyone.scheduler);
  ++state.alive;
  introduce_scheduler(self);
}

void note_scheduler_death(keeper_pointer self, const run_setup& setup, const observer& watcher) {
  const std::string cause = self->state.scheduler.take_cause();
  if (setup.spec.faults.snapshot_every == 0)
    tell(watcher, failure_message{error_kind::run, cause});
  else
    restart_scheduler(self, cause, setup.clock());
}

void note_death(keeper_pointer self, const run_setup& setup, const observer& watcher, const caf::actor_addr& who) {
  keeper_actor_state& state = self->state;
  --state.alive;
  if (state.given_up)
    return end_if_alone(self);
  if (state.everyone.scheduler.address() == who)
    return note_scheduler_death(self, setup, watcher);
  const auto found =
      std::ranges::find_if(state.everyone.ranks, [&](const stage_actor& one) { return one.address() == who; });
  if (found != state.everyone.ranks.end())
    note_rank_death(self, static_cast<std::uint32_t>(found - state.everyone.ranks.begin()), setup.clock());
}

void note_failure(keeper_pointer self, const observer& watcher, const scheduler_failed& in) {
  if (in.what.kind != error_kind::run) {
    self->state.given_up = true;
    tell(watcher, in.what);
  } else
    self->state.scheduler.cause = in.what.text;
}

/// What a rank's own fault is, and would come again, ends the run.
void note_failure(keeper_pointer self, const observer& watcher, const rank_failed& in) {
  if (in.what.kind != error_kind::run) {
    self->state.given_up = true;
    tell(watcher, in.what);
  } else
    self->state.failing[in.rank] = in;
}

/// Where no rank restarts, nobody would ever say that a checkpoint's snapshots are not needed any more.
void put(keeper_pointer self, const run_setup& setup, const rank_snapshot& in) {
  if (setup.spec.faults.snapshot_every == 0)
    return;
  keeper_actor_state& state = self->state;
  if (const std::string problem = state.shelf.put(std::make_shared<const rank_snapshot>(in)); !problem.empty())
    post(self, state.everyone.recorder, run_warning{problem});
  post(self, state.everyone.scheduler, snapshot_kept{in.rank, in.source_incarnation, in.steps_done});
}

/// A rank that starts as the run began needs no snapshot; the scheduler asks for no other one that was not kept.
stage_start start_of(const keeper_actor_state& state, const run_setup& setup, const restart_order& in) {
  stage_start start{in.rank, in.birth, state.shelf.find(in.rank, in.birth.steps_done)};
  TROUPE_CHECK(start.snapshot != nullptr || in.birth.steps_done == setup.first_step(),
               "a rank is to start from a snapshot that is not kept");
  return start;
}

void restart(keeper_pointer self, const run_setup& setup, const restart_order& in) {
  keeper_actor_state& state = self->state;
  if (state.given_up)
    return;
  const stage_actor next = state.how.spawn(start_of(state, setup, in), caf::actor_cast<observer>(keeper_actor(self)));
  self->monitor(next);
  ++state.alive;
  state.lost.erase(in.rank);
  state.lives[in.rank] = in.birth.life;
  state.everyone.ranks[in.rank] = next;
  const auto shown = state.how.view(state.everyone);
  // The scheduler before the rank says to it that it is ready; the rank before the others send it what it needs.
  post(self, state.everyone.scheduler, introduction{shown});
  post(self, next, introduction{shown});
  for (std::uint32_t rank = 0; rank < state.everyone.ranks.size(); ++rank)
    if (rank != in.rank)
      post(self, state.everyone.ranks[rank], successor_message{{in.rank, in.birth.life}, shown});
}

void dismiss(keeper_pointer self) {
  self->state.given_up = self->state.dismissing = true;
  for (const stage_actor& rank : self->state.everyone.ranks)
    caf::anon_send_exit(rank, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(self->state.everyone.scheduler, caf::exit_reason::user_shutdown);
  end_if_alone(self);
}

} // namespace

keeper_actor::behavior_type keeper(keeper_pointer self, const setup_ptr& setup, const keeper_setup& how,
                                   const observer& watcher) {
  guard(self, watcher, "the keeper");
  self->state.how = how;
  self->state.shelf = snapshot_shelf(setup->spec.faults.snapshot_directory, setup->disk());
  self->state.scheduler.begin(how.spawn_scheduler, setup->spec.faults);
  self->set_down_handler([self, setup, watcher](const caf::down_msg& in) {
    const handler_scope scope(self->ctrl());
    note_death(self, *setup, watcher, in.source);
  });
  return {
      on<introduction>(self, [self](const introduction& in) { watch_all(self, *in.everyone); }),
      on<rank_snapshot>(self, [self, setup](const rank_snapshot& in) { put(self, *setup, in); }),
      on<rank_waits>(self, [](const rank_waits&) {}), // it is kept here
      on<rank_failed>(self, [self, watcher](const rank_failed& in) { note_failure(self, watcher, in); }),
      on<scheduler_failed>(self, [self, watcher](const scheduler_failed& in) { note_failure(self, watcher, in); }),
      on<books_message>(self, [self](const books_message& in) { self->state.scheduler.books = in.books; }),
      on<interrupt_message>(self,
                            [self](const interrupt_message& in) {
                              self->state.scheduler.interrupted = true;
                              post(self, self->state.everyone.scheduler, in);
                            }),
      on<restart_order>(self, [self, setup](const restart_order& in) { restart(self, *setup, in); }),
      on<run_given_up>(self, [self](const run_given_up& in) { give_up(self, in); }),
      on<recovery_line_message>(self,
                                [self](const recovery_line_message& in) { self->state.shelf.trim(in.steps_done); }),
      on<dismiss_ranks>(self, [self](const dismiss_ranks&) { dismiss(self); }),
  };
}

} // namespace troupe
