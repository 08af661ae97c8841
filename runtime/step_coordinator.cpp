#include "runtime/step_coordinator.hpp"

#include "model/optimizer.hpp"
#include "runtime/digest.hpp"
#include "runtime/run_rules.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace troupe {

namespace {

bool all_of(const std::vector<bool>& flags) {
  return std::ranges::all_of(flags, [](bool set) { return set; });
}

incarnation& life_of(auto& order) {
  return order.target_incarnation;
}

} // namespace

step_coordinator::step_coordinator(coordinator_setup setup)
    : setup_(std::move(setup)), last_step_(final_step(*setup_.spec)), lives_(setup_.pipeline->ranks(), 1),
      ready_(lives_.size()), usage_(lives_.size()), steps_done_(setup_.steps_done), digested_(lives_.size()) {
  const plan& pipeline = *setup_.pipeline;
  lanes_.resize(pipeline.order.copies());
  for (std::uint32_t copy = 0; copy < lanes_.size(); ++copy) {
    lanes_[copy].first_rank = pipeline.rank_of(0, copy);
    lanes_[copy].last_rank = pipeline.rank_of(pipeline.order.stages() - 1, copy);
  }
}

bool step_coordinator::is_current(std::uint32_t rank, incarnation life) const {
  if (rank >= lives_.size())
    throw protocol_error("scheduler: found a message from rank " + std::to_string(rank) + ", expected a rank below " +
                         std::to_string(lives_.size()));
  return lives_[rank] == life;
}

/// A rank has the first stage of at most one copy, and the last stage of at most one.
void step_coordinator::grant(std::uint32_t rank, const credit_totals& credit) {
  for (lane& one : lanes_) {
    if (one.first_rank == rank)
      one.granted.tokens = std::max(one.granted.tokens, credit.tokens);
    if (one.last_rank == rank)
      one.granted.targets = std::max(one.granted.targets, credit.targets);
  }
}

template <class Order>
void step_coordinator::to_all(Order order, coordinator_outputs& out) const {
  for (std::uint32_t rank = 0; rank < lives_.size(); ++rank) {
    life_of(order) = lives_[rank];
    order.target_rank = rank;
    out.emplace_back(rank_order{rank, order});
  }
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
  if (!is_current(in.rank, in.source_incarnation) || ready_[in.rank])
    return out;
  ready_[in.rank] = true;
  grant(in.rank, in.credit);
  if (phase_ == phase::gathering_ranks && all_of(ready_)) {
    if (steps_done_ >= last_step_)
      request_digests(out);
    else
      open({steps_done_, pass_mode::train}, out);
  }
  return out;
}

coordinator_outputs step_coordinator::accept(const credit_message& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation))
    return out;
  grant(in.rank, in.credit);
  if (phase_ == phase::in_step)
    inject(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const loss_message& in) {
  coordinator_outputs out;
  open_step* const step = find_open(in.at);
  if (!is_current(in.rank, in.source_incarnation) || step == nullptr || in.microbatch >= step->losses.size() ||
      step->losses[in.microbatch])
    return out;
  if (!std::isfinite(in.loss))
    throw run_error("step " + std::to_string(in.at.step + 1) + ", microbatch " + std::to_string(in.microbatch) +
                    ": found a loss of " + std::to_string(in.loss) +
                    ", expected a finite number (a lower learning rate may help)");
  step->losses[in.microbatch] = in.loss;
  ++step->losses_seen;
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
  usage_[in.rank] = in.usage;
  for (const stage_squares& stage : in.squares)
    step->squares[stage.stage] = stage.squares;
  close_complete_steps(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const checkpoint_committed& in) {
  coordinator_outputs out;
  if (in.steps_done == checkpoint_in_flight_)
    go_on_after_checkpoint(out);
  return out;
}

/// What was to be saved is not: a run that is interrupted in the validation after it does not end there.
coordinator_outputs step_coordinator::accept(const checkpoint_failed& in) {
  coordinator_outputs out;
  if (in.steps_done != checkpoint_in_flight_)
    return out;
  last_snapshot_ = 0;
  go_on_after_checkpoint(out);
  return out;
}

void step_coordinator::go_on_after_checkpoint(coordinator_outputs& out) {
  checkpoint_in_flight_ = 0;
  close_complete_steps(out);
  finish_if_complete(out);
}

void step_coordinator::open(const step_id& at, coordinator_outputs& out) {
  phase_ = phase::in_step;
  open_step& step = open_.emplace_back();
  step.at = at;
  step.opened = setup_.clock();
  step.feeds = feeds_of(at.mode);
  step.losses.assign(microbatches_of(at.mode), std::nullopt);
  step.reported.assign(lives_.size(), false);
  if (setup_.pipeline->order.asynchronous && at.mode == pass_mode::train && !interrupted_ &&
      may_carry_on(*setup_.spec, at.step + 1))
    step.end = step_end::carry_on;
  to_all(step_opening{1, at, step.end}, out);
  open_successors(out);
  inject(out);
}

/// A step that carries on needs the next one open, or its ranks would wait.
void step_coordinator::open_successors(coordinator_outputs& out) {
  constexpr std::size_t most_open = 2;
  if (open_.size() < most_open && open_.back().end == step_end::carry_on)
    open({open_.back().at.step + 1, pass_mode::train}, out);
}

const microbatch_data& step_coordinator::data_for(open_step& step, std::uint32_t microbatch) {
  const auto found = step.sampled.find(microbatch);
  return found != step.sampled.end()
             ? found->second
             : step.sampled.emplace(microbatch, setup_.data->sample(step.at, microbatch)).first->second;
}

/// In training each copy takes its group of the microbatches; a validation runs through copy 0 alone.
std::vector<step_coordinator::feed> step_coordinator::feeds_of(pass_mode mode) const {
  std::vector<feed> feeds;
  std::uint32_t begin = 0;
  for (std::size_t copy = 0; copy < lanes_.size(); ++copy) {
    const std::uint32_t end =
        mode == pass_mode::train ? begin + setup_.pipeline->order.group_size() : microbatches_of(mode);
    feeds.push_back({begin, begin, end});
    begin = end;
  }
  return feeds;
}

void step_coordinator::inject(coordinator_outputs& out) {
  for (open_step& step : open_)
    for (std::uint32_t copy = 0; copy < lanes_.size(); ++copy)
      inject(step, copy, out);
}

/// Sends tokens and targets, each on its own credit. In a validation nothing comes back to give credit by, so the
/// losses that are outstanding bound both.
void step_coordinator::inject(open_step& step, std::uint32_t copy, coordinator_outputs& out) {
  const bool training = step.at.mode == pass_mode::train;
  const std::uint32_t window = step.losses_seen + evaluation_window(*setup_.pipeline);
  lane& into = lanes_[copy];
  feed& from = step.feeds[copy];
  const std::uint32_t both_sent = std::min(from.next_tokens, from.next_targets);
  const std::uint32_t first = into.first_rank;
  const std::uint32_t last = into.last_rank;
  for (std::uint32_t& next = from.next_tokens;
       next < from.end && (training ? into.used.tokens < into.granted.tokens : next < window); ++next) {
    into.used.tokens += training ? 1 : 0;
    out.emplace_back(
        rank_order{first, token_message{lives_[first], step.at, next, data_for(step, next).tokens, first}});
  }
  for (std::uint32_t& next = from.next_targets;
       next < from.end && (training ? into.used.targets < into.granted.targets : next < window); ++next) {
    into.used.targets += training ? 1 : 0;
    out.emplace_back(rank_order{last, target_message{lives_[last], step.at, next, data_for(step, next).targets, last}});
  }
  step.sampled.erase(step.sampled.lower_bound(both_sent),
                     step.sampled.lower_bound(std::min(from.next_tokens, from.next_targets)));
}

void step_coordinator::close_complete_steps(coordinator_outputs& out) {
  while (!open_.empty() && open_.front().losses_seen == open_.front().losses.size() && all_of(open_.front().reported)) {
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
    open_after(closed, out);
  }
}

/// False when the step has to stay open for now.
bool step_coordinator::close_training_step(const open_step& step, double loss, coordinator_outputs& out) {
  const std::uint64_t done = step.at.step + 1;
  const bool flushes = step.end == step_end::flush;
  const bool snapshot = flushes && checkpoint_due(*setup_.spec, done, done >= last_step_ || interrupted_);
  if (snapshot && checkpoint_in_flight_ != 0)
    return false; // The store catches up first; checkpoint_committed brings us back here.
  std::vector<double> squares;
  for (const auto& [stage, sums] : step.squares)
    squares.insert(squares.end(), sums.begin(), sums.end());
  const clip_decision clipped = clip_gradients(squares, setup_.spec->optimizer.clip);
  if (!std::isfinite(clipped.norm))
    throw run_error("step " + std::to_string(done) + ": found a gradient norm of " + std::to_string(clipped.norm) +
                    ", expected a finite number (a lower learning rate may help)");
  const double rate = learning_rate_at(setup_.spec->optimizer, step.at.step);
  steps_done_ = done;
  ended_early_ = flushes && interrupted_ && done < last_step_;
  checkpoint_in_flight_ = snapshot ? done : checkpoint_in_flight_;
  last_snapshot_ = snapshot ? done : last_snapshot_;
  if (flushes)
    to_all(step_decision{1, step.at, clipped.scale, rate, snapshot ? take_snapshot::yes : take_snapshot::no}, out);
  out.emplace_back(step_closed{step.at, loss, clipped.norm, rate, seconds_of(step)});
  return true;
}

/// From the step's opening to now, but not what passed before the step before it was closed.
double step_coordinator::seconds_of(const open_step& step) {
  const double now = setup_.clock();
  return now - std::max(step.opened, std::exchange(last_closed_, now));
}

void step_coordinator::open_after(const open_step& closed, coordinator_outputs& out) {
  if (!open_.empty())
    open_successors(out);
  else if (closed.at.mode == pass_mode::train && validation_due(*setup_.spec, steps_done_) && !ended_early_)
    open({closed.at.step, pass_mode::evaluate}, out);
  else if (steps_done_ < last_step_ && !ended_early_ && !may_end_here())
    open({steps_done_, pass_mode::train}, out);
  else
    request_digests(out);
}

/// The user interrupted the validation, and the step before it left nothing to be saved.
bool step_coordinator::may_end_here() {
  const bool saved = setup_.spec->checkpoint.directory.empty() || last_snapshot_ == steps_done_;
  ended_early_ = interrupted_ && saved;
  return ended_early_;
}

void step_coordinator::request_digests(coordinator_outputs& out) {
  phase_ = phase::finishing;
  to_all(digest_request{1, steps_done_}, out);
}

coordinator_outputs step_coordinator::accept(const digest_report& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation) || phase_ != phase::finishing || digested_[in.rank])
    return out;
  digested_[in.rank] = true;
  digests_.insert(digests_.end(), in.layers.begin(), in.layers.end());
  second_digests_.insert(second_digests_.end(), in.second_copy.begin(), in.second_copy.end());
  finish_if_complete(out);
  return out;
}

void step_coordinator::finish_if_complete(coordinator_outputs& out) {
  if (phase_ != phase::finishing || !all_of(digested_) || checkpoint_in_flight_ != 0)
    return;
  phase_ = phase::closed;
  std::ranges::sort(digests_, {}, &layer_digests::layer);
  std::ranges::sort(second_digests_, {}, &layer_digests::layer);
  TROUPE_CHECK(lanes_.size() == 1 || second_digests_ == digests_, "two copies of the model drifted apart");
  const state_hashes hashes = combine(digests_);
  out.emplace_back(run_closed{hashes.weights_sha256, hashes.optimizer_sha256, usage_, ended_early_});
}

} // namespace troupe
