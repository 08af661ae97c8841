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
      ready_(lives_.size()), usage_(lives_.size()), steps_done_(setup_.steps_done), reported_(lives_.size()),
      digested_(lives_.size()) {
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
    out.emplace_back(rank_order{rank, order});
  }
}

std::uint32_t step_coordinator::microbatches() const {
  return at_.mode == pass_mode::train ? setup_.spec->training.microbatches : setup_.spec->validation.microbatches;
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
  if (!is_current(in.rank, in.source_incarnation) || phase_ != phase::in_step || in.at != at_ ||
      in.microbatch >= losses_.size() || losses_[in.microbatch])
    return out;
  if (!std::isfinite(in.loss))
    throw run_error("step " + std::to_string(in.at.step + 1) + ", microbatch " + std::to_string(in.microbatch) +
                    ": found a loss of " + std::to_string(in.loss) +
                    ", expected a finite number (a lower learning rate may help)");
  losses_[in.microbatch] = in.loss;
  ++losses_seen_;
  inject(out);
  close_if_complete(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const step_report& in) {
  coordinator_outputs out;
  if (!is_current(in.rank, in.source_incarnation) || phase_ != phase::in_step || in.at != at_ || reported_[in.rank])
    return out;
  reported_[in.rank] = true;
  usage_[in.rank] = in.usage;
  for (const stage_squares& stage : in.squares)
    squares_[stage.stage] = stage.squares;
  close_if_complete(out);
  return out;
}

coordinator_outputs step_coordinator::accept(const checkpoint_committed& in) {
  coordinator_outputs out;
  if (in.steps_done != checkpoint_in_flight_)
    return out;
  checkpoint_in_flight_ = 0;
  if (phase_ == phase::in_step)
    close_if_complete(out);
  else
    finish_if_complete(out);
  return out;
}

void step_coordinator::open(const step_id& at, coordinator_outputs& out) {
  phase_ = phase::in_step;
  at_ = at;
  opened_ = setup_.clock();
  losses_seen_ = 0;
  fill_lanes();
  losses_.assign(microbatches(), std::nullopt);
  reported_.assign(lives_.size(), false);
  squares_.clear();
  to_all(step_opening{1, at}, out);
  inject(out);
}

const microbatch_data& step_coordinator::data_for(std::uint32_t microbatch) {
  const auto found = sampled_.find(microbatch);
  return found != sampled_.end() ? found->second
                                 : sampled_.emplace(microbatch, setup_.data->sample(at_, microbatch)).first->second;
}

/// In training each copy takes its group of the microbatches; a validation runs through copy 0 alone.
void step_coordinator::fill_lanes() {
  const std::uint32_t group = setup_.pipeline->order.group_size();
  const bool training = at_.mode == pass_mode::train;
  std::uint32_t begin = 0;
  for (lane& one : lanes_) {
    one.next_tokens = one.next_targets = begin;
    one.end = training ? begin + group : microbatches();
    begin = one.end;
  }
}

void step_coordinator::inject(coordinator_outputs& out) {
  for (lane& one : lanes_)
    inject(one, out);
}

/// Sends tokens and targets, each on its own credit. In a validation nothing comes back to give credit by, so the
/// losses that are outstanding bound both.
void step_coordinator::inject(lane& into, coordinator_outputs& out) {
  const bool training = at_.mode == pass_mode::train;
  const std::uint32_t window = losses_seen_ + evaluation_window(*setup_.pipeline);
  const std::uint32_t both_sent = std::min(into.next_tokens, into.next_targets);
  const std::uint32_t first = into.first_rank;
  const std::uint32_t last = into.last_rank;
  for (std::uint32_t& next = into.next_tokens;
       next < into.end && (training ? into.used.tokens < into.granted.tokens : next < window); ++next) {
    into.used.tokens += training ? 1 : 0;
    out.emplace_back(rank_order{first, token_message{lives_[first], at_, next, data_for(next).tokens}});
  }
  for (std::uint32_t& next = into.next_targets;
       next < into.end && (training ? into.used.targets < into.granted.targets : next < window); ++next) {
    into.used.targets += training ? 1 : 0;
    out.emplace_back(rank_order{last, target_message{lives_[last], at_, next, data_for(next).targets}});
  }
  sampled_.erase(sampled_.lower_bound(both_sent), sampled_.lower_bound(std::min(into.next_tokens, into.next_targets)));
}

void step_coordinator::close_if_complete(coordinator_outputs& out) {
  if (losses_seen_ < losses_.size() || !all_of(reported_))
    return;
  const double loss =
      std::accumulate(losses_.begin(), losses_.end(), 0.0, [](double sum, const auto& one) { return sum + *one; }) /
      microbatches();
  if (at_.mode == pass_mode::train) {
    close_training_step(loss, out);
    return;
  }
  out.emplace_back(step_closed{at_, loss, 0.0, 0.0, setup_.clock() - opened_});
  open_after(at_, out);
}

void step_coordinator::close_training_step(double loss, coordinator_outputs& out) {
  const bool last = at_.step + 1 >= last_step_ || interrupted_;
  const bool snapshot = checkpoint_due(*setup_.spec, at_.step + 1, last);
  if (snapshot && checkpoint_in_flight_ != 0)
    return; // The store catches up first; checkpoint_committed brings us back here.
  std::vector<double> squares;
  for (const auto& [stage, sums] : squares_)
    squares.insert(squares.end(), sums.begin(), sums.end());
  const clip_decision clipped = clip_gradients(squares, setup_.spec->optimizer.clip);
  if (!std::isfinite(clipped.norm))
    throw run_error("step " + std::to_string(at_.step + 1) + ": found a gradient norm of " +
                    std::to_string(clipped.norm) + ", expected a finite number (a lower learning rate may help)");
  const double rate = learning_rate_at(setup_.spec->optimizer, at_.step);
  steps_done_ = at_.step + 1;
  ended_early_ = interrupted_ && steps_done_ < last_step_;
  checkpoint_in_flight_ = snapshot ? steps_done_ : checkpoint_in_flight_;
  last_snapshot_ = snapshot ? steps_done_ : last_snapshot_;
  to_all(step_decision{1, at_, clipped.scale, rate, snapshot ? take_snapshot::yes : take_snapshot::no}, out);
  out.emplace_back(step_closed{at_, loss, clipped.norm, rate, setup_.clock() - opened_});
  open_after(at_, out);
}

void step_coordinator::open_after(const step_id& closed, coordinator_outputs& out) {
  if (closed.mode == pass_mode::train && validation_due(*setup_.spec, steps_done_) && !ended_early_)
    open({closed.step, pass_mode::evaluate}, out);
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
