#include "runtime/schedule/search/list_timer.hpp"

#include <algorithm>
#include <limits>

namespace troupe {

namespace {

constexpr double not_yet = -1.0;

} // namespace

list_timer::list_timer(const pipeline_model& model) : model_(model), starts_(model.passes(), 0.0) {
  order_.reserve(model.passes());
}

double list_timer::run(const pass_lists& lists) {
  arrival_.assign(model_.passes(), not_yet);
  for (std::uint32_t microbatch = 0; microbatch < model_.microbatches(); ++microbatch)
    arrival_[model_.id(0, operation::forward, microbatch)] = 0.0;
  rank_ends_.assign(model_.ranks(), 0.0);
  next_.assign(model_.ranks(), 0);
  order_.clear();
  for (std::uint32_t rank = 0; rank < model_.ranks(); ++rank)
    awake_.push_back(rank);
  while (!awake_.empty()) {
    const std::uint32_t rank = awake_.back();
    awake_.pop_back();
    run_on(lists, rank);
  }
  return order_.size() == model_.passes() ? *std::ranges::max_element(rank_ends_)
                                          : std::numeric_limits<double>::infinity();
}

void list_timer::run_on(const pass_lists& lists, std::uint32_t rank) {
  const std::vector<pass_id>& list = lists[rank];
  double now = rank_ends_[rank];
  std::size_t at = next_[rank];
  for (; at < list.size() && arrival_[list[at]] != not_yet; ++at) {
    const pass_id pass = list[at];
    starts_[pass] = std::max(now, arrival_[pass]);
    now = starts_[pass] + model_.duration(pass);
    order_.push_back(pass);
    next_[rank] = at + 1; // as `give` may look at this rank, too
    const std::uint32_t stage = model_.stage_of(pass);
    const std::uint32_t microbatch = model_.microbatch_of(pass);
    if (model_.kind_of(pass) == operation::forward) {
      if (stage + 1 < model_.stages())
        give(lists, model_.id(stage + 1, operation::forward, microbatch), now + model_.transfer(stage));
      else
        arrival_[model_.id(stage, operation::backward_input, microbatch)] = now;
    } else if (model_.kind_of(pass) == operation::backward_input) {
      arrival_[model_.id(stage, operation::backward_weight, microbatch)] = now;
      if (stage > 0)
        give(lists, model_.id(stage - 1, operation::backward_input, microbatch), now + model_.transfer(stage - 1));
    }
  }
  rank_ends_[rank] = now;
}

void list_timer::give(const pass_lists& lists, pass_id taker, double arrival) {
  arrival_[taker] = arrival;
  const std::uint32_t rank = model_.rank_of(model_.stage_of(taker));
  if (next_[rank] < lists[rank].size() && lists[rank][next_[rank]] == taker)
    awake_.push_back(rank);
}

std::vector<double> list_timer::latest_starts(const pass_lists& lists, double makespan) const {
  std::vector<double> latest_end(model_.passes(), makespan);
  std::vector<double> latest(model_.passes(), 0.0);
  std::vector<pass_id> before(model_.passes(), model_.passes()); // the pass before it in its list, if any
  for (const std::vector<pass_id>& list : lists)
    for (std::size_t at = 1; at < list.size(); ++at)
      before[list[at]] = list[at - 1];
  const auto hold_back = [&](pass_id pass, double end) { latest_end[pass] = std::min(latest_end[pass], end); };
  for (std::size_t at = order_.size(); at-- > 0;) {
    const pass_id pass = order_[at];
    latest[pass] = latest_end[pass] - model_.duration(pass);
    if (before[pass] != model_.passes())
      hold_back(before[pass], latest[pass]);
    const std::uint32_t stage = model_.stage_of(pass);
    const std::uint32_t microbatch = model_.microbatch_of(pass);
    if (model_.kind_of(pass) == operation::forward && stage > 0)
      hold_back(model_.id(stage - 1, operation::forward, microbatch), latest[pass] - model_.transfer(stage - 1));
    if (model_.kind_of(pass) == operation::backward_input && stage + 1 < model_.stages())
      hold_back(model_.id(stage + 1, operation::backward_input, microbatch), latest[pass] - model_.transfer(stage));
  }
  return latest;
}

} // namespace troupe
