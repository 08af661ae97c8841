#include "runtime/stage_runner.hpp"

#include "model/gemm.hpp"
#include "runtime/schedule/asynchronous.hpp"

#include <algorithm>
#include <iterator>

namespace troupe {

namespace {

std::uint32_t forwards_before_backward(const std::vector<action>& list) {
  const auto end = std::ranges::find_if(list, [](const action& one) { return one.op != operation::forward; });
  return static_cast<std::uint32_t>(end - list.begin());
}

} // namespace

std::uint32_t evaluation_window(const plan& pipeline) {
  return pipeline.order.stages() + 2;
}

stage_runner::stage_runner(rank_setup setup)
    : setup_(std::move(setup)), lives_(setup_.birth.lives), outbox_(setup_.pipeline->ranks()),
      queue_({setup_.pipeline->facts.peak_by_stage, setup_.pipeline->facts.peak_by_rank[setup_.rank]}),
      poison_(setup_.pipeline->stages.back().last) {
  const run_spec& spec = *setup_.spec;
  const plan& pipeline = *setup_.pipeline;
  lives_.resize(pipeline.ranks(), 1);
  lives_[setup_.rank] = setup_.birth.life;
  resent_to_ = lives_;
  first_steps_ = steps_done_ = replica_steps_ = setup_.start == nullptr ? 0 : setup_.start->steps_done();
  for (const std::uint32_t stage : pipeline.stages_of(setup_.rank))
    stages_.emplace(stage, stage_state(spec, *setup_.family, pipeline.stages[stage], setup_.start, pool_,
                                       starting_versions(pipeline.order, stage, steps_done_)));
  if (const std::uint32_t groups = pipeline.gradient_groups / pipeline.order.copies(); groups > 1)
    for (auto& [stage, state] : stages_)
      groups_.try_emplace(stage, state.model().parameters(), groups, pipeline.order.group_size(), pool_);
  if (const stage_state* replica = tied_replica_stage();
      replica != nullptr && setup_.start != nullptr && !setup_.start->holds(replica->replicated_name()))
    --replica_steps_; // the owner sends its value again
  began_apart_ = setup_.start != nullptr && !setup_.start->is_whole();
  setup_.start = nullptr; // lives no longer than this call
  const std::int64_t sequences = spec.training.microbatch_size;
  activation_shape_ = setup_.family->activation_shape(spec.model, sequences);
  tokens_length_ = static_cast<std::size_t>(sequences * spec.model.sequence_length);
  targets_length_ = static_cast<std::size_t>(sequences * setup_.family->targets_per_sequence(spec.model));
  filling_passes_ = std::min(forwards_before_backward(pipeline.order.actions[setup_.rank]), pipeline.ranks());
  evaluation_list_ = evaluation_actions(pipeline.order, setup_.rank, spec.validation.microbatches);
  if (stages_.contains(0))
    credit_.tokens = pipeline.facts.peak_by_stage.front() + injection_lookahead;
  if (stages_.contains(last_stage()))
    credit_.targets = pipeline.facts.peak_by_stage.back() + injection_lookahead;
  told_credit_ = credit_; // by ready()
  if (spec.pipeline.emulated())
    emulation_ = parse_emulation(spec.pipeline.emulate, "pipeline.emulate");
}

rank_ready stage_runner::ready() const {
  return {setup_.rank, setup_.birth.life, credit_, first_steps_};
}

rank_outputs stage_runner::first_words() {
  rank_outputs out;
  if (setup_.birth.life > 1 && steps_done_ > 0)
    send_tied_value({steps_done_ - 1, pass_mode::train}, out);
  keep(out);
  return out;
}

void stage_runner::keep(const rank_outputs& sent) {
  if (setup_.spec->faults.snapshot_every == 0)
    return;
  for (const rank_output& one : sent)
    outbox_.keep(one);
}

rank_outputs stage_runner::accept(const rank_restarted& in) {
  incarnation& resent = resent_to_.at(in.rank);
  if (in.rank == setup_.rank || in.life <= resent)
    return {};
  resent = in.life;
  lives_[in.rank] = std::max(lives_[in.rank], in.life);
  return outbox_.for_rank(in.rank, lives_[in.rank]);
}

rank_outputs stage_runner::accept(const send_again& in) {
  if (!is_current(in.target_incarnation))
    return {};
  outbox_.trim(in.recovery_line);
  rank_outputs again{ready()};
  std::ranges::move(outbox_.for_scheduler(), std::back_inserter(again));
  for (std::uint32_t rank = 0; rank < lives_.size(); ++rank)
    std::ranges::move(outbox_.for_rank(rank, lives_[rank]), std::back_inserter(again));
  return again;
}

// What is due

placed_action stage_runner::placed(const action& one) const {
  placed_action next{*current_, one};
  if (const std::uint32_t microbatches = microbatches_of(current_->mode); one.microbatch >= microbatches) {
    next.what.microbatch -= microbatches;
    ++next.at.step;
  }
  return next;
}

const action* stage_runner::next_action() const {
  // Each has a patience of its own, so that what may run once does not cease to when another becomes ready.
  return queue_.next([this](const action& one) {
    return inputs_ready(placed(one)) && (!queue_.overtakes(one) || setup_.clock() >= may_run_at(one));
  });
}

std::optional<double> stage_runner::patience_ends() const {
  if (phase_ != phase::running || in_progress_ || queue_.empty() || next_action() != nullptr)
    return std::nullopt;
  const action* const next = first_ready_action();
  return next == nullptr ? std::nullopt : std::optional(may_run_at(*next));
}

/// Of an action that would overtake others.
double stage_runner::may_run_at(const action& one) const {
  return idle_since_ + setup_.patience * usual_seconds_[static_cast<std::size_t>(one.op)];
}

const action* stage_runner::first_ready_action() const {
  return queue_.next([this](const action& one) { return inputs_ready(placed(one)); });
}

bool stage_runner::inputs_ready(const placed_action& next) const {
  const std::uint32_t stage = next.what.stage;
  switch (next.what.op) {
  case operation::forward:
    return (stage == 0 ? tokens_.has(next.place()) : activations_.has(next.place())) &&
           (stage != last_stage() || targets_.has(next.place()));
  case operation::backward_input:
  case operation::backward:
    return stage == last_stage() || gradients_.has(next.place());
  case operation::backward_weight:
    return true;
  }
  return false;
}

/// Two steps may be open at once, and their openings come in any order.
bool stage_runner::opening_due() const {
  if (openings_.empty())
    return false;
  const step_id& next = openings_.begin()->first;
  return next.mode == pass_mode::train ? next.step == steps_done_ : next.step + 1 == steps_done_;
}

/// The value of a tied parameter that the step needs is still on its way.
bool stage_runner::replica_due() const {
  return replica_steps_ < steps_done_ && !tied_values_.contains(steps_done_ - 1) &&
         std::ranges::any_of(stages_, [](const auto& s) { return s.second.has_tied_replica(); });
}

bool stage_runner::can_run() const {
  switch (phase_) {
  case phase::idle: {
    return (opening_due() && !replica_due()) || (digest_request_ && digest_request_->steps_done == steps_done_);
  }
  case phase::running:
    return in_progress_ || queue_.empty() || next_action() != nullptr;
  case phase::exchanging:
    return group_gradients_here();
  case phase::closing: {
    const bool owner =
        std::any_of(stages_.begin(), stages_.end(), [](const auto& s) { return s.second.has_tied_owner(); });
    return !owner || tied_gradient_here();
  }
  case phase::awaiting_decision:
    return decisions_.contains(*current_);
  }
  return false;
}

std::optional<list_place> stage_runner::place_in_list() const {
  if (phase_ != phase::running || current_->mode != pass_mode::train)
    return std::nullopt;
  return list_place{current_->step, static_cast<std::uint32_t>(slices_.size())};
}

std::uint32_t stage_runner::passes_run() const {
  return phase_ == phase::idle ? 0 : static_cast<std::uint32_t>(slices_.size());
}

rank_outputs stage_runner::run_next() {
  TROUPE_CHECK(can_run(), "a rank was asked to run with nothing due");
  rank_outputs out;
  switch (phase_) {
  case phase::idle:
    if (opening_due())
      begin_step(out);
    else
      send_digests(out);
    break;
  case phase::running:
    if (in_progress_)
      end_emulated_action(out);
    else if (queue_.empty())
      close_list(out);
    else
      run_action(*next_action(), out);
    break;
  case phase::exchanging:
    close_gradients(out);
    break;
  case phase::closing:
    send_report(out);
    break;
  case phase::awaiting_decision:
    apply_decision(out);
    break;
  }
  keep(out);
  return out;
}

void stage_runner::begin_step(rank_outputs& out) {
  if (!current_ && setup_.birth.life == 1 && began_apart_)
    send_tied_value({steps_done_ - 1, pass_mode::train}, out);
  if (stage_state* replica = tied_replica_stage(); replica != nullptr && replica_steps_ < steps_done_) {
    replica->set_tied_replica(tied_values_.extract(steps_done_ - 1).mapped());
    replica_steps_ = steps_done_;
    tied_values_.erase(tied_values_.begin(), tied_values_.lower_bound(replica_steps_));
  }
  const step_opening opening = openings_.extract(openings_.begin()).mapped();
  const step_start start = carries_on() ? step_start::continued : step_start::afresh;
  current_ = opening.at;
  end_ = opening.end;
  const bool training = current_->mode == pass_mode::train;
  queue_.begin(training ? step_actions(setup_.pipeline->order, setup_.rank, start, end_) : evaluation_list_,
               training ? setup_.spec->pipeline.dispatch : dispatch_mode::fixed);
  slices_.clear();
  idle_since_ = setup_.clock();
  activations_.forget_before(*current_);
  gradients_.forget_before(*current_);
  group_gradients_.forget_before(*current_);
  tokens_.forget_before(*current_);
  targets_.forget_before(*current_);
  poison_.forget_before(*current_);
  phase_ = phase::running;
}

void stage_runner::run_action(const action& one, rank_outputs& out) {
  if (!emulation_)
    set_gemm_threads(static_cast<int>(setup_.spec->pipeline.threads_per_stage));
  const double start = setup_.clock();
  const placed_action next = placed(one);
  choose_weights(next);
  if (one.op == operation::forward)
    run_forward(next, out);
  else
    run_backward(next, out);
  update_after(next);
  queue_.finish(one);
  const double seconds = emulation_ ? emulation_->seconds(next.what, setup_.spec->training.seed, next.at.step) : 0.0;
  if (seconds > 0.0)
    in_progress_ = {next.what, start, start + seconds, std::exchange(out, {})};
  else
    end_action({next.what, start, setup_.clock()});
}

void stage_runner::end_action(const action_slice& ran) {
  constexpr double weight = 0.1; // of the newest in the running mean
  double& usual = usual_seconds_[static_cast<std::size_t>(ran.what.op)];
  usual += (usual == 0.0 ? 1.0 : weight) * (ran.end - ran.start - usual);
  idle_since_ = ran.end;
  usage_.busy_seconds += ran.end - ran.start;
  slices_.push_back(ran);
}

std::optional<double> stage_runner::wake_at() {
  return in_progress_ ? std::optional(timer_.aim_at(in_progress_->end)) : std::nullopt;
}

void stage_runner::end_emulated_action(rank_outputs& out) {
  const double now = setup_.clock();
  timer_.woke(now);
  end_action({in_progress_->what, in_progress_->start, now});
  out = std::move(in_progress_->out);
  in_progress_.reset();
}

/// A validation runs through copy 0 alone.
std::uint32_t stage_runner::rank_of(std::uint32_t stage, std::uint32_t microbatch) const {
  return current_->mode == pass_mode::train ? setup_.pipeline->order.rank_of(stage, microbatch)
                                            : setup_.pipeline->rank_of(stage, 0);
}

std::uint32_t stage_runner::first_microbatch_of(std::uint32_t stage) const {
  return copy_of(stage) * setup_.pipeline->order.group_size();
}

route stage_runner::route_to(std::uint32_t rank) const {
  return {setup_.rank, rank, setup_.birth.life, lives_[rank]};
}

} // namespace troupe
