// The half of witness that watches who handles what, and looks at everybody's state afterwards.
#include "runtime/run_rules.hpp"
#include "tests/simulation/message_text.hpp"
#include "tests/simulation/witness.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace troupe::test {

namespace {

/// Who sent it, in which life; nothing of messages that do not say.
std::optional<std::pair<std::uint32_t, incarnation>> sender_of(const message_content& what) {
  std::optional<std::pair<std::uint32_t, incarnation>> found;
  const auto try_one = [&]<class Message>(const Message*) {
    if (const Message* const message = message_if<Message>(what))
      found = {message->rank, message->source_incarnation};
  };
  try_one(static_cast<const rank_ready*>(nullptr));
  try_one(static_cast<const credit_message*>(nullptr));
  try_one(static_cast<const loss_message*>(nullptr));
  try_one(static_cast<const step_report*>(nullptr));
  try_one(static_cast<const digest_report*>(nullptr));
  try_one(static_cast<const snapshot_kept*>(nullptr));
  if (const auto* const lost = message_if<rank_lost>(what))
    found = {lost->rank, lost->life};
  return found;
}

/// For which life of a rank it is; nothing of messages that do not say, and of those from other ranks.
std::optional<incarnation> receiver_of(const message_content& what) {
  std::optional<incarnation> found;
  const auto try_one = [&]<class Message>(const Message*) {
    if (const Message* const message = message_if<Message>(what))
      found = message->target_incarnation;
  };
  try_one(static_cast<const token_message*>(nullptr));
  try_one(static_cast<const target_message*>(nullptr));
  try_one(static_cast<const step_opening*>(nullptr));
  try_one(static_cast<const step_decision*>(nullptr));
  try_one(static_cast<const digest_request*>(nullptr));
  try_one(static_cast<const send_again*>(nullptr));
  if (const auto* const successor = message_if<scheduler_successor>(what))
    found = successor->what.target_incarnation;
  return found;
}

const route* route_of(const message_content& what) {
  const route* found = nullptr;
  const auto try_one = [&]<class Message>(const Message*) {
    if (const Message* const message = message_if<Message>(what))
      found = &message->via;
  };
  try_one(static_cast<const activation_message*>(nullptr));
  try_one(static_cast<const gradient_message*>(nullptr));
  try_one(static_cast<const group_gradient_message*>(nullptr));
  try_one(static_cast<const tied_gradient_message*>(nullptr));
  try_one(static_cast<const tied_value_message*>(nullptr));
  return found;
}

} // namespace

/// Steps that may have begun beyond the recovery line: one generation of snapshots is under way, and the step that
/// needs the next one stays open. A run that stalls forgets the generation that is under way.
std::uint64_t witness::most_steps_beyond_line() const {
  const std::uint64_t between =
      steps_between_snapshots(run_->setup().spec, run_->setup().pipeline.order.asynchronous.has_value());
  return (2 + stalls_) * between;
}

void witness::picked(const actor_name& to, const message_content& what, bag_fate fate, bool overtook) {
  log_.note(static_cast<std::uint64_t>(fate));
  log_.note(what.type_token());
  counts_[counted::lost] += fate == bag_fate::lost ? 1 : 0;
  counts_[counted::duplicated] += fate == bag_fate::stays ? 1 : 0;
  counts_[counted::overtaken] += overtook ? 1 : 0;
  if (!log_.verbose())
    return;
  constexpr std::array fates = {"arrives", "arrives, and will once more", "is lost"};
  log_.say("{} {} at {}: {}", run_->events(), fates.at(static_cast<std::size_t>(fate)), to_text(to), to_text(what));
}

void witness::waited() {
  log_.say("{} nothing is left to happen: time goes on to {:.6f}", run_->events(), run_->now());
}

void witness::before(const actor_name& who, const message_content* what) {
  log_.note(static_cast<std::uint64_t>(who.role) + 8 * (who.rank + 64 * std::uint64_t{who.life}));
  log_.note(what == nullptr ? 0 : what->type_token());
  if (log_.verbose())
    log_.say("{} {}: {}", run_->events(), to_text(who), what == nullptr ? "begins" : to_text(*what));
  if (what == nullptr)
    return;
  switch (who.role) {
  case actor_role::rank:
    return before_rank(who, *what);
  case actor_role::scheduler:
    return before_scheduler(who, *what);
  case actor_role::keeper:
    return before_keeper(*what);
  case actor_role::store:
    return before_store(*what);
  case actor_role::recorder:
    return before_recorder(*what);
  }
}

void witness::after(const actor_name& who) {
  if (who.role == actor_role::rank)
    check_rank(who);
  else if (who.role == actor_role::scheduler)
    check_scheduler();
  else if (who.role == actor_role::keeper)
    check_keeper();
  dropped_before_.reset();
  progress_before_.reset();
}

void witness::before_rank(const actor_name& who, const message_content& what) {
  heard_lives& heard = heard_[who.rank];
  if (heard.own != who.life) {
    const auto birth = births_.find(who.rank);
    heard.of = birth == births_.end() ? std::vector<incarnation>() : birth->second.birth.lives;
    heard.of.resize(heard_.size(), 1);
    heard.own = heard.of[who.rank] = who.life;
  }
  const stage_actor_state* const state = run_->state_of_rank(who.rank);
  if (state == nullptr || !state->runner || !is_stale(who, what))
    return;
  counts_[counted::stale]++;
  dropped_before_ = state->runner->dropped_messages();
}

bool witness::is_stale(const actor_name& who, const message_content& what) {
  heard_lives& heard = heard_[who.rank];
  if (const auto* const other = message_if<successor_message>(what); other != nullptr && other->what.rank != who.rank)
    heard.of[other->what.rank] = std::max(heard.of[other->what.rank], other->what.life);
  if (const std::optional<incarnation> life = receiver_of(what))
    return *life != who.life;
  const route* const via = route_of(what);
  return via != nullptr && is_stale_route(heard, *via);
}

bool witness::is_stale_route(heard_lives& heard, const route& via) const {
  incarnation& newest = heard.of[via.source_rank];
  if (via.source_incarnation < newest || via.target_incarnation != heard.own)
    return true;
  newest = via.source_incarnation;
  return false;
}

void witness::check_rank(const actor_name& who) {
  const stage_actor_state* const state = run_->state_of_rank(who.rank);
  if (state == nullptr || !state->runner || heard_[who.rank].own != who.life)
    return;
  if (dropped_before_)
    expect(state->runner->dropped_messages() > *dropped_before_,
           fmt::format("rank {} drops what is from or for a former life", who.rank));
  const outbox& kept = state->runner->kept_messages();
  const auto span = kept.boundaries();
  if (!span)
    return;
  expect(span->first >= kept.recovery_line(),
         fmt::format("rank {} keeps nothing from before the recovery line {}: found a message of {}", who.rank,
                     kept.recovery_line(), span->first));
  expect(kept.recovery_line() <= line_,
         fmt::format("rank {} knows no recovery line beyond {}: found {}", who.rank, line_, kept.recovery_line()));
  expect(
      span->second <= newest_opened_ + 1,
      fmt::format("rank {} keeps nothing beyond the steps that began: found a message of {}", who.rank, span->second));
  expect(span->second - span->first <= most_steps_beyond_line() + 1,
         fmt::format("rank {} keeps what two generations of snapshots span: found messages of {} to {}", who.rank,
                     span->first, span->second));
}

void witness::before_scheduler(const actor_name& who, const message_content& what) {
  if (who.life > scheduler_deaths_ + 1) {
    ++scheduler_deaths_;
    counts_[counted::scheduler_deaths]++;
    tell_(occasion::scheduler_restarted);
  }
  if (const auto* const lost = message_if<rank_lost>(what))
    deaths_[lost->rank] = std::max(deaths_[lost->rank], lost->life);
  const scheduler_actor_state* const state = run_->state_of_scheduler();
  const auto sender = sender_of(what);
  if (state == nullptr || !state->coordinator || !sender)
    return;
  if (sender->second == state->coordinator->books().lives.at(sender->first))
    return;
  counts_[counted::stale]++;
  progress_before_ = state->coordinator->progress();
}

void witness::check_scheduler() {
  const scheduler_actor_state* const state = run_->state_of_scheduler();
  if (state == nullptr || !state->coordinator)
    return;
  if (progress_before_)
    expect(state->coordinator->progress() == *progress_before_, "the scheduler drops what is from a former life");
  const scheduler_books& books = state->coordinator->books();
  expect(books.steps_done >= steps_done_ && books.recovery_line >= line_,
         fmt::format("neither steps nor the recovery line go back: found {} and {}, expected at least {} and {}",
                     books.steps_done, books.recovery_line, steps_done_, line_));
  expect(!over_ || books.recovery_line == line_,
         "the recovery line of a run that is over stays where the run is saved");
  over_ = books.phase == run_phase::closed;
  if (books.recovery_line > line_)
    check_line(books.recovery_line);
  steps_done_ = std::max(steps_done_, books.steps_done);
  line_ = std::max(line_, books.recovery_line);
  const auto open = std::ranges::count_if(books.history, [](const begun_step& one) { return !one.closed; });
  const bool joins = run_->setup().pipeline.order.asynchronous.has_value();
  expect(open <= (joins ? 2 : 1), fmt::format("at most {} steps are open: found {}", joins ? 2 : 1, open));
  if (drawn_.spec.faults.snapshot_every != 0 && !books.history.empty())
    expect(books.history.back().at.step < books.recovery_line + most_steps_beyond_line(),
           fmt::format("step {} began when the recovery line was at {}: expected at most {} steps beyond it",
                       books.history.back().at.step, books.recovery_line, most_steps_beyond_line()));
}

/// Of a run that has not got beyond where it began nobody needs a snapshot.
void witness::check_line(std::uint64_t line) {
  const keeper_actor_state* const keeper = run_->state_of_keeper();
  if (keeper == nullptr || line == run_->setup().first_step())
    return;
  for (std::uint32_t rank = 0; rank < heard_.size(); ++rank)
    expect(keeper->shelf.life_of(rank, line).has_value(),
           fmt::format("the keeper has all snapshots at the recovery line {}: found none of rank {}", line, rank));
}

void witness::before_keeper(const message_content& what) {
  if (const auto* const order = message_if<restart_order>(what)) {
    counts_[counted::rank_deaths]++;
    births_[order->rank] = *order;
    expect(order->birth.newest_step < order->birth.steps_done + most_steps_beyond_line() + 1,
           fmt::format("rank {} replays what two generations of snapshots span: found steps {} to {}", order->rank,
                       order->birth.steps_done, order->birth.newest_step));
    tell_(occasion::rank_restarted);
  }
  if (const auto* const end = message_if<run_given_up>(what))
    given_up_ = *end;
  if (message_if<rank_snapshot>(what) != nullptr)
    tell_(occasion::snapshot_kept);
}

void witness::check_keeper() {
  const keeper_actor_state* const keeper = run_->state_of_keeper();
  if (keeper == nullptr)
    return;
  if (keeper->scheduler.books != nullptr)
    check_line(keeper->scheduler.books->recovery_line);
  expect(keeper->shelf.size() <= heard_.size() * (2 + stalls_),
         fmt::format("the keeper has at most two snapshots of each rank: found {} of {} ranks", keeper->shelf.size(),
                     heard_.size()));
}

void witness::before_store(const message_content& what) {
  if (message_if<rank_snapshot>(what) != nullptr)
    tell_(occasion::checkpoint_part);
  if (const auto* const end = message_if<run_given_up>(what))
    given_up_ = *end;
}

void witness::before_recorder(const message_content& what) {
  if_is<step_closed>(what, &witness::note_closed);
}

} // namespace troupe::test
