#include "cli/train_command.hpp"

#include "actors/network/distributed_run.hpp"
#include "actors/profile.hpp"
#include "actors/run.hpp"
#include "cli/checkpoint_watch.hpp"
#include "cli/console.hpp"
#include "cli/exit_code.hpp"
#include "cli/former_run.hpp"
#include "cli/interrupt.hpp"
#include "cli/network_flags.hpp"
#include "cli/progress.hpp"
#include "cli/train_flags.hpp"
#include "model/error.hpp"
#include "runtime/data.hpp"
#include "runtime/faults/chaos.hpp"
#include "runtime/generation.hpp"
#include "runtime/one_thread_trainer.hpp"
#include "runtime/reference_trainer.hpp"
#include "runtime/report.hpp"
#include "runtime/run_rules.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/searched_plan.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace troupe {

namespace {

namespace fs = std::filesystem;

struct train_request {
  spec_flags flags;
  network_flags network;
  std::string resume;
  std::string trace;
  std::string timeline;
  std::string report;
  bool one_thread = false;
  std::string save_schedule;
  bool print_spec = false;
  bool quiet = false;
};

constexpr const char* train_examples =
    R"(A run is defined by its run spec. Each flag sets the field named in brackets, in order of growing
strength: defaults (in parentheses), the spec of the checkpoint with --resume, the --config file, then
--set and flags in the order given (of a flag given twice the last wins).

Examples:
  troupe train --data text.txt --stages 4 --microbatches 16 --steps 500
  troupe train --data text.txt --layers 8 --width 256 --heads 8 --seq 256 --lr 6e-4 --warmup-steps 50
  troupe train --data text.txt --stages 2 --checkpoint run/ --checkpoint-every 100
  troupe train --resume run/ --stages 4                        go on, over more stages: still the same bits
  troupe train --data text.txt --stages 4 --spawn 2            two worker processes, two ranks each
  troupe train --data text.txt --stages 4 --workers 10.0.0.2:7001,10.0.0.3:7001 --tls certs/10.0.0.1
  troupe train --data text.txt --stages 4 --print-spec > run.textproto
  troupe train --config run.textproto --seed 2 --report two.json --trace two.trace.json

Ctrl-C finishes the step, writes a checkpoint if there is a directory for it, and exits with 130; a second one
exits at once.)";

/// A long run must not end in a refusal: the nearest directory that exists must let us create the rest.
void expect_checkpoint_directory(const fs::path& directory) {
  fs::path nearest = fs::absolute(directory);
  std::error_code ignored; // what cannot be looked at is treated as missing, and its parent decides
  while (!fs::exists(nearest, ignored) && nearest.has_relative_path())
    nearest = nearest.parent_path();
  if (!fs::is_directory(nearest, ignored) || ::access(nearest.c_str(), W_OK | X_OK) != 0)
    throw checkpoint_error(fmt::format("checkpoint.directory: found '{}', expected a writable directory or a place to "
                                       "create one; {} is neither",
                                       directory.string(), nearest.string()));
}

/// A new run must not be mixed with an old one: the newest generation of a directory is what a resume goes on from.
void expect_no_other_run(const fs::path& directory, const std::string& resumed) {
  std::error_code ignored; // what cannot be looked at is refused as unwritable
  if (!fs::is_directory(directory, ignored) || (!resumed.empty() && fs::equivalent(directory, resumed, ignored)))
    return;
  const std::vector<std::uint64_t> steps = list_generations(directory).steps;
  if (!steps.empty())
    throw spec_error(
        fmt::format("checkpoint.directory: found '{}' with {} of another run, expected a directory without "
                    "checkpoints (or --resume {})",
                    directory.string(), generation_name(steps.front()), directory.string()));
}

/// What flags outside the spec cannot be combined with.
void expect_fitting_flags(const train_request& request, const run_spec& spec) {
  const pipeline_spec& pipeline = spec.pipeline;
  if (!request.resume.empty() && pipeline.emulated())
    throw spec_error(fmt::format("--resume: found '{}', expected none, since pipeline.emulate has no use for weights",
                                 request.resume));
  if (request.one_thread && (pipeline.emulated() || pipeline.dispatch == dispatch_mode::reactive))
    throw spec_error(fmt::format("--one-thread: found it with {}, expected none, since no rank waits on one thread",
                                 pipeline.emulated() ? "pipeline.emulate" : "reactive pipeline.dispatch"));
  if (request.one_thread && !spec.faults.chaos.empty())
    throw spec_error(fmt::format("--one-thread: found it with faults.chaos '{}', expected none, since there is no rank "
                                 "to strike on one thread",
                                 spec.faults.chaos));
  if (request.one_thread && !spec.faults.snapshot_directory.empty())
    throw spec_error(fmt::format("--one-thread: found it with faults.snapshot_directory '{}', expected none, since no "
                                 "snapshots are taken on one thread",
                                 spec.faults.snapshot_directory));
  request.network.check();
  if (request.network.distributed() && (request.one_thread || pipeline.schedule == "reference"))
    throw spec_error(
        fmt::format("--workers, --spawn: found one with {}, expected neither, since that runs on one thread",
                    request.one_thread ? "--one-thread" : "the reference"));
}

/// What says how one schedule is laid out means nothing to another one.
pipeline_spec without_schedule(pipeline_spec pipeline) {
  const pipeline_spec fresh;
  pipeline.chunks = fresh.chunks;
  pipeline.group_size = fresh.group_size;
  pipeline.waves = fresh.waves;
  pipeline.memory_limit = fresh.memory_limit;
  if (pipeline.wire == wire_precision::fp32) // otherwise the cuts belong to the run's arithmetic
    pipeline.partition = fresh.partition;
  return pipeline;
}

bool takes_snapshots(const train_request& request, const run_spec& spec) {
  return spec.faults.snapshot_every != 0 && !request.one_thread && spec.pipeline.schedule != "reference";
}

run_spec spec_of(const train_request& request, const std::optional<former_run>& resumed) {
  run_spec base;
  if (resumed) {
    base = resumed->spec;
    base.training.stop_after = 0; // where the former run was told to end is where this one begins
    base.faults.chaos.clear();    // and what ended it would only end this one, too
    if (!base.checkpoint.directory.empty())
      base.checkpoint.directory = fs::absolute(request.resume).string(); // it may have been moved since
  }
  run_spec spec = request.flags.apply(base);
  if (resumed && spec.pipeline.schedule != base.pipeline.schedule)
    base.pipeline = without_schedule(base.pipeline);
  if (resumed && !takes_snapshots(request, spec))
    base.faults.snapshot_directory.clear();
  if (resumed)
    spec = request.flags.apply(base);
  if (resumed && spec.training.gradient_groups == 0)
    spec.training.gradient_groups = base.training.gradient_groups; // left open, as the former run has settled it
  validate(spec);
  expect_fitting_flags(request, spec);
  if (resumed)
    expect_same_run(*resumed, spec, request.resume);
  return spec;
}

bool same_file(const std::string& one, const std::string& other) {
  std::error_code ignored; // a file that is not there is compared by its name
  return !one.empty() && !other.empty() &&
         (fs::equivalent(one, other, ignored) ||
          fs::absolute(one).lexically_normal() == fs::absolute(other).lexically_normal());
}

/// Writing over a file that this run reads, or writes otherwise, would destroy it.
void expect_distinct_files(const train_request& request, const run_spec& spec) {
  std::vector<std::pair<std::string, std::string>> others = {{"data.path", spec.data.path},
                                                             {"--config", request.flags.config_file()},
                                                             {"pipeline.schedule", spec.pipeline.schedule}};
  for (const auto& [flag, file] : {std::pair<std::string, std::string>{"--report", request.report},
                                   {"--trace", request.trace},
                                   {"--timeline", request.timeline},
                                   {"--save-schedule", request.save_schedule}}) {
    for (const auto& [name, other] : others)
      if (same_file(file, other))
        throw spec_error(
            fmt::format("{}: found '{}', which is {} of this run, expected another file", flag, file, name));
    others.emplace_back(flag, file);
  }
}

void expect_outputs(const train_request& request, const run_spec& spec) {
  if (!request.save_schedule.empty() && spec.pipeline.schedule == "reference")
    throw spec_error(fmt::format("--save-schedule: found '{}' with the reference, expected none, as it runs no list",
                                 request.save_schedule));
  expect_distinct_files(request, spec);
  for (const std::string& file : {request.report, request.trace, request.timeline, request.save_schedule})
    if (!file.empty())
      expect_writable(file);
  if (spec.checkpoint.directory.empty())
    return;
  expect_checkpoint_directory(spec.checkpoint.directory);
  expect_no_other_run(spec.checkpoint.directory, request.resume);
}

file_data open_data(const run_spec& spec) {
  if (spec.data.path.empty())
    throw spec_error("data.path: found nothing, expected a file to train on (--data FILE)");
  return {spec, find_family(spec.model.family).targets_per_sequence(spec.model)};
}

/// Tells what the run has come to, in each way whatever became of the others. Returns a line for each that was refused.
std::vector<std::string> conclude(const train_request& request, const run_report& report,
                                  const std::string& generation) {
  std::vector<std::string> refusals = report.failed_outputs;
  const auto attempt = [&](const auto& act) {
    try {
      act();
    } catch (const output_error& refusal) {
      refusals.emplace_back(refusal.what());
    }
  };
  const std::string told = summary(report, generation);
  attempt([&] { put_text(told); });
  if (refusals.size() > report.failed_outputs.size()) // the hash may be in no other place
    put_notice(told);
  if (!request.report.empty())
    attempt([&] { write_text_file(request.report, to_json(report, TROUPE_VERSION)); });
  return refusals;
}

/// Where the ranks live: in this process, or with workers, which it holds on to.
class rank_places {
public:
  rank_places(const network_flags& network, std::function<void(const std::string&)> on_event) {
    if (!network.distributed())
      return;
    workers_ = network.settle(started_);
    workers_->on_event = std::move(on_event);
  }

  /// Throws CLI::RuntimeError when the user interrupted before the workers were ready.
  run_report run(const run_spec& spec, const data_source& data, const run_options& options) const {
    if (!workers_)
      return run_pipeline(spec, data, options);
    const std::optional<run_report> report = run_distributed(spec, data, options, *workers_);
    if (!report)
      throw CLI::RuntimeError(exit_interrupted);
    return *report;
  }
  /// Whether they may hold something of a run that goes on: those that were started just now hold nothing.
  bool outlive_runs() const { return workers_ && !started_; }
  /// How many ranks compute at once; 0: all.
  std::uint32_t processors() const { return workers_ ? workers_->processors : usable_processors(); }

private:
  std::optional<local_workers> started_;
  std::optional<coordinator_setup_of_workers> workers_;
};

/// Profiles, unless passes are emulated, and searches. Throws CLI::RuntimeError when the user interrupted the profile.
plan find_plan(const train_request& request, const run_spec& spec, const data_source& data, const run_options& options,
               const rank_places& places) {
  searched_plan chosen;
  if (spec.pipeline.emulated()) { // nothing to measure
    chosen = search_emulated_plan(spec, find_family(spec.model.family));
  } else {
    if (places.outlive_runs() && !request.resume.empty() && !request.quiet)
      put_notice("note: --schedule auto measures on the workers first, which drop what they hold of the run; "
                 "with --schedule FILE.csv it would go on from there\n");
    const auto run = [&](const auto&... what) { return places.run(what...); };
    const std::optional<layer_profile> profile = profile_layers(spec, data, options, run, places.processors());
    if (!profile)
      throw CLI::RuntimeError(exit_interrupted);
    chosen = search_plan(spec, profile->layers, profile->processors);
  }
  if (!request.quiet)
    put_notice(fmt::format("{}; layers by stage {}\n", describe(chosen.found), partition_text(chosen.pipeline.stages)));
  return std::move(chosen.pipeline);
}

/// What is drawn, so that it can be asked for again. Throws spec_error when the run has no such place.
void tell_chaos(const train_request& request, const run_spec& spec, const plan& chosen, const run_options& options) {
  const std::uint64_t first = options.resume == nullptr ? 0 : options.resume->steps_done();
  const std::vector<chaos_event> events = chaos_of(spec, chosen, first);
  if (!events.empty() && !request.quiet)
    put_notice(fmt::format("chaos: {}\n", to_text(events)));
}

/// Runs what the spec asks for.
run_report run(const train_request& request, const run_spec& spec, const data_source& data, run_options options,
               progress& shown) {
  if (spec.pipeline.schedule == "reference")
    return run_reference(spec, data, options);
  const rank_places places(request.network, [&shown](const std::string& text) { shown.note(text); });
  const plan chosen = spec.pipeline.schedule == searched_schedule_name
                          ? find_plan(request, spec, data, options, places)
                          : make_plan(spec, find_family(spec.model.family));
  put_notice(describe(chosen.notes, spec.pipeline.schedule));
  if (!chosen.facts.canonical && !chosen.order.asynchronous)
    put_notice(
        fmt::format("note: {}: gradients add up in another order than in the reference, so the bits differ from its\n",
                    chosen.order.name));
  tell_chaos(request, spec, chosen, options);
  if (!request.save_schedule.empty())
    write_text_file(request.save_schedule, to_csv(chosen.order));
  options.pipeline = &chosen;
  return request.one_thread ? run_one_thread(spec, data, options) : places.run(spec, data, options);
}

void train(const train_request& request) {
  const std::optional<former_run> resumed = open_former(request.resume);
  run_spec spec = spec_of(request, resumed);
  if (request.print_spec) {
    put_text(to_text(spec));
    return;
  }
  const file_data data = open_data(spec);
  expect_outputs(request, spec);
  if (!spec.checkpoint.directory.empty() && spec.data.sha256.empty())
    spec.data.sha256 = data.content_sha256(); // a resumed run must find the same data

  if (resumed)
    tell_if_over(*resumed, spec);
  progress shown(request.quiet ? progress_style::none : style_for_stderr());
  std::optional<interrupt_watch> interrupts(std::in_place);
  checkpoint_watch checkpoints(shown, final_step(spec), interrupts->count(),
                               resumed && resumed->saved ? std::optional(resumed->steps_done()) : std::nullopt);
  const run_options options{.trace = request.trace,
                            .timeline = request.timeline,
                            .resume = resumed ? resumed->start() : nullptr,
                            .followed = request.resume,
                            .on_step = [&](const step_progress& at) { shown.show(at); },
                            .on_validation = [&](const validation_point& at) { shown.show(at); },
                            .on_recovery = [&](const rank_recovery& one) { shown.show(one); },
                            .on_stall = [&](const run_stalled& one) { shown.show(one); },
                            .on_checkpoint = [&](const checkpoint_committed& one) { checkpoints.note(one); },
                            .on_checkpoint_failed = [&](const checkpoint_failed& one) { checkpoints.note(one); },
                            .on_warning = [&](const std::string& text) { shown.warn(text); },
                            .interrupts = &interrupts->count()};
  const run_report report = run(request, spec, data, options, shown);
  interrupts.reset(); // from here on Ctrl-C ends the program
  shown.end_line();
  const std::vector<std::string> refusals = conclude(request, report, checkpoints.generation());
  for (const std::string& refusal : refusals)
    complain(refusal);
  checkpoints.expect_last(report);
  if (!refusals.empty())
    throw CLI::RuntimeError(exit_files);
  if (report.interrupted)
    throw CLI::RuntimeError(exit_interrupted);
}

} // namespace

void add_train_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("train", "Trains a model in a pipeline of stages.");
  command->footer(train_examples);
  const auto request = std::make_shared<train_request>();
  request->flags.add_to(*command);
  request->network.add_to(*command);
  const auto take_last = CLI::MultiOptionPolicy::TakeLast;
  command->add_flag("--print-spec", request->print_spec, "write the full run spec in force, and run nothing")
      ->group("Run spec");
  command
      ->add_flag("--one-thread", request->one_thread,
                 "run the schedule's lists on one thread, without actors: the yardstick of the asynchronous schedules")
      ->group("Pipeline");
  command
      ->add_option("--resume", request->resume,
                   "go on from the newest checkpoint in a directory, or from what workers still hold")
      ->type_name("DIR")
      ->multi_option_policy(take_last)
      ->group("Run spec");
  command->add_option("--trace", request->trace, "what ran when, for Perfetto or chrome://tracing")
      ->type_name("FILE.json")
      ->multi_option_policy(take_last)
      ->group("Output");
  command
      ->add_option("--timeline", request->timeline,
                   "a picture: a step of median time as it ran, and as the simulator predicts it")
      ->type_name("FILE.svg")
      ->multi_option_policy(take_last)
      ->group("Output");
  command->add_option("--report", request->report, "losses, rates, ranks and hashes of the run, as JSON")
      ->type_name("FILE.json")
      ->multi_option_policy(take_last)
      ->group("Output");
  command
      ->add_option("--save-schedule", request->save_schedule,
                   "the list of the run, for --schedule FILE.csv and `troupe schedule FILE.csv`")
      ->type_name("FILE.csv")
      ->multi_option_policy(take_last)
      ->group("Output");
  command->add_flag("--quiet", request->quiet, "no progress, only the summary")->group("Output");
  command->callback([request] { train(*request); });
}

} // namespace troupe
