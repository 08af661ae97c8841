// The half of worker_claims that makes losses good: ranks of a lost worker live again elsewhere, their snapshots are
// kept by others, and workers that come back join the run.
#include "actors/network/peers.hpp"
#include "actors/network/worker_claims.hpp"
#include "actors/shell.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

namespace troupe {

// Losses

void worker_claims::lose(member& one, const std::string& reason, double silent_for) {
  const std::string text = fmt::format("{} was lost: {}", name_of_member(one), reason);
  const bool had_part = one.worker && where_.workers[*one.worker].standing == worker_standing::member;
  if (one.link)
    tell(one.link, close_link{});
  one.link = nullptr;
  one.at = stage::over;
  if (one.worker)
    where_.workers[*one.worker].standing = worker_standing::gone;
  if (ending_ && had_part)
    save_elsewhere(*one.worker);
  if (ending_)
    return;
  look_for_successor(one.address);
  if (!one.worker)
    return;
  const std::vector<std::uint32_t> unkept = choose_replicas(where_);
  tell_placement(); // before the scheduler can ask for snapshots, which are to go to other replicas
  if (had_part) {
    note(text);
    lose_ranks_of(*one.worker, text, silent_for);
    for (const std::uint32_t rank : unkept)
      tell(everyone_.scheduler, snapshot_lost{rank});
  }
  admit_joiners(); // who waited for the lost one to be connected to
}

void worker_claims::lose_ranks_of(std::uint32_t worker, const std::string& cause, double silent_for) {
  const double now = setup_->clock();
  snapshots_.forget(worker);
  for (const std::uint32_t rank : where_.workers[worker].ranks)
    if (!restarting_.contains(rank))
      tell_scheduler_lost({rank, where_.ranks[rank].life, cause, now - silent_for, now});
  for (auto& [rank, one] : std::map(restarting_)) {
    if (one.worker == worker)
      tell_scheduler_lost({rank, one.order.birth.life, cause, now - silent_for, now});
    else if (one.source == worker)
      find_snapshot(restarting_.at(rank));
  }
}

/// Ended here, as another worker cannot reach it, if both are still there by now: of two that have lost their
/// connection one is enough.
void worker_claims::judge(const complaint& in) {
  const auto is_gone = [this](std::uint32_t worker) {
    return where_.workers[worker].standing == worker_standing::gone;
  };
  if (!running_ || leaving_ || failed_ || is_gone(in.about) || is_gone(in.by))
    return;
  lose(holder_of(in.about), in.text, 0.0);
}

/// Mostly the coordinator itself loses the worker in the next moment.
void worker_claims::said_by(member& from, const link_lost& in) {
  if (in.worker >= where_.workers.size() || !from.worker)
    return fail(error_kind::protocol, fmt::format("{} lost worker {}, expected one below {}", name_of_member(from),
                                                  in.worker, where_.workers.size()));
  if (where_.workers[in.worker].standing == worker_standing::gone)
    return;
  const std::string text = fmt::format("{} lost it: it {}", name_of_member(from), in.reason);
  if (!running_ || !restarts())
    return lose_before_start(
        holder_of(in.worker), error_kind::run,
        fmt::format("{} was lost by {}: it {}", name_of_member(holder_of(in.worker)), name_of_member(from), in.reason));
  const auto later = std::chrono::duration<double>(how_.peer_timeout / 2);
  self_->delayed_send(self_, std::chrono::duration_cast<std::chrono::nanoseconds>(later),
                      complaint{in.worker, *from.worker, text});
}

void worker_claims::said_by(member& from, const snapshot_kept& in) {
  if (!(running_ || from_held_) || !from.worker)
    return fail(error_kind::protocol, fmt::format("{} keeps a snapshot before its time", name_of_member(from)));
  snapshots_.note(in.rank, in.steps_done, *from.worker);
  if (const auto home = home_of(where_, in.rank, in.source_incarnation)) // it has sent it there, and kept it
    snapshots_.note(in.rank, in.steps_done, *home);
  if (!running_)
    return;
  kept_[in.rank] = in;
  tell(everyone_.scheduler, in);
}

/// Before the run has begun a rank's actor waits for its introduction: it has built nothing yet that memory could run
/// out for, and chaos strikes it as it acts. So no correct worker loses one then.
void worker_claims::said_by(member& from, const rank_lost& in) {
  if (!running_)
    return fail(error_kind::protocol, fmt::format("{} lost a rank before its time", name_of_member(from)));
  tell_scheduler_lost(in);
}

// New lives

/// The placement as it will be when all that is under way is done.
placement worker_claims::planned() const {
  placement where = where_;
  for (const auto& [rank, one] : restarting_)
    if (where.workers[one.worker].standing == worker_standing::member)
      move_rank(where, rank, one.worker);
  return where;
}

void worker_claims::restart(const restart_order& in) {
  if (leaving_ || failed_)
    return;
  lost_.erase(in.rank);
  const placement where = planned();
  if (std::ranges::count(where.workers, worker_standing::member, &worker_place::standing) == 0)
    return tell_state_lost(in.rank < where.ranks.size() ? fmt::format("rank {}: no worker is left", in.rank) : "");
  restarting& one = restarting_[in.rank] = {.order = in, .worker = choose_host(where, in.rank), .source = {}};
  tell_of_new_company();
  find_snapshot(one);
  say(holder_of(one.worker).link, in);
}

/// A rank that starts as the run began needs none, unless all began with snapshots.
void worker_claims::find_snapshot(restarting& one) {
  const restart_order& order = one.order;
  one.source.reset();
  if (order.birth.steps_done == first_step_ && !from_held_)
    return;
  const auto source = snapshots_.find(order.rank, order.birth.steps_done, one.worker);
  if (!source)
    return tell_state_lost(fmt::format("rank {}: the workers that had its state after {} steps are lost", order.rank,
                                       order.birth.steps_done));
  if (*source == one.worker)
    return;
  one.source = source;
  say(holder_of(*source).link, snapshot_request{order.rank, order.birth.steps_done, one.worker});
}

void worker_claims::said_by(member& from, const rank_hosted& in) {
  if (!running_)
    return note_hosted(from, in);
  const auto found = restarting_.find(in.rank);
  if (found == restarting_.end() || found->second.order.birth.life != in.life || found->second.worker != from.worker)
    return;
  move_rank(where_, in.rank, *from.worker);
  where_.ranks[in.rank].life = in.life;
  restarting_.erase(found);
  choose_replicas(where_);
  tell_placement();
}

/// The scheduler and the store address a rank by the link to its worker.
void worker_claims::tell_of_new_company() {
  const placement where = planned();
  for (std::uint32_t rank = 0; rank < where.ranks.size(); ++rank)
    if (const caf::actor& link = holder_of(worker_of(where, rank)).link)
      everyone_.ranks[rank] = caf::actor_cast<stage_actor>(link);
  const auto shown = std::make_shared<const company>(everyone_);
  tell(everyone_.scheduler, introduction{shown});
  tell(everyone_.store, introduction{shown});
}

void worker_claims::tell_placement() {
  ++where_.version;
  for (const member& one : members_)
    if (one.link && one.worker)
      say(one.link, shown_to(*one.worker, where_));
}

void worker_claims::trim(const recovery_line_message& in) {
  line_moved_ = true;
  snapshots_.trim(in.steps_done);
  for (const member& one : members_)
    if (one.link && one.at == stage::wired)
      say(one.link, in);
}

/// The workers save what they keep, and the store ends the run when all of it is there.
void worker_claims::give_up(const run_given_up& in) {
  ending_ = in;
  const bool went_on = in.steps_done > first_step_ || from_held_;
  if (went_on && !setup_->spec.checkpoint.directory.empty()) {
    const std::vector<std::uint32_t> lost = choose_savers();
    ending_->parts_follow = lost.empty();
    if (!lost.empty())
      ending_->cause += fmt::format("; nothing is saved beyond the last checkpoint, as all workers that had the state "
                                    "of rank {} were lost, too",
                                    fmt::join(lost, " and of rank "));
  }
  tell_store_of_savers();
  tell(everyone_.store, *ending_);
  if (ending_->parts_follow)
    for (const auto& [rank, saver] : saving_)
      say(holder_of(saver).link, save_request{rank, in.steps_done});
}

/// Returns the ranks of which nobody has the snapshot.
std::vector<std::uint32_t> worker_claims::choose_savers() {
  std::vector<std::uint32_t> lost;
  for (std::uint32_t rank = 0; rank < where_.ranks.size(); ++rank)
    if (const auto saver = snapshots_.find(rank, ending_->steps_done, where_.ranks[rank].replica))
      saving_[rank] = *saver;
    else
      lost.push_back(rank);
  return lost;
}

/// Whom it answers.
void worker_claims::tell_store_of_savers() {
  company savers = everyone_;
  for (const auto& [rank, saver] : saving_)
    savers.ranks[rank] = caf::actor_cast<stage_actor>(holder_of(saver).link);
  tell(everyone_.store, introduction{std::make_shared<const company>(savers)});
}

/// What the lost one may not have saved yet others save, if they have it. Whatever had come of it still counts.
void worker_claims::save_elsewhere(std::uint32_t lost) {
  snapshots_.forget(lost);
  std::vector<std::uint32_t> again;
  for (auto& [rank, saver] : saving_) {
    if (saver != lost)
      continue;
    if (const auto other = snapshots_.find(rank, ending_->steps_done, where_.ranks[rank].replica)) {
      saver = *other;
      again.push_back(rank);
    } else {
      tell(everyone_.store, part_lost{rank, ending_->steps_done});
    }
  }
  std::erase_if(saving_, [&](const auto& one) { return one.second == lost; });
  tell_store_of_savers();
  for (const std::uint32_t rank : again)
    say(holder_of(saving_[rank]).link, save_request{rank, ending_->steps_done});
}

void worker_claims::tell_state_lost(const std::string& cause) {
  if (failed_ || leaving_)
    return;
  failed_ = true;
  tell(watcher_, state_lost{.cause = cause, .begun = running_});
}

// Workers that join

void worker_claims::look_for_successor(const network_address& lost) {
  members_.emplace_back(lost);
  connect(static_cast<std::uint32_t>(members_.size() - 1));
}

void worker_claims::assign_joiner(member& one) {
  if (where_.workers.size() >= most_workers)
    return fail(error_kind::run,
                fmt::format("found more than {} workers in one run, expected fewer losses", most_workers));
  one.worker = static_cast<std::uint32_t>(where_.workers.size());
  where_.workers.push_back({.address = to_string(one.address), .ranks = {}, .standing = worker_standing::invited});
  ++where_.version;
  say(one.link, assignment_for(*one.worker));
}

/// The others are shown it only now, and call it.
void worker_claims::connect_joiner(member& one) {
  where_.workers[*one.worker].standing = worker_standing::joining;
  tell_placement();
  one.joined_version = where_.version;
  say(one.link, connect_neighbours{});
}

bool worker_claims::is_connected(const member& joiner) const {
  return std::ranges::all_of(members_, [&](const member& one) {
    return !one.link || one.at < stage::assigned || one.connected_version >= joiner.joined_version;
  });
}

/// A worker that all others are connected to, and it to them, can be given ranks and snapshots.
void worker_claims::admit_joiners() {
  bool admitted = false;
  for (member& one : members_) {
    if (!one.link || one.at != stage::assigned || !is_connected(one))
      continue;
    one.at = stage::wired;
    where_.workers[*one.worker].standing = worker_standing::member;
    open_routes_to(one);
    say(one.link, start_ranks{one.clock_offset});
    note(fmt::format("worker {} joined the run", to_string(one.address)));
    admitted = true;
  }
  if (!admitted)
    return;
  choose_replicas(where_);
  tell_placement();
}

} // namespace troupe
