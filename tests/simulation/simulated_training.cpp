#include "tests/simulation/simulated_training.hpp"

#include "model/error.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/plan.hpp"
#include "runtime/reference_trainer.hpp"
#include "runtime/run_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <exception>
#include <filesystem>
#include <limits>
#include <map>

namespace troupe::test {

namespace {

namespace fs = std::filesystem;

/// Beyond, a run is not getting anywhere.
constexpr std::uint64_t most_events = 400000;
/// Each process but the last one ends by a strike, and there are few of them.
constexpr std::uint32_t most_processes = 16;

/// Without what does not change the result.
run_spec calm(run_spec spec) {
  spec.faults.chaos.clear();
  spec.checkpoint = {};
  return spec;
}

run_report train_calmly(const run_spec& spec, const data_source& data, const model_family* family) {
  run_options options;
  options.family = family;
  return spec.pipeline.schedule.starts_with("pipedream") ? run_one_thread(calm(spec), data, options)
                                                         : run_reference(calm(spec), data, options);
}

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

simulated_training::simulated_training(scenario drawn, std::FILE* out)
    : drawn_(std::move(drawn)), log_(out), disk_(disk_name, drawn_.seed), spec_(drawn_.spec), data_(spec_) {
  if (!drawn_.doses.empty())
    family_.emplace(drawn_.doses);
  for (const strike& one : drawn_.strikes)
    strikes_.push_back({one, std::nullopt});
}

void simulated_training::fail(const std::string& what) {
  if (problem_.empty())
    problem_ = what;
}

void simulated_training::make_reference() {
  try {
    reference_ = train_calmly(drawn_.spec, data_, family_ ? &*family_ : nullptr);
  } catch (const run_error& refusal) {
    refusal_ = refusal.what();
  }
}

seed_result simulated_training::run() {
  fs::remove_all(disk_name);
  log_.say("{}", to_text(drawn_));
  make_reference();
  std::optional<checkpoint> from;
  do {
    const process_end end = run_process(from ? &*from : nullptr);
    over_ = over_ || (end == process_end::finished && !seen_.report->interrupted);
  } while (!failed() && !over_ && prepare_next(from));
  counts_[counted::seeds] = 1;
  counts_[counted::disk_failures] = disk_.failed();
  log_.say("{}", problem_.empty() ? "as promised" : "FAILED: " + problem_);
  return {problem_, log_.hash(), counts_};
}

run_options simulated_training::options_with(const checkpoint* from) {
  run_options options;
  options.resume = from;
  options.family = family_ ? &*family_ : nullptr;
  options.disk = options.log_disk = &disk_;
  return options;
}

simulated_training::process_end simulated_training::run_process(const checkpoint* from) {
  ++processes_;
  first_step_ = from == nullptr ? 0 : from->steps_done();
  log_.say("process {} begins after {} steps, with {} over {} ranks", processes_, first_step_, spec_.pipeline.schedule,
           spec_.pipeline.stages);
  scenario drawn = drawn_;
  drawn.spec = spec_;
  witness seen(drawn, disk_, log_, counts_, facts_, [this](occasion when) { notice(when); });
  {
    unruly_run run(spec_, data_, options_with(from), drawn_.seed + processes_, drawn_.network, &seen);
    seen.watch(run);
    play(run, seen);
    counts_[counted::events] += run.events();
    if (!seen.problem().empty())
      fail(seen.problem());
  }
  playing_ = nullptr;
  if (failed())
    return process_end::hung;
  if (disk_.crashed()) {
    counts_[counted::process_deaths]++;
    return process_end::crashed;
  }
  if (seen_.report) {
    judge_finished(seen);
    return process_end::finished;
  }
  if (seen_.failure) {
    judge_failed(seen);
    return process_end::failed;
  }
  fail("a run ends: found nothing left to happen");
  return process_end::hung;
}

void simulated_training::play(unruly_run& run, witness& seen) {
  playing_ = &run;
  killed_.clear();
  for (due_strike& one : strikes_)
    if (one.what.when == occasion::start)
      one.at = one.what.delay;
  seen_ = run.play([&](std::uint64_t event) {
    if (!seen.problem().empty() || disk_.crashed() || event > most_events)
      return run.stop();
    const auto due =
        std::ranges::partition(strikes_, [&](const due_strike& one) { return !one.at || *one.at > event; });
    const std::vector<due_strike> now(due.begin(), due.end());
    strikes_.erase(due.begin(), due.end());
    for (const due_strike& one : now)
      strike_now(run, one.what.what);
  });
}

/// Failures of the disk begin with the first step: where there can be no checkpoints at all, a run does not start.
void simulated_training::notice(occasion when) {
  if (when == occasion::start)
    return disk_.arm(std::exchange(drawn_.disk_failures, {}), std::exchange(drawn_.crash_at_act, std::nullopt));
  for (due_strike& one : strikes_)
    if (one.what.when == when && !one.at && one.what.skipped-- == 0)
      one.at = playing_->events() + one.what.delay;
}

void simulated_training::strike_now(unruly_run& run, strike_kind what) {
  const std::uint32_t ranks = run.setup().pipeline.ranks();
  const auto any_rank = static_cast<std::uint32_t>((run.events() * 2654435761U >> 7U) % ranks);
  const auto kill = [&](std::uint32_t rank) {
    killed_.insert(rank);
    run.kill_rank(rank);
  };
  log_.say("{} strike {}", run.events(), static_cast<int>(what));
  log_.note(static_cast<std::uint64_t>(what));
  switch (what) {
  case strike_kind::one_rank:
    return kill(any_rank);
  case strike_kind::some_ranks:
    for (std::uint32_t rank = any_rank % 2; rank < ranks; rank += 2)
      kill(rank);
    return;
  case strike_kind::all_ranks:
    for (std::uint32_t rank = 0; rank < ranks; ++rank)
      kill(rank);
    return;
  case strike_kind::scheduler_and_rank:
    kill(any_rank);
    return run.kill_scheduler();
  case strike_kind::scheduler:
    return run.kill_scheduler();
  case strike_kind::process:
    disk_.crash();
    return run.stop();
  case strike_kind::interrupt:
    counts_[counted::interrupts]++;
    caf::anon_send(run.everyone().keeper, interrupt_message{});
    return;
  }
}

// How a process should have ended

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
  compare(train_calmly(shorter, data_, nullptr), shorter.training.stop_after);
  if (drawn_.saves() && seen_.report->failed_checkpoints.empty())
    judge_saved(shorter.training.stop_after);
}

void simulated_training::judge_failed(const witness& seen) {
  const std::string& text = seen_.failure->text;
  log_.say("the run fails: {}", text);
  if (seen.given_up())
    return judge_given_up(seen);
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
  if (!right || seen_.failure->text != seen.given_up()->cause)
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

// What comes after it

std::optional<checkpoint> simulated_training::newest_saved() {
  std::vector<std::string> warnings;
  try {
    checkpoint found = checkpoint::open_latest(disk_name, warnings);
    if (!warnings.empty())
      fail(fmt::format("no crash leaves half a checkpoint: found {}", warnings.front()));
    return found;
  } catch (const checkpoint_error& none) {
    if (!warnings.empty())
      fail(fmt::format("no crash leaves half a checkpoint: found {}", warnings.front()));
    return std::nullopt;
  }
}

/// Whether there is something to go on from, or, after a crash, to begin again.
bool simulated_training::prepare_next(std::optional<checkpoint>& from) {
  if (processes_ >= most_processes) {
    fail("a training ends: found no end");
    return false;
  }
  const bool crashed = disk_.crashed();
  if (crashed)
    disk_.restart();
  from = drawn_.saves() ? newest_saved() : std::nullopt;
  if (facts_.committed > 0 && (!from || from->steps_done() < facts_.committed))
    fail(fmt::format("a checkpoint that is said to be on the disk is there after a crash: found {}, expected the one "
                     "after {} steps",
                     from ? fmt::format("the one after {}", from->steps_done()) : "none", facts_.committed));
  if (failed() || (!crashed && !from))
    return false;
  spec_ = from ? from->spec() : drawn_.spec;
  spec_.faults = drawn_.spec.faults;
  spec_.faults.chaos.clear();
  spec_.faults.max_restarts = 60000;
  counts_[counted::resumes]++;
  if (const auto other = drawn_.another_shape && from ? reshaped(spec_, drawn_.seed + processes_) : std::nullopt) {
    counts_[counted::reshaped]++;
    spec_ = *other;
  }
  if (from)
    from->expect_same_run(spec_);
  return true;
}

seed_result simulate(std::uint64_t seed, std::FILE* out) {
  try {
    return simulated_training(draw_scenario(seed), out).run();
  } catch (const std::exception& thrown) {
    return {fmt::format("nothing is thrown: found '{}'", thrown.what()), 0, {}};
  }
}

} // namespace troupe::test
