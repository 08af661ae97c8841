// The half of step_coordinator that is about ranks that die and live again: snapshots and the recovery line, what a new
// incarnation is told, and what a recovery cost.
#include "runtime/step_coordinator.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
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
  if (!is_current(in.rank, in.life) || books_.phase == run_phase::closed)
    return out;
  if (!restartable())
    throw run_error(in.cause);
  if (!write().policy.allows(in.rank, in.noticed)) {
    write().phase = run_phase::closed;
    out.emplace_back(
        run_given_up{.steps_done = books_.recovery_line, .cause = books_.policy.refusal(in.rank, in.cause)});
    return out;
  }
  note_progress();
  scheduler_books& books = write();
  if (in.last_words)
    note_last_words(in.rank, *in.last_words);
  ++books.lives[in.rank];
  books.births[in.rank] = books.recovery_line;
  books.former_usage[in.rank] = sum_of(books.former_usage[in.rank], std::exchange(books.usage[in.rank], {}));
  ready_[in.rank] = false;
  kept_[in.rank].clear(); // what it has done since has to be done, and kept, again
  rewind(in.rank);
  for (open_step& step : open_) // a validation that it begins again has to stay open, or it would not be fed to the end
    if (step.at.mode == pass_mode::evaluate)
      step.reported[in.rank] = false;
  const std::uint64_t newest = newest_step();
  books.former[in.rank] =
      std::max(books.former[in.rank], in.last_words ? in.last_words->progress : most_progress(in.rank));
  books.recovering[in.rank] = books.recoveries.size();
  books.recoveries.push_back(
      {.rank = in.rank, .step = newest, .cause = in.cause, .last_heard = in.last_heard, .noticed = in.noticed});
  if (books.checkpoint_in_flight != 0 && books.checkpoint_in_flight < books.recovery_line)
    out.emplace_back(part_lost{in.rank, books.checkpoint_in_flight});
  out.emplace_back(restart_order{in.rank, birth_of(in.rank, newest)});
  return out;
}

/// What it had done since its last report would be missing otherwise, and what it had done again before it caught up.
void step_coordinator::note_last_words(std::uint32_t rank, const rank_last_words& told) {
  write().usage[rank] = told.usage;
  if (const auto back = books_.recovering.find(rank); back != books_.recovering.end())
    write().recoveries[back->second].replayed_passes = told.usage.replayed_passes;
}

/// How far a rank can have come at most.
rank_progress step_coordinator::most_progress(std::uint32_t rank) const {
  if (!books_.history.empty() && books_.history.back().at.mode == pass_mode::evaluate)
    return {.step = newest_step(), .passes = std::numeric_limits<std::uint64_t>::max()};
  const auto is_forward = [](const action& one) { return one.op == operation::forward; };
  const auto passes = std::ranges::count_if(setup_.pipeline->order.actions[rank], is_forward);
  return {.step = newest_step(), .passes = static_cast<std::uint64_t>(passes)};
}

/// Who starts from a checkpoint's state hands it to the store as well, as what its predecessor handed in may have died
/// with its process.
rank_birth step_coordinator::birth_of(std::uint32_t rank, std::uint64_t newest_step) const {
  return {.life = books_.lives[rank],
          .lives = books_.lives,
          .steps_done = books_.recovery_line,
          .newest_step = newest_step,
          .former = books_.former[rank],
          .save_again = books_.checkpoint_in_flight != 0 && books_.checkpoint_in_flight == books_.recovery_line};
}

std::uint64_t step_coordinator::newest_step() const {
  return books_.history.empty() ? books_.steps_done : books_.history.back().at.step;
}

/// A rank that lives again, or the scheduler: then its last rank has come.
void step_coordinator::note_resumed(std::uint32_t rank) {
  if (const auto back = books_.recovering.find(rank);
      back != books_.recovering.end() && books_.recoveries[back->second].resumed == 0.0)
    write().recoveries[back->second].resumed = setup_.clock();
  if (all_set(ready_) && !books_.scheduler_recoveries.empty() && books_.scheduler_recoveries.back().resumed == 0.0)
    write().scheduler_recoveries.back().resumed = setup_.clock();
}

void step_coordinator::note_own_recovery(const std::string& cause, double noticed) {
  write().scheduler_recoveries.push_back({.step = newest_step(), .cause = cause, .noticed = noticed});
}

std::shared_ptr<const scheduler_books> step_coordinator::changed_books() {
  if (!restartable() || !std::exchange(changed_, false))
    return nullptr;
  return std::make_shared<const scheduler_books>(books_);
}

/// A validation that is over has left no trace in the state, so that nobody needs to run it again.
void step_coordinator::tell_again(std::uint32_t rank, coordinator_outputs& out) {
  for (const begun_step& step : books_.history) {
    if (step.closed && step.at.mode == pass_mode::evaluate)
      continue;
    to_rank(rank, opening_of(step), out);
    if (step.decision)
      to_rank(rank, *step.decision, out);
  }
  if (books_.phase == run_phase::finishing && !digested_[rank])
    to_rank(rank, digest_request{1, books_.steps_done}, out);
}

/// Messages get lost when somebody dies, or by chaos. Otherwise a run that seems to stall computes for long.
bool step_coordinator::may_have_lost() const {
  return !setup_.spec->faults.chaos.empty() || !books_.recoveries.empty() || !books_.scheduler_recoveries.empty();
}

/// A rank need not be there yet: that it is may be what got lost. A snapshot that got lost on its way is not sent
/// again, so that a generation that is under way is forgotten, too.
coordinator_outputs step_coordinator::send_all_again(double seconds) {
  coordinator_outputs out;
  if (!restartable() || books_.phase == run_phase::closed)
    return out;
  if (may_have_lost() && books_.phase != run_phase::gathering_ranks) // large models take their time to begin
    out.emplace_back(run_stalled{.step = newest_step(), .seconds = seconds});
  for (open_step& step : open_)
    step.stalled = true;
  if (books_.newest_generation > books_.recovery_line) {
    write().newest_generation = books_.recovery_line;
    close_complete_steps(out);
  }
  for (std::uint32_t rank = 0; rank < books_.lives.size(); ++rank) {
    out.emplace_back(rank_order{rank, send_again{books_.lives[rank], books_.recovery_line, rank}});
    tell_again(rank, out);
  }
  for (auto* feeds : {&tokens_, &targets_})
    for (feed& one : *feeds)
      feed_again(one);
  inject(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const snapshot_kept& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation) || in.steps_done <= books_.recovery_line)
    return out;
  if (books_.phase == run_phase::closed) // a run that was given up is saved as of its recovery line, which stays
    return out;
  if (!kept_[in.rank].insert(in.steps_done).second)
    return out;
  note_progress();
  move_recovery_line(out);
  close_complete_steps(out);
  return out;
}

/// A generation that lacks a rank's snapshot will never be whole: another one may be asked for.
coordinator_outputs step_coordinator::accept(const snapshot_lost& in) {
  coordinator_outputs out;
  expect_rank(in.rank);
  kept_[in.rank].clear();
  if (books_.newest_generation == books_.recovery_line)
    return out;
  write().newest_generation = books_.recovery_line;
  close_complete_steps(out);
  return out;
}

/// To the newest generation that is whole, be it one that was forgotten meanwhile.
void step_coordinator::move_recovery_line(coordinator_outputs& out) {
  const auto is_whole = [&](std::uint64_t steps_done) {
    return std::ranges::all_of(kept_, [&](const auto& kept) { return kept.contains(steps_done); });
  };
  const auto newest = std::find_if(kept_.front().rbegin(), kept_.front().rend(), is_whole);
  if (newest == kept_.front().rend())
    return;
  write().recovery_line = *newest;
  write().newest_generation = std::max(books_.newest_generation, books_.recovery_line);
  for (std::set<std::uint64_t>& kept : kept_)
    kept.erase(kept.begin(), kept.upper_bound(books_.recovery_line));
  std::erase_if(write().history, [&](const begun_step& step) { return boundary_of(step.at) < books_.recovery_line; });
  out.emplace_back(recovery_line_message{books_.recovery_line});
}

/// The first report that its predecessor has not given shows that a rank has caught up.
void step_coordinator::note_caught_up(const step_report& in, coordinator_outputs& out) {
  const auto found = books_.recovering.find(in.rank);
  if (found == books_.recovering.end())
    return;
  rank_recovery& one = write().recoveries[found->second];
  one.caught_up = setup_.clock();
  one.replayed_passes = in.usage.replayed_passes;
  books_.recovering.erase(found);
  out.emplace_back(rank_recovered{one});
}

std::vector<rank_usage> step_coordinator::total_usage() const {
  std::vector<rank_usage> total;
  std::ranges::transform(books_.former_usage, books_.usage, std::back_inserter(total), sum_of);
  return total;
}

} // namespace troupe
