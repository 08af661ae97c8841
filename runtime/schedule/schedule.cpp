#include "runtime/schedule/schedule.hpp"

#include "model/error.hpp"
#include "runtime/nearest.hpp"
#include "runtime/schedule/generators/generators.hpp"

#include <fmt/format.h>

namespace troupe {

namespace {

/// Bounds the memory of what a user can ask for; 16 times that of 1024 ranks with 1024 microbatches.
constexpr std::uint64_t maximum_stage_microbatches = std::uint64_t{1} << 24;
/// The ramps of a V take every rank time in proportion to the number of ranks, even with one microbatch.
constexpr std::uint32_t maximum_ranks_in_v = 4096;

const generator_entry& find_generator(const std::string& name) {
  for (const generator_entry& entry : generator_table())
    if (name == entry.name)
      return entry;
  const std::vector<std::string> known = schedule_names();
  throw spec_error(fmt::format("schedule: found '{}', expected one of {}{}", name, fmt::join(known, ", "),
                               did_you_mean(name, known)));
}

/// What the rule asks for, and why.
struct needed_chunks {
  std::uint32_t number = 0;
  const char* because = "";
};

needed_chunks needed_by(chunk_rule rule, const schedule_request& request) {
  switch (rule) {
  case chunk_rule::one:
    return {1, "each rank has one stage in it"};
  case chunk_rule::one_each:
    return {1, "each rank has one stage of each copy in it"};
  case chunk_rule::two:
    return {2, "each rank has two stages in a V"};
  case chunk_rule::waves:
    return {2 * request.waves, "each wave passes a rank twice"};
  case chunk_rule::any:
    break;
  }
  return {request.chunks == 0 ? 2 : request.chunks, ""};
}

void require_options(const schedule_request& request, const generator_entry& entry) {
  if (request.group_size != 0 && !entry.has_groups)
    throw spec_error(fmt::format("schedule '{}': found a group size of {}, expected none, as only interleaved-1f1b and "
                                 "interleaved-zb have groups",
                                 request.name, request.group_size));
  if (request.waves != 1 && entry.chunks != chunk_rule::waves)
    throw spec_error(
        fmt::format("schedule '{}': found {} waves, expected 1, as only hanayo has more", request.name, request.waves));
}

void require_sizes(const schedule_request& request, chunk_rule rule) {
  const auto require_one = [&](std::uint32_t found, const char* what) {
    if (found == 0)
      throw spec_error(fmt::format("schedule '{}': found 0 {}, expected at least 1", request.name, what));
  };
  require_one(request.ranks, "ranks");
  require_one(request.microbatches, "microbatches");
  if (rule == chunk_rule::two && request.ranks > maximum_ranks_in_v)
    throw spec_error(fmt::format("schedule '{}': found {} ranks, expected at most {}", request.name, request.ranks,
                                 maximum_ranks_in_v));
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

std::uint32_t chunks_of(const schedule_request& request) {
  constexpr std::uint32_t most_waves = 1U << 20; // twice that fits
  const chunk_rule rule = find_generator(request.name).chunks;
  if (rule == chunk_rule::waves && (request.waves == 0 || request.waves > most_waves))
    throw spec_error(
        fmt::format("schedule '{}': found {} waves, expected 1 to {}", request.name, request.waves, most_waves));
  const needed_chunks needed = needed_by(rule, request);
  if (request.chunks != 0 && request.chunks != needed.number)
    throw spec_error(fmt::format("schedule '{}': found {} chunks, expected {}, because {}", request.name,
                                 request.chunks, needed.number, needed.because));
  return needed.number;
}

schedule_request without_unused_options(const schedule_request& request) {
  const generator_entry& entry = find_generator(request.name);
  schedule_request used = request;
  if (entry.chunks != chunk_rule::any)
    used.chunks = 0;
  if (!entry.has_groups)
    used.group_size = 0;
  if (entry.chunks != chunk_rule::waves)
    used.waves = 1;
  return used;
}

schedule generate_schedule(const schedule_request& request) {
  const generator_entry& entry = find_generator(request.name);
  require_options(request, entry);
  schedule_request full = request;
  full.chunks = chunks_of(request);
  require_sizes(full, entry.chunks);
  return entry.generate(full);
}

std::vector<action> evaluation_actions(const schedule& plan, std::uint32_t rank, std::uint32_t microbatches) {
  std::vector<action> list;
  for (std::uint32_t microbatch = 0; microbatch < microbatches; ++microbatch)
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
      if (plan.placements.front()[stage] == rank)
        list.push_back({stage, operation::forward, microbatch});
  return list;
}

} // namespace troupe
