// The half of step_coordinator that is about ranks that die and live again: snapshots and the recovery line, what a new
// incarnation is told, and what a recovery cost.
#include "runtime/step_coordinator.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe {

namespace {

/// The usage of two incarnations of a rank.
rank_usage sum_of(const rank_usage& one, const rank_usage& other) {
  return {.busy_seconds = one.busy_seconds + other.busy_seconds,
          .peak_stash_microbatches = std::max(one.peak_stash_microbatches, other.peak_stash_microbatches),
          .peak_stash_bytes = std::max(one.peak_stash_bytes, other.peak_stash_bytes),
          .recomputed_microbatches = one.recomputed_microbatches + other.recomputed_microbatches,
          .forward_passes = one.forward_passes + other.forward_passes,
          .replayed_passes = one.replayed_passes + other.replayed_passes,
          .peak_outbox_bytes = std::max(one.peak_outbox_bytes, other.peak_outbox_bytes)};
}

} // namespace

coordinator_outputs step_coordinator::accept(const rank_lost& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.life) || phase_ == phase::closed)
    return out;
  if (!restartable())
    throw run_error(in.cause);
  if (!policy_.allows(in.rank, in.noticed)) {
    phase_ = phase::closed;
    out.emplace_back(run_given_up{.steps_done = recovery_line_, .cause = policy_.refusal(in.rank, in.cause)});
    return out;
  }
  note_progress();
  ++lives_[in.rank];
  ready_[in.rank] = false;
  former_usage_[in.rank] = sum_of(former_usage_[in.rank], std::exchange(usage_[in.rank], {}));
  kept_[in.rank] = recovery_line_; // what it has done since has to be done, and kept, again
  rewind(in.rank, recovery_line_);
  for (open_step& step : open_) // a validation that it begins again has to stay open, or it would not be fed to the end
    if (step.at.mode == pass_mode::evaluate)
      step.reported[in.rank] = false;
  const std::uint64_t newest = history_.empty() ? steps_done_ : history_.back().at.step;
  recovering_[in.rank] = recoveries_.size();
  recoveries_.push_back(
      {.rank = in.rank, .step = newest, .cause = in.cause, .last_heard = in.last_heard, .noticed = in.noticed});
  if (checkpoint_in_flight_ != 0 && checkpoint_in_flight_ < recovery_line_)
    out.emplace_back(part_lost{in.rank, checkpoint_in_flight_});
  out.emplace_back(restart_order{in.rank, birth_of(in.rank, newest)});
  return out;
}

/// Who starts from a checkpoint's state hands it to the store as well, as what its predecessor handed in may have died
/// with its process.
rank_birth step_coordinator::birth_of(std::uint32_t rank, std::uint64_t newest_step) const {
  return {.life = lives_[rank],
          .lives = lives_,
          .steps_done = recovery_line_,
          .newest_step = newest_step,
          .save_again = checkpoint_in_flight_ != 0 && checkpoint_in_flight_ == recovery_line_};
}

/// The first that may need a message from after so many steps.
step_id step_coordinator::first_since(std::uint64_t steps_done) const {
  return steps_done == 0 ? step_id{} : step_id{steps_done - 1, pass_mode::evaluate};
}

void step_coordinator::rewind(std::uint32_t rank, std::uint64_t steps_done) {
  for (auto* feeds : {&tokens_, &targets_})
    for (feed& one : *feeds)
      if (one.rank == rank) {
        const step_id at = first_since(steps_done);
        one = {.rank = rank,
               .copy = one.copy,
               .at = at,
               .next = first_microbatch(at, one.copy),
               .first_step = steps_done,
               .granted = 0};
      }
}

/// A validation that is over has left no trace in the state, so that nobody needs to run it again.
void step_coordinator::tell_again(std::uint32_t rank, coordinator_outputs& out) {
  for (const begun_step& step : history_) {
    if (step.closed && step.at.mode == pass_mode::evaluate)
      continue;
    to_rank(rank, opening_of(step), out);
    if (step.decision)
      to_rank(rank, *step.decision, out);
  }
  if (phase_ == phase::finishing && !digested_[rank])
    to_rank(rank, digest_request{1, steps_done_}, out);
}

/// A rank need not be there yet: that it is may be what got lost.
coordinator_outputs step_coordinator::send_all_again() {
  coordinator_outputs out;
  if (!restartable() || phase_ == phase::closed)
    return out;
  for (std::uint32_t rank = 0; rank < lives_.size(); ++rank) {
    out.emplace_back(rank_order{rank, send_again{lives_[rank], recovery_line_, rank}});
    tell_again(rank, out);
  }
  for (auto* feeds : {&tokens_, &targets_})
    for (feed& one : *feeds) {
      one.at = first_since(recovery_line_);
      one.next = first_microbatch(one.at, one.copy);
    }
  inject(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const snapshot_kept& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation) || in.steps_done <= kept_[in.rank])
    return out;
  kept_[in.rank] = in.steps_done;
  note_progress();
  move_recovery_line(out);
  close_complete_steps(out);
  return out;
}

/// A generation that lacks a rank's snapshot will never be whole: another one may be asked for.
coordinator_outputs step_coordinator::accept(const snapshot_lost& in) {
  coordinator_outputs out;
  expect_rank(in.rank);
  if (newest_generation_ == recovery_line_ || newest_generation_ > in.steps_done)
    return out;
  newest_generation_ = recovery_line_;
  close_complete_steps(out);
  return out;
}

/// When the newest generation is whole.
void step_coordinator::move_recovery_line(coordinator_outputs& out) {
  const bool whole = std::ranges::all_of(kept_, [&](std::uint64_t kept) { return kept == newest_generation_; });
  if (!whole || newest_generation_ == recovery_line_)
    return;
  recovery_line_ = newest_generation_;
  std::erase_if(history_, [&](const begun_step& step) { return boundary_of(step.at) < recovery_line_; });
  out.emplace_back(recovery_line_message{recovery_line_});
}

/// The first report that its predecessor has not given shows that a rank has caught up.
void step_coordinator::note_progress_of(const step_report& in, coordinator_outputs& out) {
  const auto found = recovering_.find(in.rank);
  if (found == recovering_.end())
    return;
  rank_recovery& one = recoveries_[found->second];
  one.caught_up = setup_.clock();
  one.replayed_passes = in.usage.replayed_passes;
  recovering_.erase(found);
  out.emplace_back(rank_recovered{one});
}

std::vector<rank_usage> step_coordinator::total_usage() const {
  std::vector<rank_usage> total;
  std::ranges::transform(former_usage_, usage_, std::back_inserter(total), sum_of);
  return total;
}

} // namespace troupe
