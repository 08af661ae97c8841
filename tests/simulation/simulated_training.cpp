#include "tests/simulation/simulated_training.hpp"

#include "model/error.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"
#include "runtime/reference_trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>

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
    reference_ = train_calmly(drawn_.spec);
  } catch (const run_error& refusal) {
    refusal_ = refusal.what();
  }
}

seed_result simulated_training::run() {
  fs::remove_all(disk_name);
  prepare_shelf(drawn_.spec);
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
  log_.say("{} strike: {}", run.events(), to_text(what));
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
  if (from) {
    from->expect_same_run(spec_);
    forge_log(*from);
  }
  return true;
}

/// The last decision on a step that is to be done again, if there is one; the disk itself could not do that.
void simulated_training::forge_log(const checkpoint& from) {
  if (forged_step_ && *forged_step_ < from.steps_done())
    forged_step_.reset(); // nobody does that step again
  if (!std::exchange(drawn_.forged_log, false))
    return;
  std::vector<std::string> warnings;
  decision_log log(disk_name, spec_, from.versions(), warnings);
  std::vector<logged_decision> decisions = log.decisions();
  if (decisions.empty() || decisions.back().at.step < from.steps_done())
    return;
  logged_decision& last = decisions.back();
  double& number = std::isnan(last.loss) ? last.learning_rate : last.loss; // one NaN is as good as another
  number = -number;
  forged_step_ = last.at.step;
  log_.say("the log is forged: step {}", *forged_step_);
  log.go_back_to(0);
  for (const logged_decision& one : decisions)
    log.append(one);
}

/// The same without faults, by an implementation without actors.
run_report simulated_training::train_calmly(const run_spec& spec) const {
  run_options options;
  options.family = family_ ? &*family_ : nullptr;
  return spec.pipeline.schedule.starts_with("pipedream") ? run_one_thread(calm(spec), data_, options)
                                                         : run_reference(calm(spec), data_, options);
}

seed_result simulate(std::uint64_t seed, std::FILE* out) {
  try {
    return simulated_training(draw_scenario(seed), out).run();
  } catch (const std::exception& thrown) {
    return {fmt::format("nothing is thrown: found '{}'", thrown.what()), 0, {}};
  }
}

} // namespace troupe::test
