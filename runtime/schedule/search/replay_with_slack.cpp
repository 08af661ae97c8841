#include "runtime/schedule/search/improve.hpp"
#include "runtime/schedule/search/list_player.hpp"
#include "runtime/schedule/search/list_timer.hpp"

#include <array>
#include <utility>

namespace troupe {

namespace {

constexpr std::array patiences{0.0, 0.3, 0.6, 0.99};
constexpr std::array disturbances{0.0, 0.3, 1.0, 2.0}; ///< in mean durations of a pass
constexpr std::array densities{1.0, 0.2, 0.02};        ///< part of the passes that are disturbed

} // namespace

void replay_with_slack(const pipeline_model& model, timed_pass_lists& best, const search_bound& bound, dice& random) {
  list_player player(model);
  list_timer timer(model);
  for (std::uint64_t run = 0; run < bound.passes && best.makespan > bound.goal;
       run += std::uint64_t{2} * model.passes()) {
    timer.run(best.lists);
    const std::vector<double> latest = timer.latest_starts(best.lists, best.makespan);
    const double lateness = random.part();
    const double disturbance = 2.0 * random.one_of(disturbances) * model.mean_duration();
    const double density = random.one_of(densities);
    play_rules rules{.keys = timer.starts(), .patience = random.one_of(patiences)};
    for (pass_id pass = 0; pass < model.passes(); ++pass) {
      rules.keys[pass] += lateness * (latest[pass] - rules.keys[pass]);
      if (random.part() < density)
        rules.keys[pass] += disturbance * (random.part() + random.part() - 1.0);
    }
    timed_pass_lists played{.lists = player.play(rules)};
    played.makespan = timer.run(played.lists);
    if (played.makespan <= best.makespan)
      best = std::move(played);
  }
}

} // namespace troupe
