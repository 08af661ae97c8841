// The half of simulated_training that says how a process should have ended.
#include "model/error.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_rules.hpp"
#include "tests/simulation/simulated_training.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>

namespace troupe::test {

namespace {

bool same_bits(double one, double other) {
  return std::bit_cast<std::uint64_t>(one) == std::bit_cast<std::uint64_t>(other);
}

/// Forward passes of a rank that does everything once, from `first_step` on.
std::uint64_t passes_of(const run_spec& spec, const plan& pipeline, std::uint32_t rank, std::uint64_t first_step) {
  const auto is_forward = [](const action& one) { return one.op == operation::forward; };
  const auto training = static_cast<std::uint64_t>(std::ranges::count_if(pipeline.order.actions[rank], is_forward));
  const std::uint64_t validation = evaluation_actions(pipeline.order, rank, spec.validation.microbatches).size();
  std::uint64_t passes = 0;
  for (std::uint64_t step = first_step; step < spec.training.steps; ++step)
    passes += training + (validation_due(spec, step + 1) ? validation : 0);
  return passes;
}

} // namespace

void simulated_training::compare(const run_report& expected, std::uint64_t steps) {
  const run_report& found = *seen_.report;
  if (found.weights_sha256 != expected.weights_sha256)
    fail(fmt::format("the weights are the reference's: found {}, expected {}", found.weights_sha256,
                     expected.weights_sha256));
  if (found.optimizer_sha256 != expected.optimizer_sha256)
    fail("the optimizer's state is the reference's: found another one");
  if (found.losses.size() != steps - first_step_ || found.gradient_norms.size() != found.losses.size())
    return fail(fmt::format("all steps are reported: found {} losses and {} norms, expected {}", found.losses.size(),
                            found.gradient_norms.size(), steps - first_step_));
  for (std::size_t i = 0; i < found.losses.size(); ++i)
    if (!same_bits(found.losses[i], expected.losses[first_step_ + i]) ||
        !same_bits(found.gradient_norms[i], expected.gradient_norms[first_step_ + i]))
      fail(fmt::format("losses and norms are the reference's: found others in step {}", first_step_ + i));
  std::map<std::uint64_t, double> validations;
  for (const validation_point& one : expected.validations)
    validations.emplace(one.step, one.loss);
  for (const validation_point& one : found.validations)
    if (!validations.contains(one.step) || !same_bits(validations.at(one.step), one.loss))
      fail(fmt::format("validations are the reference's: found another one after step {}", one.step));
}

/// Who did not die did everything once.
void simulated_training::judge_survivors(const witness& seen) {
  const plan pipeline = make_plan(spec_, find_family(spec_.model.family));
  const auto lived = [&](std::uint32_t rank) { return seen.deaths_of(rank) == 0 && !killed_.contains(rank); };
  for (const rank_report& one : seen_.report->ranks) {
    const std::uint64_t expected = passes_of(spec_, pipeline, one.rank, first_step_);
    if (lived(one.rank) && (one.usage.forward_passes != expected || one.usage.replayed_passes != 0))
      fail(fmt::format("who lives computes nothing twice: found {} forward passes of rank {}, {} of them replayed, "
                       "expected {} and none",
                       one.usage.forward_passes, one.rank, one.usage.replayed_passes, expected));
  }
}

void simulated_training::judge_finished(const witness& seen) {
  if (!refusal_.empty())
    return fail("a poisoned run ends as the reference does: found that it went on");
  if (forged_step_ && *forged_step_ < first_step_ + seen_.report->losses.size())
    return fail(
        fmt::format("a run that goes on checks itself against the log: found nothing said of step {}", *forged_step_));
  if (seen_.report->interrupted)
    return judge_interrupted();
  compare(reference_, drawn_.spec.training.steps);
  judge_survivors(seen);
  if (drawn_.saves() && seen_.report->failed_checkpoints.empty())
    judge_saved(drawn_.spec.training.steps);
}

/// After some step, as if that had been the last one.
void simulated_training::judge_interrupted() {
  run_spec shorter = drawn_.spec;
  shorter.training.stop_after = first_step_ + seen_.report->losses.size();
  log_.say("interrupted after {} steps", shorter.training.stop_after);
  compare(train_calmly(shorter), shorter.training.stop_after);
  if (drawn_.saves() && seen_.report->failed_checkpoints.empty())
    judge_saved(shorter.training.stop_after);
}

/// Why a run failed, without what the disk has said of its last checkpoint, if it has refused anything.
std::string simulated_training::failure_text() const {
  const std::string& whole = seen_.failure->text;
  return disk_.failed() == 0 ? whole : whole.substr(0, whole.find("; the checkpoint after step "));
}

void simulated_training::judge_failed(const witness& seen) {
  const std::string text = failure_text();
  log_.say("the run fails: {}", text);
  if (seen.given_up())
    return judge_given_up(seen);
  if (forged_step_ && seen_.failure->kind == error_kind::checkpoint && text.ends_with("as in the log")) {
    counts_[counted::forgeries]++;
    over_ = true;
    return;
  }
  if (!refusal_.empty() && text == refusal_)
    return judge_poisoned();
  const bool frail = drawn_.spec.faults.snapshot_every == 0;
  if (frail && text.ends_with("ended before the run did"))
    return;
  fail(fmt::format("a run ends by itself or by a rule: found '{}'", text));
}

/// The state that the step began with is saved; who goes on from there skips the step.
void simulated_training::judge_poisoned() {
  counts_[counted::poisoned]++;
  const std::uint64_t step = drawn_.doses.front().step;
  if (drawn_.asynchronous()) {
    over_ = true;
    return;
  }
  if (drawn_.saves() && step > first_step_ && disk_.failed() == 0)
    judge_saved(step);
  drawn_.spec.faults.on_nan = nan_rule::skip;
  refusal_.clear();
  make_reference();
}

/// The last cause may be anything; rank, number and limit may not.
void simulated_training::judge_given_up(const witness& seen) {
  counts_[counted::given_up]++;
  const std::uint32_t deaths = spec_.faults.max_restarts + 1;
  const auto rule = [&](const std::string& who) {
    return fmt::format("{} died {} time{} within {:g} s, expected at most {} (faults.max_restarts); last cause: ", who,
                       deaths, deaths == 1 ? "" : "s", spec_.faults.restart_window_seconds, deaths - 1);
  };
  bool right = seen.scheduler_deaths() + 1 == deaths && seen.given_up()->cause.starts_with(rule("the scheduler"));
  for (std::uint32_t rank = 0; rank < spec_.pipeline.stages && !right; ++rank)
    right = seen.deaths_of(rank) == deaths && seen.given_up()->cause.starts_with(rule(fmt::format("rank {}", rank)));
  if (!right || failure_text() != seen.given_up()->cause)
    fail(fmt::format("a run that is given up says why: found '{}'", seen_.failure->text));
  if (drawn_.saves() && seen.given_up()->steps_done > first_step_ && disk_.failed() == 0)
    judge_saved(seen.given_up()->steps_done);
}

void simulated_training::judge_saved(std::uint64_t least) {
  const std::optional<checkpoint> saved = newest_saved();
  if (!saved || saved->steps_done() < least)
    fail(fmt::format("the checkpoint after {} steps is on the disk: found {}", least,
                     saved ? fmt::format("the one after {}", saved->steps_done()) : "none"));
}

} // namespace troupe::test
