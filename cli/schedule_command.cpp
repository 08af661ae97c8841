#include "cli/schedule_command.hpp"

#include "cli/console.hpp"
#include "cli/schedule_formats.hpp"
#include "cli/schedule_source.hpp"
#include "model/error.hpp"
#include "runtime/report.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/search/search.hpp"
#include "runtime/schedule/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe {

namespace {

struct schedule_options {
  schedule_source source;
  std::string format = "grid";
  std::string output; ///< empty: stdout
  bool check = false;
  bool list = false;
};

std::string describe_all(const std::vector<costed_schedule>& loaded) {
  std::string text;
  for (const costed_schedule& one : loaded)
    text += (text.empty() ? "" : "\n") + describe_facts(one.plan, check_schedule(one.plan));
  return text;
}

constexpr std::uint32_t joined_steps_shown = 3;

std::string show(const schedule_options& options) {
  const std::vector<costed_schedule> loaded = load_schedules(options.source);
  if (options.check)
    return describe_all(loaded);
  if (options.format == "csv" && loaded.size() > 1)
    throw spec_error("--format: found csv with --compare, expected grid, json or svg, as a file has one schedule");
  std::vector<timed_schedule> shown;
  for (const auto& [plan, costs] : loaded) {
    schedule_facts facts = check_schedule(plan);
    if (options.format == "csv")
      return to_csv(plan);
    if (plan.asynchronous) {
      // One step shows nothing of it: its steps run into one another.
      const schedule joined = unrolled(plan, joined_steps_shown);
      shown.push_back({joined, std::move(facts), simulate(joined, costs), simulate_steady_step(plan, costs)});
    } else {
      shown.push_back({plan, std::move(facts), simulate(plan, costs)});
    }
  }
  if (options.format == "json")
    return as_json(shown);
  if (options.format == "svg")
    return as_svg(shown);
  return as_grid(shown, options.output.empty() ? grid_for_stdout() : grid_options{});
}

std::string list_names() {
  return fmt::format("{}\n", fmt::join(all_schedule_names(), "\n"));
}

void write(const std::string& text, const std::string& output) {
  if (output.empty())
    return put_text(text);
  expect_writable(output);
  write_text_file(output, text);
}

void run(const schedule_options& options) {
  if (!options.list && options.source.request.name.empty())
    throw spec_error("schedule: found no name, expected that of a schedule (--list prints all) or of a .csv file");
  write(options.list ? list_names() : show(options), options.output);
}

std::string describe_command() {
  std::string text =
      "Show in which order each rank of a pipeline works, and how much of its time it idles, without "
      "running anything.\n"
      "\n"
      "The picture has a row for each rank and time to the right. F3 is the forward pass of microbatch "
      "3, B3 its backward\n"
      "pass; some schedules split B into I (gradient of the input, which the stage before waits for) "
      "and W (gradient of\n"
      "the weights, which nobody waits for). With several stages a rank, 5F3 is stage 5's. A dot is an "
      "idle moment: the\n"
      "dots together are the bubble. Below it: the makespan, the bubble's part of all ranks' time, and "
      "the peak stash, the\n"
      "most microbatches whose activations a rank holds at once. A row that is wider than the terminal "
      "ends in >; in a file\n"
      "or a pipe rows have their full length.\n"
      "\n"
      "--compare shows several schedules of one model under one another at the same scale. There, --cost "
      "gives the times of a\n"
      "stage where each rank of the first schedule has one stage; a schedule with v stages a rank has "
      "the times divided by v.\n"
      "--chunks, --group-size and --waves go to the schedules that have a use for them. A peak of 1 is a "
      "microbatch at all\n"
      "stages of a rank.\n"
      "\n"
      "Schedules:\n";
  for (const std::string& name : schedule_names())
    text += fmt::format("  {:<16} {}\n", name, schedule_summary(name));
  text += fmt::format("  {:<16} {}\n", searched_schedule_name, searched_schedule_summary);
  return text;
}

} // namespace

void add_schedule_command(CLI::App& app) {
  const auto options = std::make_shared<schedule_options>();
  CLI::App* const command = app.add_subcommand("schedule", describe_command());
  command->add_option("schedule", options->source.request.name, "A schedule's name, or a file that ends in .csv");
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const CLI::Validator at_least_one = CLI::Range(1U, std::numeric_limits<std::uint32_t>::max()).description("");
  command->add_option("--stages", options->source.request.ranks, "Ranks p of the pipeline")->check(at_least_one);
  command
      ->add_option("--microbatches", options->source.request.microbatches,
                   "Microbatches m of a step; more of them make the bubble a smaller part")
      ->check(at_least_one);
  command
      ->add_option("--chunks", options->source.request.chunks,
                   "Stages v of each rank [what the schedule needs; 2 where there is a choice; auto tries 1, 2 and 4]")
      ->check(at_least_one);
  command
      ->add_option("--group-size", options->source.request.group_size,
                   "Microbatches that visit a chunk in a row, of the interleaved schedules [m / max(1, m / p), as in "
                   "PyTorch]")
      ->check(at_least_one);
  command->add_option("--waves", options->source.request.waves, "Waves of hanayo")
      ->check(at_least_one)
      ->capture_default_str();
  command
      ->add_option(
          "--format", options->format,
          "grid: the picture as text; svg: the picture, to scale; csv: a file that `troupe train --schedule` reads; "
          "json: all of it, with start and end of each action")
      ->check(CLI::IsMember({"grid", "csv", "json", "svg"}))
      ->capture_default_str();
  command->add_option(
      "--cost", options->source.cost,
      "What one stage costs: the times of its passes over a microbatch (f, i, w; B takes i + w), of its optimizer once "
      "a step (opt), and of sending one result to another rank (comm). A link that carries one result after another: "
      "out is the size of a result, bandwidth sizes per time. Memory: weights, and stash of one microbatch. Stages "
      "that differ: f=1/1/2/3. Units of times, if any: s, ms, us. For auto the numbers are those of as many stages as "
      "ranks, which it may cut further; with more numbers, those of the model's layers [f=1,i=1,w=1,opt=0,comm=0]");
  command
      ->add_option("--memory-limit", options->source.memory_limit,
                   "Of auto: microbatches that a rank may hold, each of its v stages counting 1 / v [p, as 1f1b]")
      ->check(at_least_one);
  command
      ->add_option("--processors", options->source.processors,
                   "How many ranks can compute at once, as on a machine with fewer cores than ranks; 0: all")
      ->capture_default_str();
  command->add_option("--compare", options->source.compare, "More schedules to show below the first one")
      ->type_name("NAME|FILE.csv,...");
  command->add_option("-o,--output", options->output, "Where to write instead of standard output")->type_name("FILE");
  command->add_flag("--list", options->list, "Print just the names of all schedules, one a line");
  command->add_flag(
      "--check", options->check,
      "Print just what the checker finds: sizes, peaks (activations: from F until I, as papers count them, not until "
      "W), and whether every stage adds its gradients in the reference's order (canonical)");
  command->callback([options] { run(*options); });
}

} // namespace troupe
