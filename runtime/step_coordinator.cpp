#include "runtime/step_coordinator.hpp"

#include "model/optimizer.hpp"
#include "runtime/digest.hpp"
#include "runtime/poison.hpp"
#include "runtime/run_end.hpp"
#include "runtime/run_rules.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace troupe {

namespace {

scheduler_books first_books(const coordinator_setup& setup) {
  const std::size_t ranks = setup.pipeline->ranks();
  const faults_spec& faults = setup.spec->faults;
  const bool to_be_saved = setup.from_held && checkpoint_due_at_start(*setup.spec, setup.steps_done);
  return {.steps_done = setup.steps_done,
          .recovery_line = setup.steps_done,
          .newest_generation = setup.steps_done,
          .checkpoint_in_flight = to_be_saved ? setup.steps_done : 0, // the ranks hand it in as they begin
          .last_snapshot = to_be_saved ? setup.steps_done : 0,
          .history = {},
          .lives = std::vector<incarnation>(ranks, 1),
          .births = std::vector<std::uint64_t>(ranks, setup.steps_done),
          .former = std::vector<rank_progress>(ranks),
          .usage = std::vector<rank_usage>(ranks),
          .former_usage = std::vector<rank_usage>(ranks),
          .policy = restart_policy(setup.pipeline->ranks(), faults.max_restarts, faults.restart_window_seconds),
          .recoveries = {},
          .recovering = {},
          .scheduler_recoveries = {}};
}

coordinator_outputs::iterator find_failure(coordinator_outputs& outputs) {
  return std::ranges::find_if(
      outputs, [](const coordinator_output& one) { return std::holds_alternative<failure_message>(one); });
}

/// Whether ranks are told that the run ends with the state that the step began with.
bool gives_up(const coordinator_outputs& outputs) {
  return std::ranges::any_of(outputs, [](const coordinator_output& one) {
    const auto* const order = std::get_if<rank_order>(&one);
    const auto* const decision = order == nullptr ? nullptr : std::get_if<step_decision>(&order->what);
    return decision != nullptr && decision->verdict == step_verdict::give_up;
  });
}

} // namespace

step_coordinator::step_coordinator(coordinator_setup setup)
    : setup_(std::move(setup)), last_step_(final_step(*setup_.spec)),
      books_(setup_.books == nullptr ? first_books(setup_) : *setup_.books), ready_(books_.lives.size()),
      kept_(books_.lives.size()), digested_(books_.lives.size()) {
  const plan& pipeline = *setup_.pipeline;
  for (std::uint32_t copy = 0; copy < pipeline.order.copies(); ++copy) {
    tokens_.push_back({.rank = pipeline.rank_of(0, copy), .copy = copy});
    targets_.push_back({.rank = pipeline.rank_of(pipeline.order.stages() - 1, copy), .copy = copy});
  }
  for (std::uint32_t rank = 0; rank < books_.lives.size(); ++rank)
    rewind(rank);
  for (const begun_step& step : books_.history)
    if (!step.closed) {
      gather(step);
      open_.back().stalled = true; // its predecessor's death is in how long it takes
    }
}

void step_coordinator::expect_rank(std::uint32_t rank) const {
  if (rank >= books_.lives.size())
    throw protocol_error("scheduler: found a message from rank " + std::to_string(rank) + ", expected a rank below " +
                         std::to_string(books_.lives.size()));
}

bool step_coordinator::is_current(std::uint32_t rank, incarnation life) const {
  expect_rank(rank);
  return books_.lives[rank] == life;
}

void step_coordinator::interrupt() {
  write().interrupted = true;
}

std::uint32_t step_coordinator::microbatches_of(pass_mode mode) const {
  return mode == pass_mode::train ? setup_.spec->training.microbatches : setup_.spec->validation.microbatches;
}

step_coordinator::open_step* step_coordinator::find_open(const step_id& at) {
  const auto found = std::ranges::find(open_, at, &open_step::at);
  return found == open_.end() ? nullptr : &*found;
}

coordinator_outputs step_coordinator::accept(const rank_ready& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation))
    return out;
  if (ready_[in.rank]) // it says so again, and what credit it has given
    return accept(credit_message{in.rank, in.source_incarnation, in.credit});
  if (in.steps_done != books_.births[in.rank])
    throw protocol_error("rank " + std::to_string(in.rank) + ": found a state after " + std::to_string(in.steps_done) +
                         " steps, expected one after " + std::to_string(books_.births[in.rank]));
  ready_[in.rank] = true;
  note_progress();
  grant(in.rank, in.credit);
  note_resumed(in.rank);
  if (books_.phase != run_phase::gathering_ranks) {
    tell_again(in.rank, out);
    inject(out);
  } else if (!all_set(ready_))
    return out;
  else if (setup_.from_held && validation_due(*setup_.spec, books_.steps_done))
    open({books_.steps_done - 1, pass_mode::evaluate}, out);
  else if (books_.steps_done >= last_step_)
    request_digests(out);
  else
    open({books_.steps_done, pass_mode::train}, out);
  return out;
}

step_opening step_coordinator::opening_of(const begun_step& step) const {
  return {.at = step.at, .end = step.end, .recovery_line = books_.recovery_line};
}

coordinator_outputs step_coordinator::accept(const credit_message& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation))
    return out;
  if (grant(in.rank, in.credit))
    note_progress();
  inject(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const loss_message& in) {
  coordinator_outputs out;
  open_step* const step = find_open(in.at);
  if (!is_current(in.rank, in.source_incarnation) || step == nullptr || in.microbatch >= step->losses.size() ||
      step->losses[in.microbatch])
    return out;
  step->losses[in.microbatch] = in.loss;
  ++step->losses_seen;
  note_progress();
  inject(out);
  close_complete_steps(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const step_report& in) {
  coordinator_outputs out;
  open_step* const step = find_open(in.at);
  if (!is_current(in.rank, in.source_incarnation) || step == nullptr || step->reported[in.rank])
    return out;
  step->reported[in.rank] = true;
  note_progress();
  if (in.usage.forward_passes >= books_.usage[in.rank].forward_passes) // reports of two steps come in any order
    books_.usage[in.rank] = in.usage;
  note_caught_up(in, out);
  for (const stage_squares& stage : in.squares)
    step->squares[stage.stage] = stage.squares;
  step->sightings.insert(step->sightings.end(), in.sightings.begin(), in.sightings.end());
  close_complete_steps(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const checkpoint_committed& in) {
  coordinator_outputs out;
  if (in.steps_done == books_.checkpoint_in_flight)
    go_on_after_checkpoint(out);
  return out;
}

/// What was to be saved is not: a run that is interrupted in the validation after it does not end there.
coordinator_outputs step_coordinator::accept(const checkpoint_failed& in) {
  coordinator_outputs out;
  if (in.steps_done != books_.checkpoint_in_flight)
    return out;
  const bool over = books_.phase == run_phase::closed;
  write().last_snapshot = 0;
  write().last_failed = in.steps_done;
  go_on_after_checkpoint(out);
  if (const auto end = find_failure(out); end != out.end()) {
    std::string& text = std::get<failure_message>(*end).text;
    text = with_failed_checkpoint(text, in);
  } else {
    // First: it must be in the report, which is written when the run is closed.
    out.emplace(out.begin(), checkpoint_failed{in.steps_done, in.reason, over || gives_up(out)});
  }
  return out;
}

void step_coordinator::go_on_after_checkpoint(coordinator_outputs& out) {
  write().checkpoint_in_flight = 0;
  note_progress();
  close_complete_steps(out);
  finish_if_complete(out);
}

void step_coordinator::open(const step_id& at, coordinator_outputs& out) {
  scheduler_books& books = write();
  books.phase = run_phase::in_step;
  const begun_step& begun =
      books.history.emplace_back(begun_step{.at = at, .end = end_of(at), .opened = setup_.clock()});
  gather(begun);
  to_all(opening_of(begun), out);
  open_successors(out);
  inject(out);
}

step_end step_coordinator::end_of(const step_id& at) const {
  const bool carries_on = setup_.pipeline->order.asynchronous && at.mode == pass_mode::train && !books_.interrupted &&
                          may_carry_on(*setup_.spec, at.step + 1) && !snapshot_due(*setup_.spec, true, at.step + 1);
  return carries_on ? step_end::carry_on : step_end::flush;
}

/// From here on the step's losses and reports are taken in.
void step_coordinator::gather(const begun_step& begun) {
  open_step& step = open_.emplace_back();
  step.at = begun.at;
  step.end = begun.end;
  step.opened = begun.opened;
  step.losses.assign(microbatches_of(begun.at.mode), std::nullopt);
  step.reported.assign(books_.lives.size(), false);
}

/// A step that carries on needs the next one open, or its ranks would wait.
void step_coordinator::open_successors(coordinator_outputs& out) {
  constexpr std::size_t most_open = 2;
  if (open_.size() < most_open && open_.back().end == step_end::carry_on)
    open({open_.back().at.step + 1, pass_mode::train}, out);
}

void step_coordinator::close_complete_steps(coordinator_outputs& out) {
  while (books_.phase != run_phase::closed && !open_.empty() &&
         open_.front().losses_seen == open_.front().losses.size() && all_set(open_.front().reported)) {
    const open_step& step = open_.front();
    const double loss = std::accumulate(step.losses.begin(), step.losses.end(), 0.0,
                                        [](double sum, const auto& one) { return sum + *one; }) /
                        microbatches_of(step.at.mode);
    if (step.at.mode == pass_mode::evaluate)
      out.emplace_back(step_closed{step.at, loss, 0.0, 0.0, seconds_of(step)});
    else if (!close_training_step(step, loss, out))
      return;
    const open_step closed = std::move(open_.front());
    open_.pop_front();
    note_closed(closed.at);
    open_after(closed, out);
  }
}

/// Where no rank restarts, nobody asks for a closed step again.
void step_coordinator::note_closed(const step_id& at) {
  if (!restartable())
    write().history.pop_front();
  else if (const auto begun = std::ranges::find(write().history, at, &begun_step::at); begun != books_.history.end())
    begun->closed = true;
}

/// False when the step has to stay open for now.
bool step_coordinator::close_training_step(const open_step& step, double loss, coordinator_outputs& out) {
  const std::uint64_t done = step.at.step + 1;
  const bool flushes = step.end == step_end::flush;
  const bool save = flushes && checkpoint_due(*setup_.spec, done, done >= last_step_ || books_.interrupted);
  if (save && books_.checkpoint_in_flight != 0)
    return false; // The store catches up first; checkpoint_committed brings us back here.
  const bool keep = flushes && restartable() &&
                    (save || snapshot_due(*setup_.spec, setup_.pipeline->order.asynchronous.has_value(), done));
  if (keep && books_.newest_generation > books_.recovery_line)
    return false; // The generation before is to be whole first; snapshot_kept brings us back here.
  std::vector<double> squares;
  for (const auto& [stage, sums] : step.squares)
    squares.insert(squares.end(), sums.begin(), sums.end());
  const clip_decision clipped = clip_gradients(squares, setup_.spec->optimizer.clip);
  std::vector<double> losses;
  std::ranges::transform(step.losses, std::back_inserter(losses), [](const auto& one) { return *one; });
  const std::optional<poisoned_step> poison = find_poison(losses, clipped.norm, step.sightings);
  if (poison && setup_.spec->faults.on_nan == nan_rule::stop) {
    give_up(step, *poison, out);
    return false;
  }
  const double rate = learning_rate_at(setup_.spec->optimizer, step.at.step);
  write().steps_done = done;
  write().ended_early = flushes && books_.interrupted && done < last_step_;
  write().checkpoint_in_flight = save ? done : books_.checkpoint_in_flight;
  write().last_snapshot = save ? done : books_.last_snapshot;
  write().newest_generation = keep ? done : books_.newest_generation;
  if (flushes) {
    const step_decision decision{.at = step.at,
                                 .gradient_scale = clipped.scale,
                                 .learning_rate = rate,
                                 .snapshot = save   ? take_snapshot::to_checkpoint
                                             : keep ? take_snapshot::to_keep
                                                    : take_snapshot::no,
                                 .verdict = poison ? step_verdict::skip : step_verdict::update,
                                 .recovery_line = books_.recovery_line};
    std::ranges::find(write().history, step.at, &begun_step::at)->decision = decision;
    to_all(decision, out);
  }
  out.emplace_back(
      step_closed{step.at, loss, clipped.norm, rate, seconds_of(step), poison, clipped.scale, save || keep});
  return true;
}

/// The run fails, unless a checkpoint is being written or there is a whole step of this run to be saved; then, once
/// that is done. What the disk has refused once is not tried again. The stages of an asynchronous schedule have none
/// any more.
void step_coordinator::give_up(const open_step& step, const poisoned_step& poison, coordinator_outputs& out) {
  if (books_.checkpoint_in_flight != 0)
    return;
  const bool whole = books_.steps_done > setup_.steps_done && !setup_.pipeline->order.asynchronous;
  const bool tried = books_.last_snapshot == books_.steps_done || books_.last_failed == books_.steps_done;
  if (setup_.spec->checkpoint.directory.empty() || !whole || tried)
    return fail(refusal_of(poison, step.at.step, setup_.spec->model, setup_.pipeline->stages.back().last), out);
  write().checkpoint_in_flight = write().last_snapshot = books_.steps_done;
  const step_decision decision{.at = step.at,
                               .snapshot = take_snapshot::to_checkpoint,
                               .verdict = step_verdict::give_up,
                               .recovery_line = books_.recovery_line};
  std::ranges::find(write().history, step.at, &begun_step::at)->decision = decision;
  to_all(decision, out);
}

void step_coordinator::fail(const std::string& cause, coordinator_outputs& out) {
  write().phase = run_phase::closed;
  out.emplace_back(failure_message{error_kind::run, cause});
}

/// From the step's opening to now, but not what passed before the step before it was closed.
double step_coordinator::seconds_of(const open_step& step) {
  const double now = setup_.clock();
  const double seconds = now - std::max(step.opened, std::exchange(write().last_closed, now));
  if (!step.stalled) // or patience would grow with each stall
    write().longest_step = std::max(books_.longest_step, seconds);
  return seconds;
}

void step_coordinator::open_after(const open_step& closed, coordinator_outputs& out) {
  if (!open_.empty())
    open_successors(out);
  else if (closed.at.mode == pass_mode::train && validation_due(*setup_.spec, books_.steps_done) && !books_.ended_early)
    open({closed.at.step, pass_mode::evaluate}, out);
  else if (books_.steps_done < last_step_ && !books_.ended_early && !may_end_here())
    open({books_.steps_done, pass_mode::train}, out);
  else
    request_digests(out);
}

/// The user interrupted the validation, and the step before it left nothing to be saved.
bool step_coordinator::may_end_here() {
  const bool saved = setup_.spec->checkpoint.directory.empty() || books_.last_snapshot == books_.steps_done;
  write().ended_early = books_.interrupted && saved;
  return books_.ended_early;
}

void step_coordinator::request_digests(coordinator_outputs& out) {
  write().phase = run_phase::finishing;
  to_all(digest_request{1, books_.steps_done}, out);
}

coordinator_outputs step_coordinator::accept(const digest_report& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation) || books_.phase != run_phase::finishing || digested_[in.rank])
    return out;
  digested_[in.rank] = true;
  note_progress();
  digests_.insert(digests_.end(), in.layers.begin(), in.layers.end());
  second_digests_.insert(second_digests_.end(), in.second_copy.begin(), in.second_copy.end());
  finish_if_complete(out);
  return out;
}

void step_coordinator::finish_if_complete(coordinator_outputs& out) {
  if (books_.phase != run_phase::finishing || !all_set(digested_) || books_.checkpoint_in_flight != 0)
    return;
  write().phase = run_phase::closed;
  std::ranges::sort(digests_, {}, &layer_digests::layer);
  std::ranges::sort(second_digests_, {}, &layer_digests::layer);
  TROUPE_CHECK(tokens_.size() == 1 || second_digests_ == digests_, "two copies of the model drifted apart");
  const state_hashes hashes = combine(digests_);
  out.emplace_back(run_closed{hashes.weights_sha256, hashes.optimizer_sha256, total_usage(), books_.ended_early,
                              books_.recoveries, books_.scheduler_recoveries});
}

} // namespace troupe
