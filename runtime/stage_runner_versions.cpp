// The part of stage_runner that asynchronous schedules add: which version of the weights an action uses, and updates
// that wait for nobody.
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/stage_runner.hpp"

#include <algorithm>
#include <functional>

namespace troupe {

/// The microbatch's number, counted from the beginning of the run.
std::uint64_t stage_runner::counted_through(const step_id& at, std::uint32_t microbatch) const {
  return at.step * setup_.spec->training.microbatches + microbatch;
}

void stage_runner::choose_weights(const placed_action& next) {
  if (!asynchronous())
    return;
  stage_state& state = stages_.at(next.what.stage);
  if (next.at.mode == pass_mode::evaluate)
    state.use_newest();
  else
    state.use_version(weights_version(*setup_.pipeline->order.asynchronous, next.what.stage,
                                      counted_through(next.at, next.what.microbatch)));
}

/// The gradients of the u-th microbatch since the last update are complete: there is no norm over all stages to wait
/// for, as clipping is refused for these schedules.
void stage_runner::update_after(const placed_action& done) {
  const bool adds_gradient = done.what.op == operation::backward || done.what.op == operation::backward_weight;
  if (!asynchronous() || !adds_gradient)
    return;
  const asynchrony& rule = *setup_.pipeline->order.asynchronous;
  stage_state& state = stages_.at(done.what.stage);
  const std::uint64_t next = counted_through(done.at, done.what.microbatch) + 1;
  if (next % rule.update_every == 0) {
    std::vector<double>& sum = squares_[done.what.stage];
    const std::vector<double> squares = state.gradient_squares();
    sum.resize(squares.size(), 0.0);
    std::ranges::transform(sum, squares, sum.begin(), std::plus<>());
    state.apply_as_new_version(
        {next / rule.update_every - 1, learning_rate_at(setup_.spec->optimizer, done.at.step), 1.0}, pool_);
  }
  state.drop_versions_before(weights_version(rule, done.what.stage, next));
}

/// The squares are the mean over the step's updates. A step that carries on is over for this rank; after a flush the
/// scheduler says whether to take a snapshot.
void stage_runner::send_asynchronous_report(rank_outputs& out) {
  const schedule& order = setup_.pipeline->order;
  const double updates = static_cast<double>(order.microbatches) / order.asynchronous->update_every;
  step_report report{setup_.rank, setup_.birth.life, *current_, {}, usage()};
  for (auto& [stage, sum] : squares_) {
    std::ranges::for_each(sum, [&](double& one) { one /= updates; });
    poison_.look(stages_.at(stage).last_not_finite(sum));
    report.squares.push_back({stage, std::move(sum)});
  }
  squares_.clear();
  report.sightings = poison_.take();
  out.emplace_back(std::move(report));
  for (auto& [stage, state] : stages_)
    state.use_newest();
  phase_ = carries_on() ? phase::idle : phase::awaiting_decision;
  steps_done_ += carries_on() ? 1 : 0;
}

} // namespace troupe
