// The part of worker_claims that finds what workers still hold of a run whose coordinator was lost, and gives it to the
// ranks of the one that goes on.
#include "actors/network/peers.hpp"
#include "actors/network/worker_claims.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace troupe {

void worker_claims::said_by(member& from, const snapshots_held& in) {
  if (from.at != stage::greeted || !how_.held)
    return fail(error_kind::protocol, fmt::format("{} says what it holds unasked", name_of_member(from)));
  from.held = in;
}

/// All workers have said what they hold before their clocks were measured.
void worker_claims::choose_start() {
  if (!how_.held)
    return;
  std::vector<held_snapshot> held;
  for (const member& one : members_)
    if (one.worker)
      held.insert(held.end(), one.held.snapshots.begin(), one.held.snapshots.end());
  const auto whole = [&](const held_bounds& bounds) { return newest_whole(held, setup_->pipeline.ranks(), bounds); };
  const auto found = how_.held->unused.empty() ? whole(how_.held->bounds) : std::nullopt;
  if (!found)
    return tell_why_not_from_held(whole({how_.held->bounds.after, std::numeric_limits<std::uint64_t>::max()}));
  first_step_ = *found;
  from_held_ = true;
  for (const member& one : members_)
    for (const held_snapshot& snapshot : one.held.snapshots)
      if (one.worker && snapshot.steps_done == first_step_)
        snapshots_.note(snapshot.rank, first_step_, *one.worker);
  note(fmt::format("the workers hold the run's state after step {}; it goes on from there", first_step_));
}

/// `whole`: steps done in the newest state that they do hold of all ranks.
void worker_claims::tell_why_not_from_held(std::optional<std::uint64_t> whole) const {
  const held_question& asked = *how_.held;
  if (asked.otherwise.empty() || (!asked.unused.empty() && !whole))
    return;
  const std::string reason =
      !asked.unused.empty() ? asked.unused : fmt::format("the decision log ends with step {}", asked.bounds.most);
  note(fmt::format(
      "{}; the run goes on from {}",
      whole ? fmt::format("the workers hold the run's state after step {}, which is not used: {}", *whole, reason)
            : why_nothing_is_held(),
      asked.otherwise));
}

std::string worker_claims::why_nothing_is_held() const {
  const auto anyone_has = [&](holding what) {
    return std::ranges::any_of(members_, [&](const member& one) { return one.worker && one.held.what == what; });
  };
  if (anyone_has(holding::some))
    return "the workers do not hold the state of all ranks after any later step";
  if (anyone_has(holding::other_shape))
    return "the workers hold the state of this run, but cut over other ranks";
  return "the workers hold nothing of this run";
}

/// Each rank's host needs its snapshot; mostly another worker has it.
void worker_claims::fetch_held() {
  for (std::uint32_t rank = 0; from_held_ && rank < where_.ranks.size(); ++rank) {
    const std::uint32_t host = worker_of(where_, rank);
    const std::optional<std::uint32_t> source = snapshots_.find(rank, first_step_, host);
    TROUPE_CHECK(source, "the generation that was chosen is whole");
    if (*source != host)
      say(holder_of(*source).link, snapshot_request{rank, first_step_, host});
  }
}

/// Before the run begins.
void worker_claims::note_hosted(member& from, const rank_hosted& in) {
  if (!from_held_ || !from.worker || worker_of(where_, in.rank) != *from.worker)
    return fail(error_kind::protocol, fmt::format("{} hosts a rank before its time", name_of_member(from)));
  hosted_.insert(in.rank);
  tell_ready_when_hosted();
}

void worker_claims::tell_ready_when_hosted() {
  if (!running_ && all_at(stage::wired) && (!from_held_ || hosted_.size() == where_.ranks.size()))
    tell_ready();
}

} // namespace troupe
