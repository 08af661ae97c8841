#include "runtime/schedule/search/list_player.hpp"

#include "model/error.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace troupe {

namespace {

constexpr double unknown = std::numeric_limits<double>::infinity();
constexpr pass_id none = std::numeric_limits<pass_id>::max();

/// The pass with the smallest key that could start, and the one with the smallest key that is on its way.
struct choice {
  pass_id ready = none;
  double ready_key = unknown;
  double awaited_key = unknown;
  double awaited_arrival = unknown;

  /// `pass` can start at `arrival`; it is `now`.
  void offer(pass_id pass, double key, double arrival, double now) {
    if (arrival <= now && key < ready_key) {
      ready = pass;
      ready_key = key;
    }
    if (arrival > now && arrival < unknown && key < awaited_key) {
      awaited_key = key;
      awaited_arrival = arrival;
    }
  }
};

} // namespace

list_player::list_player(const pipeline_model& model) : model_(model), room_behind_(model.stages()) {
  for (std::uint32_t rank = 0; rank < model.ranks(); ++rank) {
    const auto& owned = model.stages_of(rank);
    for (std::size_t place = 0; place < owned.size(); ++place)
      room_behind_[owned[place]] = static_cast<std::uint32_t>(owned.size() - 1 - place);
  }
}

pass_lists list_player::play(const play_rules& rules) {
  reset();
  while (!events_.empty()) {
    const event now = events_.top();
    events_.pop();
    if (busy_until_[now.rank] <= now.time)
      decide(now.rank, now.time, rules);
  }
  for (std::uint32_t rank = 0; rank < model_.ranks(); ++rank)
    TROUPE_CHECK(lists_[rank].size() == model_.stages_of(rank).size() * pipeline_model::kinds * model_.microbatches(),
                 "a play that keeps room for the oldest microbatch gets to its end");
  return std::move(lists_);
}

void list_player::reset() {
  progress_.assign(model_.stages(), {});
  arrival_.assign(model_.passes(), unknown);
  for (std::uint32_t microbatch = 0; microbatch < model_.microbatches(); ++microbatch)
    arrival_[model_.id(0, operation::forward, microbatch)] = 0.0;
  busy_until_.assign(model_.ranks(), 0.0);
  held_.assign(model_.ranks(), 0);
  lists_.assign(model_.ranks(), {});
  events_.push({0.0, model_.rank_of(0)});
}

void list_player::decide(std::uint32_t rank, double now, const play_rules& rules) {
  choice best;
  const auto offer = [&](pass_id pass, double arrival) { best.offer(pass, rules.keys[pass], arrival, now); };
  for (const std::uint32_t stage : model_.stages_of(rank)) {
    const stage_progress& at = progress_[stage];
    const bool has_room = held_[rank] + 1 + room_behind_[stage] <= model_.hold_limit();
    if (at.forwards < model_.microbatches() && has_room) {
      const pass_id pass = model_.id(stage, operation::forward, at.forwards);
      offer(pass, arrival_[pass]);
    }
    if (at.inputs < at.forwards) {
      const pass_id pass = model_.id(stage, operation::backward_input, at.inputs);
      offer(pass, arrival_[pass]);
    }
    if (at.weights < at.inputs)
      offer(model_.id(stage, operation::backward_weight, at.weights), now);
  }
  if (best.ready == none)
    return;
  const bool waits =
      best.awaited_key < best.ready_key && best.awaited_arrival < now + rules.patience * model_.duration(best.ready);
  if (!waits)
    start(rank, best.ready, now);
}

void list_player::start(std::uint32_t rank, pass_id pass, double now) {
  const std::uint32_t stage = model_.stage_of(pass);
  const std::uint32_t microbatch = model_.microbatch_of(pass);
  const double end = now + model_.duration(pass);
  busy_until_[rank] = end;
  lists_[rank].push_back(pass);
  events_.push({end, rank});
  switch (model_.kind_of(pass)) {
  case operation::forward:
    ++progress_[stage].forwards;
    ++held_[rank];
    if (stage + 1 < model_.stages())
      deliver(model_.id(stage + 1, operation::forward, microbatch), end + model_.transfer(stage));
    else
      arrival_[model_.id(stage, operation::backward_input, microbatch)] = end;
    break;
  case operation::backward_input:
    ++progress_[stage].inputs;
    if (stage > 0)
      deliver(model_.id(stage - 1, operation::backward_input, microbatch), end + model_.transfer(stage - 1));
    break;
  default:
    ++progress_[stage].weights;
    --held_[rank];
  }
}

void list_player::deliver(pass_id taker, double arrival) {
  arrival_[taker] = arrival;
  const std::uint32_t rank = model_.rank_of(model_.stage_of(taker));
  if (busy_until_[rank] <= arrival) // else it decides when it is free
    events_.push({arrival, rank});
}

} // namespace troupe
