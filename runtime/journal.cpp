#include "runtime/journal.hpp"

#include "runtime/poison.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/start_delay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <limits>

namespace troupe {

double span_of(const std::vector<slice_batch>& slices) {
  double first = std::numeric_limits<double>::infinity();
  double last = 0.0;
  for (const slice_batch& batch : slices)
    for (const action_slice& slice : batch.slices) {
      first = std::min(first, slice.start);
      last = std::max(last, slice.end);
    }
  return std::max(0.0, last - first);
}

double measured_bubble(const std::vector<slice_batch>& slices) {
  double busy = 0.0;
  for (const slice_batch& batch : slices)
    for (const action_slice& slice : batch.slices)
      busy += slice.end - slice.start;
  const double span = span_of(slices);
  return span > 0.0 ? 1.0 - busy / (static_cast<double>(slices.size()) * span) : 0.0;
}

journal::journal(journal_setup setup) : setup_(std::move(setup)) {
  report_.first_step = setup_.first_step;
  report_.resumed_from = setup_.held_by_workers ? "workers" : setup_.options->resume != nullptr ? "checkpoint" : "";
  report_.spec = *setup_.spec;
  report_.schedule = setup_.pipeline == nullptr ? setup_.trainer : setup_.pipeline->order.name;
  if (setup_.options->before != nullptr)
    go_on_from(*setup_.options->before);
  if (!setup_.options->timeline.empty())
    open_timeline(); // first, so that one that is refused leaves no trace file behind
  if (!setup_.options->trace.empty() && report_.failed_outputs.empty())
    open_trace();
}

/// A run that went back goes on with its trace, too.
void journal::open_trace() {
  const run_report* const before = setup_.options->before;
  const auto tracks = std::max<std::uint32_t>(1, static_cast<std::uint32_t>(batches_per_step()));
  if (before == nullptr) {
    trace_.emplace(setup_.options->trace, tracks);
    return;
  }
  try {
    trace_.emplace(setup_.options->trace, tracks, trace_opening::go_on);
  } catch (const spec_error& refusal) { // too late to refuse the run
    return give_up_trace(refusal);
  }
  if (!before->returns.empty())
    trace([&](trace_writer& file) { file.add(before->returns.back()); });
}

/// A trace that the disk refuses takes nothing else along.
template <class Act>
void journal::trace(const Act& act) {
  if (!trace_)
    return;
  try {
    act(*trace_);
  } catch (const output_error& refusal) {
    give_up_trace(refusal);
  }
}

void journal::give_up_trace(const error& refusal) {
  trace_.reset();
  report_.failed_outputs.emplace_back(refusal.what());
  if (!complete() && setup_.options->on_warning)
    setup_.options->on_warning(fmt::format("{}; the trace ends here, the run goes on", refusal.what()));
}

/// Steps after the one that the run went back to are told again, be it that all are.
void journal::go_on_from(const run_report& before) {
  report_.first_step = std::min(before.first_step, setup_.first_step);
  if (report_.first_step == before.first_step)
    report_.resumed_from = before.resumed_from;
  const auto kept_steps = static_cast<std::ptrdiff_t>(setup_.first_step - report_.first_step);
  for (const auto list : {&run_report::losses, &run_report::gradient_norms, &run_report::step_seconds}) {
    const std::vector<double>& told = before.*list;
    (report_.*list).assign(told.begin(), told.begin() + kept_steps);
  }
  const auto until_here = [&](const auto& one) { return one.step <= setup_.first_step; };
  std::ranges::copy_if(before.validations, std::back_inserter(report_.validations), until_here);
  std::ranges::copy_if(before.skipped_steps, std::back_inserter(report_.skipped_steps), until_here);
  report_.failed_checkpoints = before.failed_checkpoints;
  report_.failed_outputs = before.failed_outputs; // the trace: nothing else is written before the end
  report_.recoveries = before.recoveries;
  report_.scheduler_recoveries = before.scheduler_recoveries;
  report_.returns = before.returns;
  report_.stalls = before.stalls;
}

void journal::open_timeline() {
  if (setup_.pipeline == nullptr)
    throw spec_error("timeline: found the reference trainer, which has no ranks, expected a schedule to draw");
  const std::uint64_t last = final_step(*setup_.spec);
  timeline_.emplace(
      timeline_setup{setup_.pipeline, last, warmup_steps(last - std::min(last, setup_.first_step)), setup_.processors});
}

void journal::add(const slice_batch& in) {
  if (was_told(in.at))
    return;
  pending_[in.at].slices.emplace(in.rank, in);
  tell_complete_steps();
}

void journal::add(const step_closed& in) {
  if (was_told(in.at))
    return;
  pending_[in.at].closing = in;
  tell_complete_steps();
}

void journal::add(const run_closed& in) {
  end_ = in;
}

void journal::add(const checkpoint_committed& in) {
  if (setup_.options->on_checkpoint)
    setup_.options->on_checkpoint(in);
}

void journal::add(const checkpoint_failed& in) {
  report_.failed_checkpoints.push_back(in);
  if (setup_.options->on_checkpoint_failed)
    setup_.options->on_checkpoint_failed(in);
}

void journal::add(const rank_recovered& in) {
  tell_once(in.what);
}

void journal::add(const run_stalled& in) {
  ++report_.stalls;
  if (setup_.options->on_stall)
    setup_.options->on_stall(in);
}

void journal::tell_once(const rank_recovery& one) {
  if (!told_recoveries_.try_emplace({one.rank, one.noticed}, one).second)
    return;
  trace([&](trace_writer& file) { file.add(one); });
  if (setup_.options->on_recovery)
    setup_.options->on_recovery(one);
}

void journal::tell_complete_steps() {
  while (!pending_.empty()) {
    const auto& [at, first] = *pending_.begin();
    if (!first.closing || first.slices.size() < batches_per_step())
      return;
    std::vector<slice_batch> slices;
    for (const auto& [rank, batch] : first.slices)
      slices.push_back(batch);
    tell(*first.closing, slices);
    last_told_ = at;
    pending_.erase(pending_.begin());
  }
}

void journal::tell(const step_closed& closing, const std::vector<slice_batch>& slices) {
  trace([&](trace_writer& file) {
    for (const slice_batch& batch : slices)
      file.add(batch);
  });
  const run_options& options = *setup_.options;
  if (closing.at.mode == pass_mode::evaluate) {
    report_.validations.push_back({closing.at.step + 1, closing.loss});
    if (options.on_validation)
      options.on_validation(report_.validations.back());
    return;
  }
  // A NaN's sign and payload depend on who added what up.
  const auto plain = [](double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; };
  report_.losses.push_back(plain(closing.loss));
  report_.gradient_norms.push_back(plain(closing.gradient_norm));
  report_.step_seconds.push_back(closing.seconds);
  if (closing.poison)
    report_.skipped_steps.push_back({closing.at.step + 1, *closing.poison});
  measure(slices);
  if (timeline_)
    timeline_->add(closing, slices);
  if (!options.on_step)
    return;
  const training_spec& training = setup_.spec->training;
  const double tokens = static_cast<double>(training.microbatches) * training.microbatch_size *
                        static_cast<double>(setup_.spec->model.sequence_length);
  options.on_step({.step = closing.at.step + 1,
                   .steps = final_step(*setup_.spec),
                   .loss = report_.losses.back(),
                   .emulated = setup_.spec->pipeline.emulated(),
                   .gradient_norm = report_.gradient_norms.back(),
                   .learning_rate = closing.learning_rate,
                   .tokens_per_second = closing.seconds > 0.0 ? tokens / closing.seconds : 0.0,
                   .bubble_fraction = bubbles_.empty() ? std::nullopt : std::optional(bubbles_.back()),
                   .seconds = closing.seconds,
                   .skipped = closing.poison ? describe(*closing.poison, closing.at.step, setup_.spec->model,
                                                        setup_.family->layer_count(setup_.spec->model))
                                             : ""});
}

void journal::measure(const std::vector<slice_batch>& slices) {
  if (slices.empty())
    return;
  bubbles_.push_back(bubble_of(slices));
  if (!setup_.pipeline->order.asynchronous)
    spans_.push_back(span_of(slices));
  if (setup_.spec->pipeline.emulated() && !setup_.pipeline->order.asynchronous)
    start_delays_.push_back(mean_start_delay(slices, setup_.pipeline->order.stages()));
  // The first step touches all memory for the first time, so it is no measure of the others.
  if (bubbles_.size() == 2)
    durations_.clear();
  for (const slice_batch& batch : slices)
    for (const action_slice& slice : batch.slices) {
      total& sum = durations_[{slice.what.stage, slice.what.op}];
      sum.seconds += slice.end - slice.start;
      ++sum.count;
    }
}

/// Steps that run into one another have no span of their own. There a rank's time in a step begins where its last one
/// ended, and idle is what it did not work of that.
double journal::bubble_of(const std::vector<slice_batch>& slices) {
  if (!setup_.pipeline->order.asynchronous)
    return measured_bubble(slices);
  double busy = 0.0;
  double time = 0.0;
  for (const slice_batch& batch : slices) {
    if (batch.slices.empty())
      continue;
    for (const action_slice& slice : batch.slices)
      busy += slice.end - slice.start;
    const auto before = ends_.try_emplace(batch.rank, batch.slices.front().start).first;
    time += batch.slices.back().end - before->second;
    before->second = batch.slices.back().end;
  }
  return time > 0.0 ? 1.0 - busy / time : 0.0;
}

std::vector<stage_cost> journal::mean_costs() const {
  const auto of = [&](std::uint32_t stage, operation op) {
    const auto found = durations_.find({stage, op});
    return found == durations_.end() ? total{} : found->second;
  };
  std::vector<stage_cost> costs;
  for (std::uint32_t stage = 0; stage < setup_.pipeline->order.stages(); ++stage) {
    // Half of a B counts as an I and half as a W. A stage may run B on some microbatches, and I and W on others.
    const total backward = of(stage, operation::backward);
    const auto with_half = [&](total part) {
      return total{part.seconds + backward.seconds / 2, part.count + backward.count}.mean();
    };
    costs.push_back({of(stage, operation::forward).mean(), with_half(of(stage, operation::backward_input)),
                     with_half(of(stage, operation::backward_weight))});
  }
  return costs;
}

void journal::report_stages() {
  const std::vector<stage_cost> costs = mean_costs();
  for (std::uint32_t stage = 0; stage < costs.size(); ++stage)
    report_.stages.push_back({stage, setup_.pipeline->rank_of(stage, 0), setup_.pipeline->stages[stage], costs[stage]});
}

std::optional<simulation> journal::predict() const {
  if (setup_.pipeline == nullptr || durations_.empty())
    return std::nullopt;
  simulation_costs costs;
  costs.processors = setup_.processors;
  costs.stages = mean_costs();
  const schedule& order = setup_.pipeline->order;
  return order.asynchronous ? simulate_joined_step(order, costs) : simulate(order, costs);
}

run_report journal::so_far() const {
  run_report told = report_;
  for (const auto& [when, one] : told_recoveries_)
    told.recoveries.push_back(one);
  return told;
}

void journal::write_timeline(const simulation& predicted) {
  try {
    write_text_file(setup_.options->timeline, timeline_->draw(predicted));
  } catch (const output_error& refusal) {
    report_.failed_outputs.emplace_back(refusal.what());
  }
}

run_report journal::finish() {
  TROUPE_CHECK(complete(), "the report of a run that is not over");
  for (const rank_recovery& one : end_->recoveries) // those, too, that never caught up
    tell_once(one);
  trace([](trace_writer& file) { file.close(); });
  report_.weights_sha256 = end_->weights_sha256;
  report_.optimizer_sha256 = end_->optimizer_sha256;
  report_.interrupted = end_->interrupted;
  report_.recoveries.insert(report_.recoveries.end(), end_->recoveries.begin(), end_->recoveries.end());
  report_.scheduler_recoveries.insert(report_.scheduler_recoveries.end(), end_->scheduler_recoveries.begin(),
                                      end_->scheduler_recoveries.end());
  for (std::uint32_t rank = 0; rank < batches_per_step(); ++rank)
    report_.ranks.push_back({rank, "local", setup_.pipeline->stages_of(rank), end_->usage[rank]});
  if (setup_.pipeline != nullptr)
    report_stages();
  const auto median_of = [](const std::vector<double>& values) {
    return values.empty() ? std::nullopt : std::optional(median_after_warmup(values));
  };
  report_.bubble_fraction = median_of(bubbles_);
  report_.span_seconds = median_of(spans_);
  report_.runtime_seconds_per_action = median_of(start_delays_);
  if (const std::optional<simulation> predicted = predict()) {
    report_.predicted_bubble_fraction = predicted->bubble_fraction;
    if (timeline_)
      write_timeline(*predicted);
  }
  const run_spec& spec = *setup_.spec;
  double flops = 0.0;
  for (std::int64_t layer = 0; layer < setup_.family->layer_count(spec.model); ++layer)
    flops += 3.0 * setup_.family->forward_flops(spec.model, layer);
  const double sequences = static_cast<double>(spec.training.microbatches) * spec.training.microbatch_size;
  fill_rates(report_, sequences * static_cast<double>(spec.model.sequence_length), flops * sequences);
  return report_;
}

} // namespace troupe
