#include "runtime/schedule/search/published.hpp"

#include "model/error.hpp"
#include "runtime/schedule/check.hpp"
#include "runtime/schedule/generators/generators.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace troupe {

namespace {

/// Nothing when the generator's rule excludes the numbers.
std::optional<schedule> generate(const generator_entry& entry, schedule_request request) {
  request.name = entry.name;
  if (entry.chunks == chunk_rule::waves && request.chunks % 2 == 0)
    request.waves = request.chunks / 2;
  try {
    return generate_schedule(request);
  } catch (const spec_error&) {
    return std::nullopt;
  }
}

} // namespace

std::vector<published_schedule> published_schedules(std::uint32_t ranks, std::uint32_t microbatches,
                                                    std::uint32_t chunks) {
  std::vector<published_schedule> found;
  for (const generator_entry& entry : generator_table()) {
    std::optional<schedule> plan = generate(entry, {.ranks = ranks, .microbatches = microbatches, .chunks = chunks});
    if (!plan)
      continue;
    const schedule_facts facts = check_schedule(*plan);
    if (facts.canonical && plan->copies() == 1 && !plan->asynchronous)
      found.push_back({std::move(*plan), *std::ranges::max_element(facts.peak_by_rank)});
  }
  return found;
}

} // namespace troupe
