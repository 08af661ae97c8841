#include "runtime/schedule/search/search.hpp"

#include "model/error.hpp"
#include "runtime/schedule/generators/generators.hpp"
#include "runtime/schedule/search/published.hpp"
#include "runtime/schedule/search/variant.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

/// How many of the variants go on to the local search.
constexpr std::size_t improved_variants = 2;

std::vector<std::uint32_t> chunk_numbers(const search_request& request) {
  if (request.chunks > 0)
    return {request.chunks};
  return {1, 2, 4};
}

/// A loop, and down the ranks and up again; with one stage a rank they are the same.
std::vector<std::vector<std::uint32_t>> placements(const search_request& request, std::uint32_t chunks) {
  const schedule_request shape{.ranks = request.ranks, .microbatches = request.microbatches, .chunks = chunks};
  std::vector<std::vector<std::uint32_t>> both{zigzag_placement(shape)};
  if (chunks > 1 && request.ranks > 1)
    both.push_back(loop_placement(shape));
  return both;
}

class searcher {
public:
  explicit searcher(const search_request& request) : request_(request) {}

  search_result run() {
    for (const std::uint32_t chunks : chunk_numbers(request_))
      look_at(chunks);
    if (candidates_.empty() && result_.published.chunks == 0)
      refuse();
    std::ranges::stable_sort(candidates_, {}, &candidate::makespan);
    for (std::size_t i = 0; i < std::min(improved_variants, candidates_.size()); ++i)
      if (candidates_[i].lists.least_makespan() < candidates_.front().makespan())
        candidates_[i].lists.improve();
    for (const candidate& one : candidates_)
      consider(one.lists.best(), one.lists.chunks(), one.cut, result_.found);
    take_published_if_better();
    return std::move(result_);
  }

private:
  struct candidate {
    variant lists;
    stage_cut cut;

    double makespan() const { return lists.makespan(); }
  };

  simulation_costs costs_of(const stage_cut& cut) const {
    simulation_costs costs = request_.costs;
    costs.stages = cut.costs;
    costs.sizes = cut.sizes;
    return costs;
  }

  void look_at(std::uint32_t chunks) {
    const stage_cut cut = request_.cut(request_.ranks * chunks, {});
    if (cut.costs.empty())
      return;
    const std::vector<published_schedule> published =
        published_schedules(request_.ranks, request_.microbatches, chunks);
    for (const published_schedule& one : published)
      if (one.peak <= limit() * chunks)
        consider(one.plan, chunks, cut, result_.published);
    if (3 * std::uint64_t{request_.ranks} * chunks * request_.microbatches > request_.effort.largest)
      return;
    for (const std::vector<std::uint32_t>& placement : placements(request_, chunks)) {
      stage_cut fitting = request_.cut(request_.ranks * chunks, placement);
      const simulation_costs costs = costs_of(fitting);
      start({variant(request_, chunks, placement, costs), std::move(fitting)}, published);
    }
  }

  std::uint64_t limit() const { return request_.memory_limit > 0 ? request_.memory_limit : request_.ranks; }

  void start(candidate fresh, const std::vector<published_schedule>& published) {
    // More chunks, or another placement, must be able to gain something.
    for (const candidate& other : candidates_)
      if (other.makespan() <= fresh.lists.least_makespan())
        return;
    fresh.lists.play_rules_of_start();
    for (const published_schedule& one : published)
      if (one.plan.placements.front() == fresh.lists.placement())
        fresh.lists.take_up(one.plan);
    candidates_.push_back(std::move(fresh));
  }

  /// Keeps `plan` in `best` if its step is shorter.
  void consider(const schedule& plan, std::uint32_t chunks, const stage_cut& cut, simulated_schedule& best) {
    const simulation timing = simulate(plan, costs_of(cut));
    if (best.chunks != 0 && best.step_time <= timing.step_time)
      return;
    best = {plan, chunks, timing.step_time, timing.bubble_fraction};
    if (&best == &result_.found)
      note_cut(cut);
  }

  void take_published_if_better() {
    const simulated_schedule& published = result_.published;
    if (published.chunks == 0 || (result_.found.chunks != 0 && result_.found.step_time < published.step_time))
      return;
    result_.found = published;
    result_.found.plan.name = searched_schedule_name;
    note_cut(request_.cut(request_.ranks * published.chunks, {}));
  }

  void note_cut(const stage_cut& cut) {
    result_.stages = cut.costs;
    result_.sizes = cut.sizes;
    result_.layers = cut.layers;
  }

  [[noreturn]] void refuse() const {
    throw spec_error(fmt::format("schedule 'auto': found {} ranks with {} stages each, {} microbatches and at most {} "
                                 "in memory, expected numbers that the model can be cut into and that some schedule "
                                 "fits",
                                 request_.ranks, fmt::join(chunk_numbers(request_), " or "), request_.microbatches,
                                 limit()));
  }

  const search_request& request_;
  std::vector<candidate> candidates_;
  search_result result_;
};

} // namespace

search_result search_schedule(const search_request& request) {
  if (request.ranks == 0 || request.microbatches == 0)
    throw spec_error(fmt::format("schedule 'auto': found {} ranks and {} microbatches, expected at least 1 of each",
                                 request.ranks, request.microbatches));
  return searcher(request).run();
}

std::string describe(const search_result& result) {
  const auto share = [](const simulated_schedule& one) {
    return fmt::format("{} stage{} a rank, predicted bubble {:.1f} %", one.chunks, one.chunks == 1 ? "" : "s",
                       100.0 * one.bubble_fraction);
  };
  const simulated_schedule& published = result.published;
  const std::string other =
      published.chunks == 0 ? "none fits the memory" : fmt::format("{}, {}", published.plan.name, share(published));
  return fmt::format("auto: {}; best published: {}", share(result.found), other);
}

} // namespace troupe
