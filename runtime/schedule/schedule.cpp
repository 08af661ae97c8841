#include "runtime/schedule/schedule.hpp"

#include "model/error.hpp"
#include "runtime/nearest.hpp"
#include "runtime/schedule/generators/generators.hpp"

#include <fmt/format.h>

namespace troupe {

namespace {

/// Bounds the memory of what a user can ask for; 16 times that of 1024 ranks with 1024 microbatches.
constexpr std::uint64_t maximum_stage_microbatches = std::uint64_t{1} << 24;

const generator_entry& find_generator(const std::string& name) {
  for (const generator_entry& entry : generator_table())
    if (name == entry.name)
      return entry;
  const std::vector<std::string> known = schedule_names();
  throw spec_error(fmt::format("schedule: found '{}', expected one of {}{}", name, fmt::join(known, ", "),
                               did_you_mean(name, known)));
}

void require_sizes(const schedule_request& request) {
  const auto require_one = [&](std::uint32_t found, const char* what) {
    if (found == 0)
      throw spec_error(fmt::format("schedule '{}': found 0 {}, expected at least 1", request.name, what));
  };
  require_one(request.ranks, "ranks");
  require_one(request.microbatches, "microbatches");
  require_one(request.chunks, "chunks");
  // Two factors of 32 bits fit into 64; the third is compared by division.
  const std::uint64_t stages = std::uint64_t{request.ranks} * request.chunks;
  if (stages > maximum_stage_microbatches / request.microbatches)
    throw spec_error(
        fmt::format("schedule '{}': found {} stages with {} microbatches, expected a product of at most {}",
                    request.name, stages, request.microbatches, maximum_stage_microbatches));
}

} // namespace

std::vector<std::string> schedule_names() {
  std::vector<std::string> names;
  for (const generator_entry& entry : generator_table())
    names.emplace_back(entry.name);
  return names;
}

std::string schedule_summary(const std::string& name) {
  return find_generator(name).summary;
}

schedule generate_schedule(const schedule_request& request) {
  const generator_entry& entry = find_generator(request.name);
  require_sizes(request);
  return entry.generate(request);
}

std::vector<action> evaluation_actions(const schedule& plan, std::uint32_t rank, std::uint32_t microbatches) {
  std::vector<action> list;
  for (std::uint32_t microbatch = 0; microbatch < microbatches; ++microbatch)
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      if (plan.rank_of_stage[stage] == rank)
        list.push_back({stage, operation::forward, microbatch});
  return list;
}

} // namespace troupe
