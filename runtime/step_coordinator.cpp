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
      digested_(lives_.size()) {}

bool step_coordinator::is_current(std::uint32_t rank, incarnation life) const {
  if (rank >= lives_.size())
    throw protocol_error("scheduler: found a message from rank " + std::to_string(rank) + ", expected a rank below " +
                         std::to_string(lives_.size()));
  return lives_[rank] == life;
}

/// Only the rank of the first stage gives credit for tokens, and only that of the last one for targets.
void step_coordinator::grant(const credit_totals& credit) {
  granted_.tokens = std::max(granted_.tokens, credit.tokens);
  granted_.targets = std::max(granted_.targets, credit.targets);
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
  grant(in.credit);
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
  grant(in.credit);
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
  tokens_sent_ = targets_sent_ = losses_seen_ = 0;
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

/// Sends tokens and targets, each on its own credit. In a validation nothing comes back to give credit by, so the
/// losses that are outstanding bound both.
void step_coordinator::inject(coordinator_outputs& out) {
  const bool training = at_.mode == pass_mode::train;
  const std::uint32_t window = losses_seen_ + evaluation_window(*setup_.pipeline);
  const std::uint32_t first = setup_.pipeline->rank_of(0);
  const std::uint32_t last = setup_.pipeline->rank_of(setup_.pipeline->order.stages() - 1);
  while (tokens_sent_ < microbatches() && (training ? used_.tokens < granted_.tokens : tokens_sent_ < window)) {
    used_.tokens += training ? 1 : 0;
    out.emplace_back(rank_order{first, token_message{lives_[first], at_, tokens_sent_, data_for(tokens_sent_).tokens}});
    ++tokens_sent_;
  }
  while (targets_sent_ < microbatches() && (training ? used_.targets < granted_.targets : targets_sent_ < window)) {
    used_.targets += training ? 1 : 0;
    out.emplace_back(
        rank_order{last, target_message{lives_[last], at_, targets_sent_, data_for(targets_sent_).targets}});
    ++targets_sent_;
  }
  sampled_.erase(sampled_.begin(), sampled_.lower_bound(std::min(tokens_sent_, targets_sent_)));
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
  finish_if_complete(out);
  return out;
}

void step_coordinator::finish_if_complete(coordinator_outputs& out) {
  if (phase_ != phase::finishing || !all_of(digested_) || checkpoint_in_flight_ != 0)
    return;
  phase_ = phase::closed;
  const state_hashes hashes = combine(digests_);
  out.emplace_back(run_closed{hashes.weights_sha256, hashes.optimizer_sha256, usage_, ended_early_});
}

} // namespace troupe
