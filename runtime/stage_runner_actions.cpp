// The part of stage_runner that runs one action: takes its inputs, computes, hands its result on, releases the stash.
#include "runtime/pass_contexts.hpp"
#include "runtime/stage_cuts.hpp"
#include "runtime/stage_runner.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace troupe {

pass_context stage_runner::context_for(const placed_action& next) {
  const std::uint32_t microbatch = next.what.microbatch;
  const schedule& order = setup_.pipeline->order;
  const std::uint32_t divisor = order.asynchronous ? order.asynchronous->update_every : microbatches_of(next.at.mode);
  pass_context at = context_of(*setup_.spec, next.at, microbatch, divisor, pool_);
  if (next.what.stage == 0)
    at.tokens = *held_tokens_.at(microbatch);
  if (next.what.stage == last_stage())
    at.targets = *held_targets_.at(microbatch);
  return at;
}

void stage_runner::note_forward_pass(std::uint64_t step) {
  if (step != progress_.step)
    progress_ = {.step = step, .passes = 0};
  ++progress_.passes;
  ++usage_.forward_passes;
  usage_.replayed_passes += progress_ <= setup_.birth.former ? 1 : 0;
}

void stage_runner::run_forward(const placed_action& next, rank_outputs& out) {
  const auto [stage, op, microbatch] = next.what;
  const message_place place = next.place();
  stage_model& model = stages_.at(stage).model();
  const std::uint32_t peak = setup_.pipeline->facts.peak_by_stage[stage];
  if (next.at.mode == pass_mode::train && model.stashed_microbatches() >= peak)
    throw protocol_error("rank " + std::to_string(setup_.rank) + ": " + to_string(next.what) +
                         " would stash more than the schedule's " + std::to_string(peak) + " microbatches");
  tensor input;
  if (stage == 0)
    held_tokens_[microbatch] = tokens_.take(place);
  else
    input = activations_.take(place);
  if (stage == last_stage())
    held_targets_[microbatch] = targets_.take(place);
  tensor output = model.forward(input, context_for(next));
  note_forward_pass(next.at.step);
  note_stash();
  if (stage == last_stage() && next.at.mode == pass_mode::train && !std::isfinite(model.last_loss()))
    poison_.suspect(place);
  if (stage == last_stage())
    untold_losses_.push_back({setup_.rank, setup_.birth.life, next.at, microbatch, model.last_loss()});
  else
    deliver(activation_message{route_to(rank_of(stage + 1, microbatch)), next.at, stage + 1, microbatch,
                               across_cut(std::move(output), setup_.spec->pipeline.wire, pool_)},
            out);
  if (next.at.mode == pass_mode::evaluate)
    release(next, out);
}

void stage_runner::run_backward(const placed_action& next, rank_outputs& out) {
  const auto [stage, op, microbatch] = next.what;
  stage_model& model = stages_.at(stage).model();
  const pass_context at = context_for(next);
  if (op == operation::backward_weight) {
    model.backward_weight(at);
    count_in_group(next.what);
    release(next, out);
    return;
  }
  const bool poisoned = poison_.suspects(next.place());
  if (poisoned)
    poison_.look(model, setup_.pipeline->stages[stage], at);
  tensor output_gradient;
  if (stage != last_stage())
    output_gradient = gradients_.take(next.place());
  tensor input_gradient =
      op == operation::backward ? model.backward(output_gradient, at) : model.backward_input(output_gradient, at);
  note_stash();
  if (stage > 0)
    deliver(gradient_message{route_to(rank_of(stage - 1, microbatch)), next.at, stage - 1, microbatch,
                             across_cut(std::move(input_gradient), setup_.spec->pipeline.wire, pool_), poisoned},
            out);
  if (op == operation::backward) {
    count_in_group(next.what);
    release(next, out);
  }
}

void stage_runner::count_in_group(const action& done) {
  if (const auto sums = groups_.find(done.stage); sums != groups_.end())
    sums->second.count_microbatch();
}

void stage_runner::release(const placed_action& done, rank_outputs& out) {
  const std::uint32_t microbatch = done.what.microbatch;
  const std::size_t tokens = done.what.stage == 0 ? held_tokens_.erase(microbatch) : 0;
  const std::size_t targets = done.what.stage == last_stage() ? held_targets_.erase(microbatch) : 0;
  if (done.at.mode == pass_mode::evaluate) // has its own bound: the scheduler counts the losses that came back
    return tell_losses(out);
  credit_.tokens += tokens;
  credit_.targets += targets;
  if (credit_.tokens - told_credit_.tokens < credit_growth && credit_.targets - told_credit_.targets < credit_growth)
    return;
  told_credit_ = credit_;
  out.emplace_back(credit_message{setup_.rank, setup_.birth.life, credit_});
  tell_losses(out);
}

void stage_runner::tell_losses(rank_outputs& out) {
  std::ranges::move(untold_losses_, std::back_inserter(out));
  untold_losses_.clear();
}

rank_usage stage_runner::usage() const {
  rank_usage so_far = usage_;
  so_far.peak_outbox_bytes = outbox_.peak_bytes();
  for (const auto& [stage, state] : stages_)
    so_far.recomputed_microbatches += state.model().recomputed_microbatches();
  return so_far;
}

void stage_runner::note_stash() {
  std::uint64_t bytes = 0;
  std::uint32_t microbatches = 0;
  for (auto& [stage, state] : stages_) {
    bytes += state.model().stash_bytes();
    microbatches += static_cast<std::uint32_t>(state.model().stashed_microbatches());
  }
  usage_.peak_stash_bytes = std::max(usage_.peak_stash_bytes, bytes);
  usage_.peak_stash_microbatches = std::max(usage_.peak_stash_microbatches, microbatches);
}

} // namespace troupe
