#include "cli/schedule_source.hpp"

#include "cli/console.hpp"
#include "model/error.hpp"
#include "runtime/schedule/cost_text.hpp"
#include "runtime/schedule/csv.hpp"
#include "runtime/schedule/search/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

namespace troupe {

namespace {

bool is_searched(const std::string& name) {
  return name == searched_schedule_name;
}

schedule read_fitting_csv(const schedule_request& request) {
  csv_notes notes;
  schedule read = read_csv(request.name, &notes);
  put_notice(describe(notes, request.name));
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

void require_sizes(const schedule_request& request) {
  if (request.ranks == 0 || request.microbatches == 0)
    throw spec_error(fmt::format("schedule '{}': found no {}, expected it with a schedule's name", request.name,
                                 request.ranks == 0 ? "--stages" : "--microbatches"));
}

schedule load_schedule(const schedule_request& request) {
  if (is_csv(request.name))
    return read_fitting_csv(request);
  require_sizes(request);
  return generate_schedule(request);
}

/// One number for each of `parts` stages (or a single one for all) says what these cost, and no more; of a longer list
/// each is a layer, which cannot be cut.
stage_cutter to_cutter(const simulation_costs& costs, std::uint32_t parts) {
  if (costs.stages.size() == 1 || costs.stages.size() == parts)
    return cut_evenly({.costs = costs.stages, .sizes = costs.sizes}, parts);
  if (!costs.sizes.empty())
    throw spec_error(fmt::format("--cost: found sizes and a list of {} numbers, expected one number or {}, one for "
                                 "each stage, as the sizes of single layers do not add up",
                                 costs.stages.size(), parts));
  return cut_between_layers(costs.stages);
}

costed_schedule search(const schedule_request& request, const schedule_source& source, const simulation_costs& costs) {
  require_sizes(request);
  if (request.group_size != 0 || request.waves != 1)
    throw spec_error(fmt::format("{}: found it with auto, expected none, as only single other schedules have it",
                                 request.group_size != 0 ? "--group-size" : "--waves"));
  search_result result = search_schedule({.ranks = request.ranks,
                                          .microbatches = request.microbatches,
                                          .chunks = request.chunks,
                                          .memory_limit = source.memory_limit,
                                          .cut = to_cutter(costs, request.ranks),
                                          .costs = costs});
  put_notice(describe(result) + "\n");
  costed_schedule found{std::move(result.found.plan), costs};
  found.costs.stages = std::move(result.stages);
  found.costs.sizes = std::move(result.sizes);
  return found;
}

/// A single schedule's costs are those of its own stages.
costed_schedule load_single(const schedule_source& source, const simulation_costs& costs) {
  if (is_searched(source.request.name))
    return search(source.request, source, costs);
  costed_schedule loaded{load_schedule(source.request), costs};
  expect_stage_count(costs, loaded.plan.stages(), "--cost");
  return loaded;
}

std::vector<std::string> compared_names(const schedule_source& source) {
  std::vector<std::string> names{source.request.name};
  std::string_view rest = source.compare;
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
  if (is_csv(name))
    return {.name = name, .ranks = asked.ranks, .microbatches = asked.microbatches};
  if (is_searched(name))
    return {.name = name, .ranks = asked.ranks, .microbatches = asked.microbatches, .chunks = asked.chunks};
  return without_unused_options(asked);
}

/// An option that no compared schedule has a use for is a mistake, as it is for a single one.
void expect_used(const schedule_request& asked, const std::vector<schedule_request>& compared) {
  const auto require = [&](std::uint32_t schedule_request::*option, const char* flag) {
    const auto takes = [&](const schedule_request& one) { return one.*option == asked.*option; };
    if (std::none_of(compared.begin(), compared.end(), takes))
      throw spec_error(fmt::format("{}: found {}, expected none, as no schedule of --compare leaves a choice of it",
                                   flag, asked.*option));
  };
  require(&schedule_request::chunks, "--chunks");
  require(&schedule_request::group_size, "--group-size");
  require(&schedule_request::waves, "--waves");
}

/// Costs are those of a model that is cut into `parts` stages; the same model cut into other stages has others.
costed_schedule recut(schedule plan, const simulation_costs& costs, std::uint32_t parts) {
  stage_cut cut = to_cutter(costs, parts)(plan.stages(), {});
  if (cut.costs.empty())
    throw spec_error(fmt::format("--cost: found {} numbers for a model of {} stages, expected some that {} stages can "
                                 "be made of",
                                 costs.stages.size(), parts, plan.stages()));
  costed_schedule result{std::move(plan), costs};
  result.costs.stages = std::move(cut.costs);
  result.costs.sizes = std::move(cut.sizes);
  return result;
}

std::vector<costed_schedule> load_compared(const schedule_source& source, const simulation_costs& costs) {
  std::vector<schedule_request> requests;
  for (const std::string& name : compared_names(source))
    requests.push_back(request_of(name, source.request));
  expect_used(source.request, requests);
  std::vector<costed_schedule> loaded;
  for (const schedule_request& request : requests) {
    if (is_searched(request.name)) {
      loaded.push_back(search(request, source, costs));
      continue;
    }
    schedule plan = load_schedule(request);
    const std::uint32_t parts = loaded.empty() ? plan.ranks : loaded.front().plan.ranks;
    loaded.push_back(recut(std::move(plan), costs, parts));
  }
  return loaded;
}

} // namespace

std::vector<costed_schedule> load_schedules(const schedule_source& source) {
  const std::vector<std::string> names = compared_names(source);
  if (source.memory_limit != 0 && std::ranges::none_of(names, is_searched))
    throw spec_error(fmt::format("--memory-limit: found {}, expected none, as only auto searches for a schedule within "
                                 "it",
                                 source.memory_limit));
  simulation_costs costs = parse_costs(source.cost, "--cost").costs;
  costs.processors = source.processors;
  if (!source.compare.empty())
    return load_compared(source, costs);
  return {load_single(source, costs)};
}

std::vector<std::string> all_schedule_names() {
  std::vector<std::string> names = schedule_names();
  names.emplace_back(searched_schedule_name);
  return names;
}

} // namespace troupe
