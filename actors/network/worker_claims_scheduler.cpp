// The third of worker_claims that keeps the scheduler: holds its books, and starts another one when it dies. The ranks
// need not know: they are asked to send again what the new one lacks.
#include "actors/network/peers.hpp"
#include "actors/network/worker_claims.hpp"
#include "actors/shell.hpp"

namespace troupe {

void worker_claims::watch_scheduler(const begin_run& in) {
  scheduler_.begin(in.spawn_scheduler, setup_->spec.faults);
  scheduler_lives_ = true;
  self_->monitor(everyone_.scheduler);
}

void worker_claims::interrupt() {
  scheduler_.interrupted = true;
  tell(everyone_.scheduler, interrupt_message{});
}

/// It answers with a restart_order, or its successor does.
void worker_claims::tell_scheduler_lost(const rank_lost& in) {
  lost_[in.rank] = in;
  tell(everyone_.scheduler, in);
}

/// What would come again ends the run.
void worker_claims::scheduler_is_failing(const scheduler_failed& in) {
  if (in.what.kind == error_kind::run)
    scheduler_.cause = in.what.text;
  else
    fail(in.what.kind, in.what.text);
}

void worker_claims::member_ended(const caf::down_msg& in) {
  if (everyone_.scheduler.address() != in.source)
    return;
  scheduler_lives_ = false;
  const std::string cause = scheduler_.take_cause();
  if (dismissed_)
    leave();
  else if (!restarts())
    fail(error_kind::run, cause);
  else if (!failed_ && !leaving_ && !ending_)
    restart_scheduler(cause, setup_->clock());
}

void worker_claims::restart_scheduler(const std::string& cause, double now) {
  if (!scheduler_.policy->allows(0, now))
    return give_up({.steps_done = scheduler_.recovery_line(), .cause = scheduler_.policy->refusal(0, cause)});
  everyone_.scheduler = scheduler_.spawn_next(cause, now, caf::actor_cast<keeper_actor>(caf::actor(self_)));
  scheduler_lives_ = true;
  self_->monitor(everyone_.scheduler);
  note(cause + "; another one goes on");
  introduce_scheduler();
}

/// It has its predecessor's books; what that one may not have heard any more it is told again.
void worker_claims::introduce_scheduler() {
  for (const member& one : members_)
    if (one.link && one.at == stage::wired)
      open_routes_to(one);
  tell_of_new_company();
  if (scheduler_.interrupted)
    tell(everyone_.scheduler, interrupt_message{});
  for (const auto& [rank, lost] : lost_)
    tell(everyone_.scheduler, lost);
  for (const auto& [rank, kept] : kept_)
    if (scheduler_.books != nullptr && kept.steps_done == scheduler_.books->newest_generation)
      tell(everyone_.scheduler, kept);
  ask_ranks_again();
}

/// Those that live; others say that they are ready when they do.
void worker_claims::ask_ranks_again() const {
  for (const member& one : members_) {
    if (!one.link || one.at != stage::wired)
      continue;
    for (const std::uint32_t rank : where_.workers[*one.worker].ranks)
      if (!lost_.contains(rank) && !restarting_.contains(rank))
        say(one.link, send_again{where_.ranks[rank].life, scheduler_.recovery_line(), rank});
  }
}

void worker_claims::dismiss() {
  dismissed_ = true;
  if (scheduler_lives_)
    caf::anon_send_exit(everyone_.scheduler, caf::exit_reason::user_shutdown);
  else
    leave();
}

} // namespace troupe
