#include "cli/schedule_command.hpp"

#include "cli/schedule_formats.hpp"
#include "model/error.hpp"
#include "runtime/report.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/simulate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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
  schedule_request request = {.name = "", .ranks = 0, .microbatches = 0}; ///< 0: not given
  std::string format = "grid";
  std::string cost;
  std::uint32_t processors = 0;
  std::string compare; ///< more names, with commas between them
  std::string output;  ///< empty: stdout
  bool check = false;
  bool list = false;
};

double parse_time(std::string_view term, const std::string& text) {
  std::size_t used = 0;
  double value = -1.0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = std::string::npos;
  }
  if (used != text.size() || !std::isfinite(value) || value < 0.0)
    throw spec_error(fmt::format("--cost: found '{}', expected a time of at least 0, as in f=1.5", term));
  return value;
}

/// Reads "f=1,i=1,w=1,comm=0"; what is not named keeps that value.
simulation_costs parse_costs(const std::string& text) {
  simulation_costs costs;
  stage_cost& stage = costs.stages.emplace_back();
  const std::array<std::pair<std::string_view, double&>, 4> names{
      {{"f", stage.forward}, {"i", stage.backward_input}, {"w", stage.backward_weight}, {"comm", costs.communication}}};
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view term = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), term.size() + 1));
    const std::size_t equals = term.find('=');
    const auto* const named = std::find_if(std::begin(names), std::end(names), [&](const auto& one) {
      return equals != std::string_view::npos && one.first == term.substr(0, equals);
    });
    if (named == std::end(names))
      throw spec_error(fmt::format("--cost: found '{}', expected f=, i=, w= or comm= and a time", term));
    named->second = parse_time(term, std::string(term.substr(equals + 1)));
  }
  return costs;
}

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

std::vector<std::string> compared_names(const schedule_options& options) {
  std::vector<std::string> names{options.request.name};
  std::string_view rest = options.compare;
  for (bool more = !rest.empty(); more;) {
    const std::size_t comma = rest.find(',');
    names.emplace_back(rest.substr(0, comma));
    more = comma != std::string_view::npos;
    rest.remove_prefix(more ? comma + 1 : rest.size());
  }
  return names;
}

/// Of a schedule that is compared: it gets those options that it has a use for.
schedule_request request_of(const std::string& name, schedule_request asked) {
  asked.name = name;
  if (!name.ends_with(".csv"))
    return without_unused_options(asked);
  return {.name = name, .ranks = asked.ranks, .microbatches = asked.microbatches};
}

/// An option that no compared schedule has a use for is a mistake, as it is for a single one.
void expect_used(const schedule_request& asked, const std::vector<schedule_options>& compared) {
  const auto require = [&](std::uint32_t schedule_request::*option, const char* flag) {
    const auto takes = [&](const schedule_options& one) { return one.request.*option == asked.*option; };
    if (std::none_of(compared.begin(), compared.end(), takes))
      throw spec_error(fmt::format("{}: found {}, expected none, as no schedule of --compare leaves a choice of it",
                                   flag, asked.*option));
  };
  require(&schedule_request::chunks, "--chunks");
  require(&schedule_request::group_size, "--group-size");
  require(&schedule_request::waves, "--waves");
}

std::vector<schedule> load_all(const schedule_options& options) {
  if (options.compare.empty())
    return {load_schedule(options)};
  std::vector<schedule_options> compared;
  for (const std::string& name : compared_names(options)) {
    compared.push_back(options);
    compared.back().request = request_of(name, options.request);
  }
  expect_used(options.request, compared);
  std::vector<schedule> plans;
  plans.reserve(compared.size());
  for (const schedule_options& one : compared)
    plans.push_back(load_schedule(one));
  return plans;
}

/// Times are those of a stage of a model that is cut into `stages`; the same model cut into other stages has others.
simulation_costs recut(simulation_costs costs, std::uint32_t stages, const schedule& plan) {
  const double part = static_cast<double>(stages) / plan.stages();
  for (stage_cost& one : costs.stages)
    one = {one.forward * part, one.backward_input * part, one.backward_weight * part};
  return costs;
}

std::string describe_all(const std::vector<schedule>& plans) {
  std::string text;
  for (const schedule& plan : plans)
    text += (text.empty() ? "" : "\n") + describe_facts(plan, check_schedule(plan));
  return text;
}

std::string show(const schedule_options& options) {
  simulation_costs costs = parse_costs(options.cost);
  costs.processors = options.processors;
  const std::vector<schedule> plans = load_all(options);
  if (options.check)
    return describe_all(plans);
  if (options.format == "csv" && plans.size() > 1)
    throw spec_error("--format: found csv with --compare, expected grid, json or svg, as a file has one schedule");
  std::vector<timed_schedule> shown;
  for (const schedule& plan : plans) {
    schedule_facts facts = check_schedule(plan);
    if (options.format == "csv")
      return to_csv(plan);
    const bool single = plans.size() == 1;
    shown.push_back({plan, std::move(facts), simulate(plan, single ? costs : recut(costs, plans[0].ranks, plan))});
  }
  if (options.format == "json")
    return as_json(shown);
  if (options.format == "svg")
    return as_svg(shown);
  return as_grid(shown, options.output.empty() ? grid_for_stdout() : grid_options{});
}

std::string list_names() {
  return fmt::format("{}\n", fmt::join(schedule_names(), "\n"));
}

void write(const std::string& text, const std::string& output) {
  if (!output.empty())
    write_text_file(output, text);
  else if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw run_error("stdout: found it closed or full, expected to write the schedule there");
}

void run(const schedule_options& options) {
  if (!options.list && options.request.name.empty())
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
  return text;
}

} // namespace

void add_schedule_command(CLI::App& app) {
  const auto options = std::make_shared<schedule_options>();
  CLI::App* const command = app.add_subcommand("schedule", describe_command());
  command->add_option("schedule", options->request.name, "A schedule's name, or a file that ends in .csv");
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
          "grid: the picture as text; svg: the picture, to scale; csv: a file that `troupe train --schedule` reads; "
          "json: all of it, with start and end of each action")
      ->check(CLI::IsMember({"grid", "csv", "json", "svg"}))
      ->capture_default_str();
  command->add_option(
      "--cost", options->cost,
      "Times of one stage's passes over a microbatch, and of sending one result to another rank; B takes "
      "i + w [f=1,i=1,w=1,comm=0]");
  command
      ->add_option("--processors", options->processors,
                   "How many ranks can compute at once, as on a machine with fewer cores than ranks; 0: all")
      ->capture_default_str();
  command->add_option("--compare", options->compare, "More schedules to show below the first one")
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
