#include "runtime/faults/chaos_queries.hpp"

#include "model/random.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

namespace {

template <class Condition>
std::vector<chaos_event> chosen(const std::vector<chaos_event>& events, const Condition& wanted) {
  std::vector<chaos_event> out;
  std::ranges::copy_if(events, std::back_inserter(out), wanted);
  return out;
}

template <class Condition>
std::optional<chaos_event> take_first(std::vector<chaos_event>& pending, const Condition& wanted) {
  const auto found = std::ranges::find_if(pending, wanted);
  if (found == pending.end())
    return std::nullopt;
  const chaos_event event = *found;
  pending.erase(found);
  return event;
}

message_fate::kind fate_by(chaos_verb verb) {
  switch (verb) {
  case chaos_verb::drop:
    return message_fate::kind::drop;
  case chaos_verb::duplicate:
    return message_fate::kind::duplicate;
  case chaos_verb::delay:
    return message_fate::kind::delay;
  case chaos_verb::reorder:
    return message_fate::kind::reorder;
  default:
    return message_fate::kind::deliver;
  }
}

} // namespace

rank_chaos::rank_chaos(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life)
    : pending_(chosen(events, [&](const chaos_event& one) {
        return strikes_rank(one.verb) && one.rank == rank && one.life == life;
      })) {}

std::optional<chaos_event> rank_chaos::due(std::uint64_t step, std::uint32_t action, chaos_moment moment) {
  return take_first(pending_, [&](const chaos_event& one) {
    return one.step == step && one.moment == moment &&
           (one.action == action || moment == chaos_moment::during_snapshot);
  });
}

scheduler_chaos::scheduler_chaos(const std::vector<chaos_event>& events, incarnation life)
    : pending_(chosen(events, [&](const chaos_event& one) {
        return one.verb == chaos_verb::kill_scheduler && one.life == life;
      })) {}

std::optional<chaos_event> scheduler_chaos::due(std::uint64_t step) {
  return take_first(pending_, [&](const chaos_event& one) { return one.step == step; });
}

message_chaos::message_chaos(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life)
    : faults_(chosen(events, [](const chaos_event& one) { return fate_by(one.verb) != message_fate::kind::deliver; })),
      rank_(rank), life_(life) {}

message_fate message_chaos::fate_of(std::uint64_t number) const {
  for (std::size_t place = 0; place < faults_.size(); ++place) {
    const chaos_event& one = faults_[place];
    // The point faults draw with z = 0.
    const random_stream chance{
        .seed = one.seed, .purpose = random_purpose::chaos, .x = rank_, .y = life_, .z = 1 + place};
    if (chance.uniform(number) < one.share)
      return {fate_by(one.verb), one.seconds};
  }
  return {};
}

disk_chaos::disk_chaos(const std::vector<chaos_event>& events)
    : faults_(chosen(events, [](const chaos_event& one) { return one.verb == chaos_verb::disk; })) {}

int disk_chaos::next_write() {
  const std::uint64_t number = ++writes_;
  const auto due = take_first(faults_, [&](const chaos_event& one) { return one.write == number; });
  return due ? due->error : 0;
}

} // namespace troupe
