#include "runtime/action_queue.hpp"

#include "model/error.hpp"

namespace troupe {

namespace {

/// Actions of one stage and one kind keep the list's order.
enum class kind { forward, input, weight };

kind kind_of(operation op) {
  switch (op) {
  case operation::forward:
    return kind::forward;
  case operation::backward_input:
    return kind::input;
  case operation::backward_weight:
  case operation::backward:
    break;
  }
  return kind::weight;
}

bool keeps_order(const action& earlier, const action& later) {
  return earlier.stage == later.stage &&
         (kind_of(earlier.op) == kind_of(later.op) || earlier.microbatch == later.microbatch);
}

/// Counts what `one` begins or ceases to hold.
void count(const action& one, std::uint32_t& held) {
  if (one.op == operation::forward)
    ++held;
  else if (one.op != operation::backward_input)
    --held;
}

} // namespace

void action_queue::begin(std::vector<action> list, dispatch_mode mode) {
  TROUPE_CHECK(empty(), "a step began before the one before it was over");
  list_ = std::move(list);
  mode_ = mode;
  first_ = 0;
  finished_.assign(list_.size(), false);
}

bool action_queue::may_overtake(std::size_t place) const {
  const action& candidate = list_[place];
  const bool holds = candidate.op == operation::forward;
  std::uint32_t stage_held = held_[candidate.stage] + 1;
  std::uint32_t rank_held = held_by_rank_ + 1;
  const auto fits = [&] {
    return !holds || (stage_held <= bounds_.by_stage[candidate.stage] && rank_held <= bounds_.by_rank);
  };
  if (!fits())
    return false;
  for (std::size_t before = first_; before < place; ++before) {
    if (finished_[before])
      continue;
    const action& earlier = list_[before];
    if (keeps_order(earlier, candidate))
      return false;
    count(earlier, rank_held);
    if (earlier.stage == candidate.stage)
      count(earlier, stage_held);
    if (!fits())
      return false;
  }
  return true;
}

void action_queue::finish(const action& done) {
  const auto place = static_cast<std::size_t>(&done - list_.data());
  TROUPE_CHECK(place < list_.size() && !finished_[place], "an action was run that is not left in the list");
  finished_[place] = true;
  if (mode_ == dispatch_mode::reactive) {
    count(done, held_[done.stage]);
    count(done, held_by_rank_);
  }
  while (!empty() && finished_[first_])
    ++first_;
}

} // namespace troupe
