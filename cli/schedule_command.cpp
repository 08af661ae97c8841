#include "cli/schedule_command.hpp"

#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/draw.hpp"
#include "runtime/schedule/json.hpp"
#include "runtime/schedule/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

namespace troupe {

namespace {

struct schedule_options {
  schedule_request request = {.name = "", .ranks = 0, .microbatches = 0}; ///< 0: not given
  std::string format = "grid";
  std::string cost;
  std::uint32_t processors = 0;
  bool check = false;
};

schedule load_schedule(const schedule_options& options) {
  schedule_request request = options.request;
  if (!request.name.ends_with(".csv")) {
    if (request.ranks == 0 || request.microbatches == 0)
      throw spec_error(fmt::format("schedule '{}': found no {}, expected it with a schedule's name", request.name,
                                   request.ranks == 0 ? "--stages" : "--microbatches"));
    return generate_schedule(request);
  }
  csv_notes notes;
  schedule read = read_csv(request.name, &notes);
  if (notes.bookkeeping > 0)
    fmt::print(stderr, "note: {}: {} bookkeeping actions such as SEND_F are read over\n", request.name,
               notes.bookkeeping);
  const auto require = [&](std::uint32_t held, std::uint32_t given, const char* flag) {
    if (given != 0 && given != held)
      throw spec_error(fmt::format("{}: found {}, expected {} as in {}", flag, given, held, request.name));
  };
  require(read.ranks, request.ranks, "--stages");
  require(read.microbatches, request.microbatches, "--microbatches");
  require(read.stages() / read.ranks, request.chunks, "--chunks");
  if (request.group_size != 0 || request.waves != 1)
    throw spec_error(fmt::format("{}: found it with {}, expected none, as the file has the order", request.name,
                                 request.group_size != 0 ? "--group-size" : "--waves"));
  return read;
}

bool stdout_is_terminal() {
  return isatty(STDOUT_FILENO) == 1;
}

/// A row that wraps is unreadable, so it is cut at the edge of a terminal; a file or a pipe gets all of it.
grid_options options_for_stdout(const simulation& timing) {
  grid_options options;
  options.unit = std::numeric_limits<double>::infinity();
  for (const std::vector<timed_action>& ran : timing.ranks)
    for (const timed_action& one : ran)
      if (one.end > one.start)
        options.unit = std::min(options.unit, one.end - one.start);
  if (!std::isfinite(options.unit))
    options.unit = 1.0;
  if (!stdout_is_terminal())
    return options;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    options.maximum_columns = size.ws_col;
  const char* const no_colour = std::getenv("NO_COLOR");
  if (no_colour == nullptr || *no_colour == '\0')
    options.colours = colour::always;
  return options;
}

std::string summarise(const simulation& timing) {
  const double ideal = *std::max_element(timing.busy.begin(), timing.busy.end());
  return fmt::format("makespan            {:g} (ideal: {:g}, the busiest rank's own work)\n"
                     "bubble              {:.1f} % of the ranks' time is idle\n"
                     "peak stash by rank  {}\n",
                     timing.makespan, ideal, 100.0 * timing.bubble_fraction, fmt::join(timing.peak_stash, " "));
}

std::string describe_facts(const schedule& plan, const schedule_facts& facts) {
  std::size_t actions = 0;
  for (const std::vector<action>& list : plan.actions)
    actions += list.size();
  return fmt::format("schedule       {}\nranks          {}\nstages         {}\nmicrobatches   {}\nactions        {}\n"
                     "peak by stage  {}\npeak by rank   {}\nactivations    {}\ncanonical      {}\n",
                     plan.name, plan.ranks, plan.stages(), plan.microbatches, actions,
                     fmt::join(facts.peak_by_stage, " "), fmt::join(facts.peak_by_rank, " "),
                     fmt::join(facts.activations_by_rank, " "), facts.canonical ? "yes" : "no");
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw run_error("stdout: found it closed or full, expected to write the schedule there");
}

void run(const schedule_options& options) {
  simulation_costs costs = parse_costs(options.cost, "--cost").costs;
  costs.processors = options.processors;
  const schedule plan = load_schedule(options);
  expect_stage_count(costs, plan.stages(), "--cost");
  const schedule_facts facts = check_schedule(plan);
  if (options.check)
    return print(describe_facts(plan, facts));
  if (options.format == "csv")
    return print(to_csv(plan));
  const simulation timing = simulate(plan, costs);
  if (options.format == "json")
    return print(to_json(plan, facts, timing));
  print(draw_grid(plan, timing, options_for_stdout(timing)));
  print(summarise(timing));
}

std::string describe_command() {
  std::string text = "Show in which order each rank of a pipeline works, and how much of its time it idles, without "
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
                     "most microbatches whose activations a rank holds at once.\n"
                     "\n"
                     "Schedules:\n";
  for (const std::string& name : schedule_names())
    text += fmt::format("  {:<16} {}\n", name, schedule_summary(name));
  return text;
}

} // namespace

void add_schedule_command(CLI::App& app) {
  const auto options = std::make_shared<schedule_options>();
  CLI::App* const command = app.add_subcommand("schedule", describe_command());
  command->add_option("schedule", options->request.name, "A schedule's name, or a file that ends in .csv")->required();
  command->option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  const CLI::Validator at_least_one = CLI::Range(1U, std::numeric_limits<std::uint32_t>::max()).description("");
  command->add_option("--stages", options->request.ranks, "Ranks p of the pipeline")->check(at_least_one);
  command
      ->add_option("--microbatches", options->request.microbatches,
                   "Microbatches m of a step; more of them make the bubble a smaller part")
      ->check(at_least_one);
  command
      ->add_option("--chunks", options->request.chunks,
                   "Stages v of each rank [what the schedule needs; 2 where there is a choice]")
      ->check(at_least_one);
  command
      ->add_option("--group-size", options->request.group_size,
                   "Microbatches that visit a chunk in a row, of the interleaved schedules [m / max(1, m / p), as in "
                   "PyTorch]")
      ->check(at_least_one);
  command->add_option("--waves", options->request.waves, "Waves of hanayo")->check(at_least_one)->capture_default_str();
  command
      ->add_option(
          "--format", options->format,
          "grid: the picture; csv: a file that `troupe train --schedule` reads; json: all of it, with start and "
          "end of each action")
      ->check(CLI::IsMember({"grid", "csv", "json"}))
      ->capture_default_str();
  command->add_option(
      "--cost", options->cost,
      "Times of one stage's passes over a microbatch, and of sending one result to another rank; B takes "
      "i + w. Stages that differ: f=1/1/2/3. Units, if any: s, ms, us [f=1,i=1,w=1,comm=0]");
  command
      ->add_option("--processors", options->processors,
                   "How many ranks can compute at once, as on a machine with fewer cores than ranks; 0: all")
      ->capture_default_str();
  command->add_flag(
      "--check", options->check,
      "Print just what the checker finds: sizes, peaks (activations: from F until I, as papers count them, not until "
      "W), and whether every stage adds its gradients in the reference's order (canonical)");
  command->callback([options] { run(*options); });
}

} // namespace troupe
