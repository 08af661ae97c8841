#include "runtime/schedule/search/variant.hpp"

#include "runtime/schedule/check.hpp"
#include "runtime/schedule/search/list_player.hpp"
#include "runtime/schedule/search/list_timer.hpp"
#include "runtime/schedule/search/starting_rules.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace troupe {

namespace {

constexpr std::uint64_t seed = 1;
/// Makespans that close to the least possible one are it.
constexpr double rounding = 1e-9;
constexpr std::array patiences{0.0, 0.5, 0.99};

std::uint32_t hold_limit(const search_request& request, std::uint32_t chunks) {
  const std::uint64_t limit = request.memory_limit > 0 ? request.memory_limit : request.ranks;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(limit * chunks, std::numeric_limits<std::int32_t>::max()));
}

} // namespace

variant::variant(const search_request& request, std::uint32_t chunks, const std::vector<std::uint32_t>& rank_of_stage,
                 const simulation_costs& costs)
    : effort_(request.effort), chunks_(chunks),
      model_(rank_of_stage, request.microbatches, costs, hold_limit(request, chunks)),
      best_{.makespan = std::numeric_limits<double>::infinity()} {}

double variant::goal() const {
  return model_.least_makespan() * (1.0 + rounding);
}

void variant::offer(pass_lists lists, double makespan) {
  if (makespan < best_.makespan)
    best_ = {std::move(lists), makespan};
}

void variant::play_rules_of_start() {
  list_player player(model_);
  list_timer timer(model_);
  std::uint64_t run = 0;
  for (const starting_rule& rule : starting_rules()) {
    pass_lists lists = player.play(to_play_rules(rule, model_));
    const double makespan = timer.run(lists);
    offer(std::move(lists), makespan);
    run += model_.passes();
    if (run >= effort_.plays || best_.makespan <= goal())
      return;
  }
}

void variant::take_up(const schedule& plan) {
  list_timer timer(model_);
  pass_lists lists = to_pass_lists(model_, plan);
  const double makespan = timer.run(lists);
  play_rules rules{.keys = timer.starts()};
  const schedule_facts facts = check_schedule(plan);
  if (*std::ranges::max_element(facts.peak_by_rank) <= model_.hold_limit())
    offer(std::move(lists), makespan);
  list_player player(model_);
  for (const double patience : patiences) {
    rules.patience = patience;
    pass_lists played = player.play(rules);
    const double time = timer.run(played);
    offer(std::move(played), time);
  }
}

void variant::improve() {
  dice random(seed);
  replay_with_slack(model_, best_, {effort_.replays, goal()}, random);
  move_passes(model_, best_, {effort_.moves, goal()}, random);
}

schedule variant::best() const {
  return to_schedule(model_, best_.lists, searched_schedule_name);
}

} // namespace troupe
