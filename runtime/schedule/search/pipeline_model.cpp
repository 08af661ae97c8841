#include "runtime/schedule/search/pipeline_model.hpp"

#include "model/error.hpp"
#include "runtime/schedule/simulate_parts.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace troupe {

pipeline_model::pipeline_model(std::vector<std::uint32_t> rank_of_stage, std::uint32_t microbatches,
                               const simulation_costs& costs, std::uint32_t hold_limit)
    : rank_of_stage_(std::move(rank_of_stage)), microbatches_(microbatches), hold_limit_(hold_limit) {
  stages_of_rank_.resize(*std::ranges::max_element(rank_of_stage_) + std::size_t{1});
  work_.resize(stages_of_rank_.size(), 0.0);
  for (std::uint32_t stage = 0; stage < stages(); ++stage) {
    const std::uint32_t rank = rank_of_stage_[stage];
    stages_of_rank_[rank].push_back(stage);
    const stage_cost& cost = of_stage(costs.stages, stage);
    for (const double time : {cost.forward, cost.backward_input, cost.backward_weight}) {
      durations_.push_back(time);
      work_[rank] += time;
    }
    double transfer = 0.0;
    if (stage + 1 < stages() && rank_of_stage_[stage + 1] != rank) {
      transfer = costs.communication;
      if (costs.bandwidth > 0.0 && !costs.sizes.empty())
        transfer += of_stage(costs.sizes, stage).output / costs.bandwidth;
    }
    transfers_.push_back(transfer);
  }
  for (const auto& owned : stages_of_rank_)
    TROUPE_CHECK(owned.size() <= hold_limit_, "a rank can hold one microbatch of each of its stages");
  find_heads();
}

void pipeline_model::find_heads() {
  double now = 0.0;
  for (std::uint32_t stage = 0; stage < stages(); ++stage) {
    forward_heads_.push_back(now);
    now += duration(stage, operation::forward) + transfers_[stage];
  }
  input_heads_.resize(stages());
  for (std::uint32_t stage = stages(); stage-- > 0;) {
    now += transfers_[stage];
    input_heads_[stage] = now;
    now += duration(stage, operation::backward_input);
  }
}

double pipeline_model::largest_work() const {
  return *std::ranges::max_element(work_);
}

double pipeline_model::mean_duration() const {
  return std::accumulate(durations_.begin(), durations_.end(), 0.0) / static_cast<double>(durations_.size());
}

double pipeline_model::least_makespan() const {
  // One microbatch's whole way, and W of the first stage behind it.
  double least = input_heads_[0] + duration(0, operation::backward_input) + duration(0, operation::backward_weight);
  for (std::uint32_t rank = 0; rank < ranks(); ++rank) {
    const auto& owned = stages_of_rank_[rank];
    const double all = microbatches_ * work_[rank];
    const double first_backward = input_heads_[owned.back()];
    double done_before = 0.0; // forward passes that the rank can have run until then
    double weight_work = 0.0;
    for (const std::uint32_t stage : owned) {
      done_before += std::min(microbatches_ * duration(stage, operation::forward),
                              std::max(0.0, first_backward - forward_heads_[stage]));
      weight_work += microbatches_ * duration(stage, operation::backward_weight);
    }
    // What follows the rank's last I: the I of the stages before, and the first stage's W.
    double tail = 0.0;
    for (std::uint32_t stage = 0; stage < owned.front(); ++stage)
      tail += duration(stage, operation::backward_input) + transfers_[stage];
    if (owned.front() > 0)
      tail += duration(0, operation::backward_weight);
    least = std::max({least, forward_heads_[owned.front()] + all, first_backward + all - done_before,
                      forward_heads_[owned.front()] + all - weight_work + tail});
  }
  return least;
}

pass_lists to_pass_lists(const pipeline_model& model, const schedule& plan) {
  pass_lists lists(plan.ranks);
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : plan.actions[rank]) {
      const bool whole = one.op == operation::backward;
      lists[rank].push_back(model.id(one.stage, whole ? operation::backward_input : one.op, one.microbatch));
      if (whole)
        lists[rank].push_back(model.id(one.stage, operation::backward_weight, one.microbatch));
    }
  return lists;
}

schedule to_schedule(const pipeline_model& model, const pass_lists& lists, const std::string& name) {
  schedule plan;
  plan.name = name;
  plan.ranks = model.ranks();
  plan.microbatches = model.microbatches();
  plan.placements = {model.placement()};
  for (const std::vector<pass_id>& list : lists) {
    std::vector<action>& actions = plan.actions.emplace_back();
    for (const pass_id pass : list)
      actions.push_back({model.stage_of(pass), model.kind_of(pass), model.microbatch_of(pass)});
  }
  return plan;
}

} // namespace troupe
