#include "tests/simulation/witness.hpp"

#include "runtime/checkpoint.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/wire/crc32c.hpp"
#include "tests/simulation/message_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <exception>
#include <filesystem>
#include <span>
#include <utility>

namespace troupe::test {

namespace {

namespace fs = std::filesystem;
using entry = ledger::entry;

constexpr const char* probe_name = "probe";

std::uint64_t bits(double number) {
  return std::bit_cast<std::uint64_t>(number);
}

std::uint32_t sum_of(const tensor& values, std::uint32_t before = 0) {
  return crc32c(std::as_bytes(values.values()), before);
}

std::uint32_t sum_of(const std::vector<double>& values) {
  return crc32c(std::as_bytes(std::span(values)));
}

std::uint32_t sum_of(const std::vector<layer_digests>& layers) {
  std::uint32_t sum = 0;
  for (const layer_digests& layer : layers)
    for (const parameter_digest& one : layer.parameters)
      sum = crc32c(std::as_bytes(std::span(one.state)), crc32c(std::as_bytes(std::span(one.weights)), sum));
  return sum;
}

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

witness::witness(const scenario& drawn, simulated_disk& disk, event_log& log, tally& counts, facts_of_training& facts,
                 listener tell)
    : drawn_(drawn), disk_(disk), log_(log), counts_(counts), facts_(facts), tell_(std::move(tell)) {}

void witness::watch(const unruly_run& run) {
  run_ = &run;
  line_ = steps_done_ = newest_opened_ = run.setup().first_step();
  const std::uint32_t ranks = run.setup().pipeline.ranks();
  deaths_.assign(ranks, 0);
  heard_.assign(ranks, {});
}

/// A process that has just died in the middle of a handler goes on to its end: nobody sees what it does.
void witness::expect(bool holds, const std::string& promise) {
  if (!holds && problem_.empty() && !disk_.crashed())
    problem_ = promise;
}

/// Steps that may have begun beyond the recovery line: one generation of snapshots is under way, and the step that
/// needs the next one stays open. A run that stalls forgets the generation that is under way.
std::uint64_t witness::most_steps_beyond_line() const {
  const std::uint64_t between =
      steps_between_snapshots(run_->setup().spec, run_->setup().pipeline.order.asynchronous.has_value());
  return (2 + stalls_) * between;
}

// What is said

void witness::sent(const actor_name& to, const message_content& what) {
  log_.note(what.type_token());
  if (log_.verbose())
    log_.say("  sends {}: {}", to_text(to), to_text(what));
  if_is<activation_message>(what, &witness::note_sent);
  if_is<gradient_message>(what, &witness::note_sent);
  if_is<group_gradient_message>(what, &witness::note_sent);
  if_is<tied_gradient_message>(what, &witness::note_sent);
  if_is<tied_value_message>(what, &witness::note_sent);
  if_is<loss_message>(what, &witness::note_sent);
  if_is<step_report>(what, &witness::note_sent);
  if_is<digest_report>(what, &witness::note_sent);
  if_is<step_opening>(what, &witness::note_sent);
  if_is<step_decision>(what, &witness::note_sent);
  if_is<digest_request>(what, &witness::note_sent);
  if (to.rank == 0)
    if_is<send_again>(what, &witness::note_sent);
  if_is<checkpoint_committed>(what, &witness::note_sent);
  if_is<checkpoint_failed>(what, &witness::note_sent);
}

template <class Message>
void witness::expect_same(ledger& where, entry what, const Message& in, std::uint64_t part, std::uint64_t microbatch,
                          std::uint64_t number) {
  if (disk_.crashed())
    return;
  log_.note(number);
  if (!where.write(what, in.at, part, microbatch, number))
    expect(false, fmt::format("what is said of one thing is always the same: found another value in {}",
                              to_text(static_cast<const message_content&>(*caf::make_message(in).cvals()))));
}

void witness::note_sent(const activation_message& in) {
  expect_same(said_, entry::activation, in, in.stage, in.microbatch, sum_of(in.values));
}

void witness::note_sent(const gradient_message& in) {
  expect_same(said_, entry::gradient, in, in.stage, in.microbatch, sum_of(in.values));
}

void witness::note_sent(const group_gradient_message& in) {
  std::uint32_t sum = 0;
  for (const tensor& one : in.values)
    sum = sum_of(one, sum);
  expect_same(said_, entry::group_gradient, in, in.stage, in.via.source_rank, sum);
}

void witness::note_sent(const tied_gradient_message& in) {
  expect_same(said_, entry::tied_gradient, in, in.via.source_rank, 0, sum_of(in.values));
}

void witness::note_sent(const tied_value_message& in) {
  expect_same(said_, entry::tied_value, in, in.via.source_rank, 0, sum_of(in.values));
}

void witness::note_sent(const loss_message& in) {
  expect_same(facts_.said, entry::loss, in, 0, in.microbatch, bits(in.loss));
}

void witness::note_sent(const step_report& in) {
  for (const stage_squares& one : in.squares)
    expect_same(said_, entry::squares, in, one.stage, 0, sum_of(one.squares));
}

void witness::note_sent(const digest_report& in) {
  log_.note(sum_of(in.layers));
  expect(said_.write(entry::digests, {}, in.rank, 0, sum_of(in.layers)),
         fmt::format("rank {} reports the same digests whenever it is asked", in.rank));
}

void witness::note_sent(const step_opening& in) {
  newest_opened_ = std::max(newest_opened_, boundary_of(in.at));
  if (in.at.mode == pass_mode::evaluate)
    tell_(occasion::validation_opened);
  if (drawn_.saves() && !disk_.armed())
    tell_(occasion::start);
}

void witness::note_sent(const digest_request& /*in*/) {
  tell_(occasion::digests_asked);
}

void witness::note_sent(const send_again& /*in*/) {
  ++stalls_;
  counts_[counted::stalls]++;
  tell_(occasion::told_again);
}

void witness::note_sent(const step_decision& in) {
  if (in.verdict == step_verdict::give_up) // the run ends; one that goes on from there decides otherwise
    return;
  expect_same(facts_.said, entry::scale, in, 0, 0, bits(in.gradient_scale));
  expect_same(facts_.said, entry::rate, in, 0, 0, bits(in.learning_rate));
  expect_same(facts_.said, entry::verdict, in, 0, 0, static_cast<std::uint64_t>(in.verdict));
  if (in.snapshot != take_snapshot::no)
    tell_(occasion::snapshot_asked);
  if (decided_.insert(in.at).second)
    expect_logged(in);
}

/// Where the disk has refused it, the run goes on without.
void witness::expect_logged(const step_decision& in) {
  if (!drawn_.saves() || disk_.crashed())
    return;
  const std::string bytes = disk_.durable_bytes(decision_log_name);
  const bool refused =
      disk_.failed_on(decision_log_name) + disk_.failed_on(".decisions.log.tmp") + disk_.failed_on(disk_name) > 0;
  try {
    const std::vector<logged_decision> logged = parse_decision_log(bytes, decision_log_name).decisions;
    const auto found = std::ranges::find(logged, in.at, &logged_decision::at);
    if (found == logged.end())
      return expect(refused,
                    fmt::format("a decision is on the disk before it is sent: found nothing of step {}", in.at.step));
    expect(bits(found->gradient_scale) == bits(in.gradient_scale) &&
               bits(found->learning_rate) == bits(in.learning_rate) &&
               found->skipped == (in.verdict == step_verdict::skip),
           fmt::format("the log holds what was sent: found another decision on step {}", in.at.step));
  } catch (const error& damage) {
    expect(refused, fmt::format("a decision is on the disk before it is sent: {}", damage.what()));
  }
}

void witness::note_sent(const checkpoint_committed& in) {
  tell_(occasion::checkpoint_over);
  if (disk_.crashed() || !committed_.insert(in.steps_done).second)
    return;
  counts_[counted::commits]++;
  facts_.committed = std::max(facts_.committed, in.steps_done);
  expect_on_disk(in);
}

/// Whatever a crash makes of what was not synced.
void witness::expect_on_disk(const checkpoint_committed& in) {
  expect(in.steps_done <= steps_done_,
         fmt::format("a checkpoint is of a step that was decided: found {} after {}", in.steps_done, steps_done_));
  try {
    disk_.copy_survivors(probe_name, crash_loss::everything);
    std::vector<std::string> warnings;
    const std::uint64_t found = checkpoint::open_latest(probe_name, warnings).steps_done();
    expect(found >= in.steps_done && warnings.empty(),
           fmt::format("a checkpoint that is said to be on the disk survives a crash: found the one after {} steps, "
                       "expected {} {}",
                       found, in.steps_done, warnings.empty() ? "" : warnings.front()));
  } catch (const std::exception& failure) {
    expect(false, fmt::format("a checkpoint that is said to be on the disk survives a crash: {}", failure.what()));
  }
}

void witness::note_sent(const checkpoint_failed& /*in*/) {
  counts_[counted::failed_checkpoints]++;
  tell_(occasion::checkpoint_over);
}

// What happens

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
    expect(keeper->shelf.find(rank, line) != nullptr,
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
  const auto* const closed = message_if<step_closed>(what);
  if (closed == nullptr)
    return;
  expect(closed_.insert(closed->at).second,
         fmt::format("a step is closed once: found {} {} again",
                     closed->at.mode == pass_mode::train ? "step" : "the validation after step", closed->at.step));
  expect_same(facts_.said, entry::mean_loss, *closed, 0, 0, bits(closed->loss));
  expect_same(facts_.said, entry::norm, *closed, 0, 0, bits(closed->gradient_norm));
}

} // namespace troupe::test
