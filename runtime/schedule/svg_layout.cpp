#include "runtime/schedule/svg_layout.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {

constexpr double usual_plot = 720.0; ///< small schedules are stretched up to here, so that a picture is worth a look
constexpr double widest_plot = 8192.0;
constexpr double widest_stretch = 40.0; ///< of a short box
constexpr double tick_distance = 56.0;

std::size_t most_digits(std::span<const svg_block> blocks) {
  std::size_t digits = 1;
  for (const svg_block& block : blocks)
    digits = std::max(digits, fmt::formatted_size("{}", block.plan->microbatches - 1));
  return digits;
}

/// The duration that a quarter of the actions stay below: a short one, but no outlier of a measurement.
double short_duration(std::span<const svg_block> blocks) {
  std::vector<double> durations;
  for (const svg_block& block : blocks)
    for (const std::vector<timed_action>& ran : block.timing->ranks)
      for (const timed_action& one : ran)
        if (one.end > one.start)
          durations.push_back(one.end - one.start);
  if (durations.empty())
    return 1.0;
  const auto quarter = durations.begin() + static_cast<std::ptrdiff_t>(durations.size() / 4);
  std::nth_element(durations.begin(), quarter, durations.end());
  return *quarter;
}

/// The next of ..., 0.5, 1, 2, 5, 10, ... from `smallest` on.
double round_step(double smallest) {
  const double power = std::pow(10.0, std::floor(std::log10(smallest)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= smallest)
      return factor * power;
  return 10.0 * power;
}

} // namespace

svg_layout lay_out(std::span<const svg_block> blocks) {
  double makespan = 0.0;
  std::uint32_t ranks = 1;
  for (const svg_block& block : blocks) {
    if (!std::isfinite(block.timing->makespan))
      throw spec_error(fmt::format("svg: found a makespan of {}, expected a finite one", block.timing->makespan));
    makespan = std::max(makespan, block.timing->makespan);
    ranks = std::max(ranks, block.plan->ranks);
  }
  svg_layout result;
  result.left = svg_layout::margin + text_width(fmt::format("rank {}", ranks - 1)) + 8.0;
  if (makespan <= 0.0)
    return result;
  const double box = std::max(20.0, svg_layout::digit_width * static_cast<double>(most_digits(blocks)) + 8.0);
  const double shortest = short_duration(blocks);
  result.scale = std::clamp(usual_plot / makespan, box / shortest, std::max(box, widest_stretch) / shortest);
  result.scale = std::min(result.scale, widest_plot / makespan);
  result.plot_width = makespan * result.scale;
  result.tick = round_step(tick_distance / result.scale);
  return result;
}

double text_width(const std::string& text) {
  return 6.3 * static_cast<double>(text.size());
}

std::string pixels(double value) {
  return fmt::format("{:.10g}", std::round(value * 100.0) / 100.0 + 0.0); // + 0: no "-0"
}

} // namespace troupe
