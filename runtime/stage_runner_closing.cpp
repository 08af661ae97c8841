// The part of stage_runner that ends a step: the gradients of the other copy and of tied parameters, the report, and
// what the decision on it does to the weights; and, at the end of the run, the digests.
#include "runtime/stage_runner.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace troupe {

void stage_runner::close_list(rank_outputs& out) {
  tell_losses(out);
  out.emplace_back(slice_batch{setup_.rank, *current_, slices_});
  if (current_->mode == pass_mode::evaluate) {
    phase_ = phase::idle;
    out.emplace_back(step_report{setup_.rank, setup_.birth.life, *current_, {}, usage()});
    return;
  }
  if (asynchronous()) {
    send_asynchronous_report(out);
    return;
  }
  phase_ = phase::exchanging;
  if (has_two_copies())
    send_group_gradients(out);
  else
    close_gradients(out);
}

/// Each stage's gradients are the sum over the group of its copy; the holder of the other copy has the other group's.
void stage_runner::send_group_gradients(rank_outputs& out) {
  for (const auto& [stage, state] : stages_)
    out.emplace_back(group_gradient_message{route_to(setup_.pipeline->rank_of(stage, 1 - copy_of(stage))), *current_,
                                            stage, copy_gradients(state.model().parameters(), pool_)});
}

bool stage_runner::group_gradients_here() const {
  return std::ranges::all_of(stages_, [&](const auto& one) {
    return group_gradients_.has({*current_, one.first, first_microbatch_of(one.first)});
  });
}

/// From here on a stage's gradients are those of the whole step.
void stage_runner::close_gradients(rank_outputs& out) {
  if (has_two_copies())
    for (const auto& [stage, state] : stages_)
      add_gradients(state.model().parameters(), group_gradients_.take({*current_, stage, first_microbatch_of(stage)}));
  phase_ = phase::closing;
  if (stage_state* replica = tied_replica_stage())
    deliver(tied_gradient_message{route_to(setup_.pipeline->rank_of(0, copy_of(last_stage()))), *current_,
                                  pool_.copy(replica->tied_replica_gradient())},
            out);
}

void stage_runner::send_report(rank_outputs& out) {
  if (stage_state* owner = tied_owner_stage())
    owner->add_tied_gradient(tied_gradients_.extract(current_->step).mapped());
  step_report report{setup_.rank, setup_.birth.life, *current_, {}, usage()};
  for (const auto& [stage, state] : stages_)
    if (copy_of(stage) == 0) {
      report.squares.push_back({stage, state.gradient_squares()});
      poison_.look(state.last_not_finite(report.squares.back().squares));
    }
  report.sightings = poison_.take();
  out.emplace_back(std::move(report));
  phase_ = phase::awaiting_decision;
}

void stage_runner::apply_decision(rank_outputs& out) {
  const step_decision decision = decisions_.extract(*current_).mapped();
  phase_ = phase::idle;
  steps_done_ = decision.at.step + (decision.verdict == step_verdict::give_up ? 0 : 1);
  for (auto& [stage, state] : stages_)
    if (decision.verdict != step_verdict::update)
      state.discard_gradients();
    else if (!asynchronous())
      state.apply({decision.at.step, decision.learning_rate, decision.gradient_scale}, pool_);
  send_tied_value(decision.at, out);
  if (decision.snapshot == take_snapshot::no)
    return;
  rank_snapshot taken{.rank = setup_.rank,
                      .source_incarnation = setup_.birth.life,
                      .steps_done = steps_done_,
                      .purpose = decision.snapshot};
  for (const auto& [stage, state] : stages_)
    std::ranges::move(state.snapshot(), std::back_inserter(copy_of(stage) == 0 ? taken.layers : taken.second_copy));
  out.emplace_back(std::move(taken));
}

/// After the step `at`.
void stage_runner::send_tied_value(const step_id& at, rank_outputs& out) {
  if (stage_state* owner = tied_owner_stage())
    deliver(
        tied_value_message{route_to(setup_.pipeline->rank_of(last_stage(), copy_of(0))), at, owner->tied_owner_value()},
        out);
}

void stage_runner::send_digests(rank_outputs& out) {
  digest_request_.reset();
  digest_report report{setup_.rank, setup_.birth.life, {}, {}};
  for (const auto& [stage, state] : stages_)
    std::ranges::move(state.digests(), std::back_inserter(copy_of(stage) == 0 ? report.layers : report.second_copy));
  out.emplace_back(std::move(report));
}

stage_state* stage_runner::tied_replica_stage() {
  const auto found = std::ranges::find_if(stages_, [](const auto& s) { return s.second.has_tied_replica(); });
  return found == stages_.end() ? nullptr : &found->second;
}

stage_state* stage_runner::tied_owner_stage() {
  const auto found = std::ranges::find_if(stages_, [](const auto& s) { return s.second.has_tied_owner(); });
  return found == stages_.end() ? nullptr : &found->second;
}

} // namespace troupe
