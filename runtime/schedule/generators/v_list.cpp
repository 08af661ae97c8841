#include "runtime/schedule/generators/v_list.hpp"

#include "model/error.hpp"

namespace troupe {

v_list::v_list(schedule& plan, std::uint32_t rank)
    : v_list(plan, rank, {rank, {0, plan.microbatches}}, {2 * plan.ranks - 1 - rank, {0, plan.microbatches}}) {}

v_list::v_list(schedule& plan, std::uint32_t rank, const stage_work& early, const stage_work& late)
    : plan_(plan), rank_(rank), arms_{progress{early, 0, 0, {}}, progress{late, 0, 0, {}}} {
  plan_.actions[rank].reserve(std::size_t{6} * plan.microbatches);
}

void v_list::write(arm side, operation op, std::uint32_t pass) {
  const stage_work& work = arms_[index(side)].work;
  if (pass < work.range.last - work.range.first)
    plan_.actions[rank_].push_back({work.stage, op, work.range.first + pass});
}

void v_list::forward(arm side) {
  write(side, operation::forward, arms_[index(side)].forward++);
}

void v_list::backward_input(arm side) {
  progress& at = arms_[index(side)];
  at.weights.push_back({turns_++, at.input});
  write(side, operation::backward_input, at.input++);
}

void v_list::backward_weight(arm side) {
  std::deque<pending>& weights = arms_[index(side)].weights;
  if (weights.empty())
    return;
  write(side, operation::backward_weight, weights.front().microbatch);
  weights.pop_front();
}

void v_list::oldest_weight() {
  const std::deque<pending>& early = arms_[index(arm::early)].weights;
  const std::deque<pending>& late = arms_[index(arm::late)].weights;
  const bool early_is_older = late.empty() || (!early.empty() && early.front().turn < late.front().turn);
  backward_weight(early_is_older ? arm::early : arm::late);
}

void v_list::backward(arm side) {
  progress& at = arms_[index(side)];
  TROUPE_CHECK(at.weights.empty(), "B would overtake W");
  write(side, operation::backward, at.input++);
}

void v_list::overlapped(arm forward_side, arm backward_side) {
  plan_.overlapped.resize(plan_.ranks);
  plan_.overlapped[rank_].push_back(static_cast<std::uint32_t>(plan_.actions[rank_].size()));
  forward(forward_side);
  backward(backward_side);
}

} // namespace troupe
