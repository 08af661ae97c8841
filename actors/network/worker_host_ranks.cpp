// The half of worker_host that minds the ranks: those that live here begin, die and live again, and all know where the
// others are.
#include "actors/network/peers.hpp"
#include "actors/network/worker_host.hpp"
#include "actors/network/worker_shelf.hpp"
#include "actors/network/worker_store.hpp"
#include "actors/rank_death.hpp"
#include "actors/shell.hpp"
#include "runtime/run_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

namespace {

/// Takes what is meant for a rank that nobody hosts just now, and answers nothing: an error in answer, as caf::drop
/// gives, would end the sender. Whoever sent it will be asked for it again.
caf::behavior nobody(caf::event_based_actor* self) {
  self->set_default_handler([](caf::scheduled_actor*, caf::message_view&) -> caf::result<caf::message> {
    return caf::delegated<caf::message>();
  });
  return {[](const caf::unit_t&) {}};
}

} // namespace

void worker_host::watch(const caf::actor& member) {
  self_->monitor(member);
  run_->alive.push_back(member);
}

/// Makes an actor for a rank.
void worker_host::host(const stage_start& start) {
  stage_actor& rank = run_->here.ranks[start.rank];
  rank = self_->system().spawn(stage, run_->setup, start, caf::actor_cast<observer>(caf::actor(self_)));
  watch(caf::actor_cast<caf::actor>(rank));
  run_->lives[start.rank] = start.birth.life;
}

/// The actors exist before any peer can reach them; the ranks begin with their introduction.
void worker_host::spawn_members() {
  const assignment& task = *run_->task;
  const auto self = caf::actor_cast<observer>(caf::actor(self_));
  caf::actor_system& system = self_->system();
  run_->here.ranks.resize(run_->setup->pipeline.ranks());
  run_->here.store =
      spawn_side(system, setup_.outside.sides, worker_store, run_->setup, task.checkpoints, run_->coordinator, self);
  watch(caf::actor_cast<caf::actor>(run_->here.store));
  run_->shelf = system.spawn(worker_shelf, run_->coordinator, caf::actor(self_), take_held(task), run_->setup, self);
  watch(run_->shelf);
  for (const std::uint32_t rank : task.where.workers[task.worker].ranks)
    if (task.from_held)
      await_snapshot(
          {rank,
           {.steps_done = task.steps_done, .save_again = checkpoint_due_at_start(run_->setup->spec, task.steps_done)}});
    else
      host({.rank = rank});
  run_->nobody = system.spawn(nobody);
  watch(run_->nobody);
  tell(run_->coordinator, identify_peer{});
  open_routes_to(run_->coordinator);
}

void worker_host::open_routes_to(const caf::actor& link) const {
  auto routes = std::make_shared<link_routes>();
  routes->here = run_->here;
  routes->shelf = run_->shelf;
  routes->peer_schedules = link == run_->coordinator;
  routes->peer_hosts = !routes->peer_schedules;
  tell(link, open_routes{routes, run_->limits, run_->setup->spec.pipeline.wire, run_->task->peer_timeout_seconds});
}

/// A rank that lives here anew is to be found by all.
void worker_host::open_all_routes() const {
  open_routes_to(run_->coordinator);
  for (const auto& [number, link] : run_->neighbours)
    open_routes_to(link);
}

void worker_host::begin_ranks() {
  route_snapshots();
  run_->everyone = seen_from_here();
  for (const auto& [rank, life] : run_->lives)
    tell(run_->here.ranks[rank], introduction{run_->everyone});
}

std::shared_ptr<const company> worker_host::seen_from_here() const {
  auto seen = std::make_shared<company>(run_->here);
  const placement& where = run_->task->where;
  for (std::uint32_t number = 0; number < where.workers.size(); ++number)
    for (const std::uint32_t rank : where.workers[number].ranks)
      if (const caf::actor link = link_to(number); !seen->ranks[rank])
        seen->ranks[rank] = caf::actor_cast<stage_actor>(link ? link : run_->nobody);
  seen->scheduler = caf::actor_cast<scheduler_actor>(run_->coordinator);
  seen->recorder = caf::actor_cast<recorder_actor>(run_->coordinator);
  if (restarts())
    seen->keeper = caf::actor_cast<keeper_actor>(run_->shelf);
  seen->alarm = run_->alarm.get();
  return seen;
}

void worker_host::route_snapshots() const {
  const placement& where = run_->task->where;
  snapshot_routes routes;
  for (const rank_care& care : where.ranks)
    routes.replicas.push_back(care.replica == run_->task->worker ? nullptr : link_to(care.replica));
  tell(run_->shelf, routes);
}

void worker_host::said_by(const caf::actor& link, const placement& in) {
  if (!from_coordinator(link) || !run_->task || in.version <= run_->task->where.version ||
      in.workers.size() < run_->task->where.workers.size() || in.ranks.size() != run_->here.ranks.size())
    return refuse(link, error_kind::protocol,
                  "a placement was found, expected a newer one of this run, from the coordinator");
  const placement before = std::exchange(run_->task->where, in);
  for (std::uint32_t number = 0; number < before.workers.size(); ++number)
    if (in.workers[number].standing == worker_standing::gone)
      drop(number);
  if (run_->connecting)
    call_others();
  std::vector<std::pair<std::uint32_t, incarnation>> successors;
  for (std::uint32_t rank = 0; rank < in.ranks.size(); ++rank)
    if (in.ranks[rank].life > before.ranks[rank].life && !run_->lives.contains(rank))
      successors.emplace_back(rank, in.ranks[rank].life);
  if (run_->started) {
    route_snapshots();
    show_successors(successors);
  }
  tell_when_connected();
}

/// Lets go of a worker that is gone for the coordinator, whatever it may be for us.
void worker_host::drop(std::uint32_t worker) {
  if (const caf::actor link = link_to(worker); link && worker != run_->task->worker)
    tell(link, close_link{});
}

/// Tells the ranks that live here of others that live again.
void worker_host::show_successors(const std::vector<std::pair<std::uint32_t, incarnation>>& successors) {
  run_->everyone = seen_from_here();
  for (const auto& [successor, its_life] : successors)
    for (const auto& [rank, life] : run_->lives)
      if (rank != successor)
        tell(run_->here.ranks[rank], successor_message{{successor, its_life}, run_->everyone});
}

void worker_host::said_by(const caf::actor& link, const restart_order& in) {
  if (!from_coordinator(link) || !run_->started || !restarts() || in.birth.lives.size() != run_->here.ranks.size())
    return refuse(link, error_kind::protocol, "a restart_order was found, expected one of this run once it has begun");
  if (in.birth.steps_done == run_->task->steps_done && !run_->task->from_held)
    start_again(in, nullptr);
  else
    await_snapshot(in);
}

void worker_host::await_snapshot(const restart_order& of) {
  run_->waiting[of.rank] = of;
  tell(run_->shelf, snapshot_wanted{of.rank, of.birth.steps_done});
}

void worker_host::found(const snapshot_here& in) {
  if (!run_ || run_->leaving)
    return;
  const auto waiting = run_->waiting.find(in.what->rank);
  if (waiting == run_->waiting.end() || waiting->second.birth.steps_done != in.what->steps_done)
    return;
  const restart_order order = waiting->second;
  run_->waiting.erase(waiting);
  if (run_->started)
    start_again(order, in.what);
  else
    host_from_held(order, in.what);
}

/// Others may live again by now of which the order does not know yet: they were told to the ranks that were here then.
rank_birth worker_host::with_newest_lives(rank_birth birth) const {
  for (std::uint32_t rank = 0; rank < birth.lives.size(); ++rank)
    birth.lives[rank] = std::max(birth.lives[rank], run_->task->where.ranks[rank].life);
  for (const auto& [rank, life] : run_->lives)
    birth.lives[rank] = std::max(birth.lives[rank], life);
  return birth;
}

/// Its introduction comes first, then others hear of it, so that nothing of what they send again can come too early.
void worker_host::start_again(const restart_order& in, const std::shared_ptr<const rank_snapshot>& from) {
  host({in.rank, with_newest_lives(in.birth), from});
  open_all_routes();
  tell(run_->here.ranks[in.rank], introduction{seen_from_here()});
  show_successors({{in.rank, in.birth.life}});
  say(run_->coordinator, rank_hosted{in.rank, in.birth.life});
  note(fmt::format("run {}: rank {} lives here, from step {} on", short_name(run_->id), in.rank,
                   in.birth.steps_done + 1));
}

void worker_host::said_by(const caf::actor& link, const snapshot_request& in) {
  if (!from_coordinator(link) || !run_->task || !(run_->started || run_->task->from_held))
    return refuse(link, error_kind::protocol, "a snapshot_request was found, expected it from the coordinator");
  if (const caf::actor other = link_to(in.worker)) // else it was lost, which the coordinator will hear, too
    tell(run_->shelf, send_snapshot{in.rank, in.steps_done, other});
}

void worker_host::said_by(const caf::actor& link, const save_request& in) {
  if (!from_coordinator(link) || !run_->started)
    return refuse(link, error_kind::protocol, "a save_request was found, expected it from the coordinator");
  tell(run_->shelf, save_snapshot{in.rank, in.steps_done, run_->here.store});
}

/// What would come again ends the run.
void worker_host::rank_is_failing(const rank_failed& in) {
  if (!run_ || run_->leaving)
    return;
  if (in.what.kind != error_kind::run || !restarts())
    return member_failed(in.what);
  note(in.what.text);
  run_->failing[in.rank] = in;
}

void worker_host::member_failed(const failure_message& in) {
  if (!run_ || run_->leaving)
    return;
  note(in.text);
  say(run_->coordinator, in);
}

void worker_host::member_ended(const caf::down_msg& in) {
  if (!run_)
    return;
  std::erase_if(run_->alive, [&](const caf::actor& one) { return one.address() == in.source; });
  if (run_->shelf && run_->shelf.address() == in.source) // whatever it had, it will not answer any more
    run_->handing_over = false;
  const auto rank =
      std::ranges::find_if(run_->here.ranks, [&](const stage_actor& one) { return one && one.address() == in.source; });
  if (!run_->leaving && rank != run_->here.ranks.end() && restarts())
    rank_ended(static_cast<std::uint32_t>(rank - run_->here.ranks.begin()), caf::to_string(in.reason));
  else if (!run_->leaving) // an exception's own failure_message was sent before
    say(run_->coordinator, failure_message{error_kind::run, "an actor of a worker ended before the run did"});
  forget_if_over();
}

void worker_host::rank_ended(std::uint32_t rank, const std::string& reason) {
  say(run_->coordinator,
      death_of(rank, run_->lives[rank], run_->failing,
               fmt::format("rank {} ended before the run did ({})", rank, reason), run_->setup->clock()));
}

} // namespace troupe
