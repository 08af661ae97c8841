// One way to place a model's stages on the ranks, and the best lists that the search has for it.
#pragma once

#include "runtime/schedule/search/improve.hpp"
#include "runtime/schedule/search/search.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

class variant {
public:
  /// Stages as in `rank_of_stage`, which has `chunks` a rank. `costs` has one entry for each stage.
  variant(const search_request& request, std::uint32_t chunks, const std::vector<std::uint32_t>& rank_of_stage,
          const simulation_costs& costs);

  /// Plays all starting rules, as far as the request's effort goes.
  void play_rules_of_start();
  /// Takes up a schedule of the same placement: as it is if it holds no more than the limit, and as keys of a play.
  void take_up(const schedule& plan);
  /// Local search from the best lists so far.
  void improve();

  /// Of the best lists, on ranks that do not share processors and links.
  double makespan() const { return best_.makespan; }
  /// No lists can take less.
  double least_makespan() const { return model_.least_makespan(); }
  const std::vector<std::uint32_t>& placement() const { return model_.placement(); }
  std::uint32_t chunks() const { return chunks_; }
  /// The best lists, named "auto".
  schedule best() const;

private:
  double goal() const;
  void offer(pass_lists lists, double makespan);

  search_effort effort_;
  std::uint32_t chunks_;
  pipeline_model model_;
  timed_pass_lists best_;
};

} // namespace troupe
