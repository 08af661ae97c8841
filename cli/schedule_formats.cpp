#include "cli/schedule_formats.hpp"

#include "runtime/schedule/draw_svg.hpp"
#include "runtime/schedule/json.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

namespace troupe {

namespace {

/// 1 when nothing takes any time.
double shortest_action(std::span<const timed_schedule> shown) {
  double shortest = std::numeric_limits<double>::infinity();
  for (const timed_schedule& one : shown)
    for (const std::vector<timed_action>& ran : one.timing.ranks)
      for (const timed_action& action : ran)
        if (action.end > action.start)
          shortest = std::min(shortest, action.end - action.start);
  return std::isfinite(shortest) ? shortest : 1.0;
}

std::string summarise(const timed_schedule& shown) {
  const simulation& timing = shown.timing;
  const double ideal = *std::max_element(timing.busy.begin(), timing.busy.end());
  std::string text =
      fmt::format("makespan            {:g} (ideal: {:g}, the busiest rank's own work)\n"
                  "bubble              {:.1f} % of the ranks' time is idle\n"
                  "peak stash by rank  {}\n",
                  timing.makespan, ideal, 100.0 * timing.bubble_fraction, fmt::join(timing.peak_stash, " "));
  if (shown.steady)
    text += fmt::format("each further step   {:g}, bubble {:.1f} % (above: joined steps with ramp and flush)\n",
                        shown.steady->seconds, 100.0 * shown.steady->bubble_fraction);
  return text;
}

} // namespace

std::string describe_facts(const schedule& plan, const schedule_facts& facts) {
  return fmt::format("schedule       {}\nranks          {}\nstages         {}\nmicrobatches   {}\nactions        {}\n"
                     "peak by stage  {}\npeak by rank   {}\nactivations    {}\nweights        {}\ncanonical      {}\n",
                     plan.name, plan.ranks, plan.stages(), plan.microbatches, count_actions(plan),
                     fmt::join(facts.peak_by_stage, " "), fmt::join(facts.peak_by_rank, " "),
                     fmt::join(facts.activations_by_rank, " "), fmt::join(facts.versions_by_rank, " "),
                     facts.canonical ? "yes" : "no");
}

grid_options grid_for_stdout() {
  grid_options options;
  if (isatty(STDOUT_FILENO) != 1)
    return options;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
    options.maximum_columns = size.ws_col;
  const char* const no_colour = std::getenv("NO_COLOR");
  if (no_colour == nullptr || *no_colour == '\0')
    options.colours = colour::always;
  return options;
}

std::string as_grid(std::span<const timed_schedule> shown, grid_options options) {
  options.unit = shortest_action(shown);
  if (shown.size() == 1)
    return draw_grid(shown[0].plan, shown[0].timing, options) + summarise(shown[0]);
  for (const timed_schedule& one : shown) {
    const grid_shape needed = shape_of(one.plan);
    options.at_least = {std::max(options.at_least.head, needed.head), std::max(options.at_least.cell, needed.cell)};
  }
  std::string text;
  for (const timed_schedule& one : shown)
    text += fmt::format("{}{}: {}{}\n{}", text.empty() ? "" : "\n", one.plan.name, headline(one.plan, one.timing),
                        steady_note(one), draw_grid(one.plan, one.timing, options));
  return text;
}

std::string as_svg(std::span<const timed_schedule> shown) {
  std::vector<svg_block> blocks;
  std::vector<std::string> names;
  for (const timed_schedule& one : shown) {
    blocks.push_back({one.plan.name + (one.steady ? ", joined steps" : ""), &one.plan, &one.timing, steady_note(one)});
    names.push_back(one.plan.name);
  }
  return draw_svg(
      blocks, {.title = fmt::format("Pipeline schedule{} {}", names.size() == 1 ? "" : "s", fmt::join(names, ", "))});
}

std::string as_json(std::span<const timed_schedule> shown) {
  return shown.size() == 1 ? to_json(shown[0]) : to_json(shown);
}

} // namespace troupe
