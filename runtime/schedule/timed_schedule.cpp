#include "runtime/schedule/timed_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

double stages_per_rank(const schedule& plan) {
  return static_cast<double>(plan.stages()) / plan.ranks;
}

double peak_in_microbatches(const schedule& plan, const simulation& timing) {
  return *std::max_element(timing.peak_stash.begin(), timing.peak_stash.end()) / stages_per_rank(plan);
}

std::string headline(const schedule& plan, const simulation& timing, const std::string& unit) {
  const double peak = peak_in_microbatches(plan, timing);
  return fmt::format("makespan {:.4g}{}{}, bubble {:.1f} %, peak stash {:.3g} microbatch{}", timing.makespan,
                     unit.empty() ? "" : " ", unit, 100.0 * timing.bubble_fraction, peak, peak == 1.0 ? "" : "es");
}

std::string steady_note(const timed_schedule& shown) {
  if (!shown.steady)
    return {};
  return fmt::format("; each further step {:.4g}, bubble {:.1f} %", shown.steady->seconds,
                     100.0 * shown.steady->bubble_fraction);
}

} // namespace troupe
