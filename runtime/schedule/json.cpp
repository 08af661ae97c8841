#include "runtime/schedule/json.hpp"

#include <nlohmann/json.hpp>

namespace troupe {

namespace {

using json = nlohmann::ordered_json;

json document_of(const timed_schedule& shown) {
  const auto& [plan, facts, timing, steady] = shown;
  json document;
  document["name"] = plan.name;
  document["microbatches"] = plan.microbatches;
  document["rank_of_stage"] = plan.placements.front();
  if (plan.copies() > 1)
    document["rank_of_stage_of_second_copy"] = plan.placements.back();
  document["canonical"] = facts.canonical;
  document["peak_by_stage"] = facts.peak_by_stage;
  document["makespan"] = timing.makespan;
  document["bubble_fraction"] = timing.bubble_fraction;
  document["step_time"] = timing.step_time;
  if (steady)
    document["steady_step"] = {{"seconds", steady->seconds}, {"bubble_fraction", steady->bubble_fraction}};
  json& ranks = document["ranks"] = json::array();
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
    json actions = json::array();
    for (const timed_action& one : timing.ranks[rank])
      actions.push_back({{"action", to_string(one.what)}, {"start", one.start}, {"end", one.end}});
    ranks.push_back({{"rank", rank},
                     {"busy", timing.busy[rank]},
                     {"span", timing.span[rank]},
                     {"peak_stash", facts.peak_by_rank[rank]},
                     {"peak_activations", facts.activations_by_rank[rank]},
                     {"peak_size", timing.peak_size[rank]},
                     {"actions", std::move(actions)}});
  }
  return document;
}

/// A file name may hold any bytes; those that are not UTF-8 are replaced.
std::string to_text(const json& document) {
  return document.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

} // namespace

std::string to_json(const timed_schedule& shown) {
  return to_text(document_of(shown));
}

std::string to_json(std::span<const timed_schedule> compared) {
  json document;
  json& schedules = document["schedules"] = json::array();
  for (const timed_schedule& one : compared)
    schedules.push_back(document_of(one));
  return to_text(document);
}

} // namespace troupe
