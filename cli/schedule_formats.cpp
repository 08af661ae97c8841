#include "cli/schedule_formats.hpp"

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
double shortest_action(const simulation& timing) {
  double shortest = std::numeric_limits<double>::infinity();
  for (const std::vector<timed_action>& ran : timing.ranks)
    for (const timed_action& one : ran)
      if (one.end > one.start)
        shortest = std::min(shortest, one.end - one.start);
  return std::isfinite(shortest) ? shortest : 1.0;
}

std::string summarise(const simulation& timing) {
  const double ideal = *std::max_element(timing.busy.begin(), timing.busy.end());
  return fmt::format("makespan            {:g} (ideal: {:g}, the busiest rank's own work)\n"
                     "bubble              {:.1f} % of the ranks' time is idle\n"
                     "peak stash by rank  {}\n",
                     timing.makespan, ideal, 100.0 * timing.bubble_fraction, fmt::join(timing.peak_stash, " "));
}

} // namespace

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

std::string as_grid(const timed_schedule& shown, grid_options options) {
  options.unit = shortest_action(shown.timing);
  return draw_grid(shown.plan, shown.timing, options) + summarise(shown.timing);
}

std::string as_json(const timed_schedule& shown) {
  return to_json(shown.plan, shown.facts, shown.timing);
}

} // namespace troupe
