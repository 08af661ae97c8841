// The part of step_coordinator that feeds the ranks: tokens and targets, microbatch after microbatch, on credit.
#include "runtime/step_coordinator.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace troupe {

/// A rank has the first stage of at most one copy, and the last stage of at most one.
bool step_coordinator::grant(std::uint32_t rank, const credit_totals& credit) {
  bool grew = false;
  const auto raise = [&](std::vector<feed>& feeds, std::uint64_t total) {
    for (feed& one : feeds)
      if (one.rank == rank && one.granted < total) {
        one.granted = total;
        grew = true;
      }
  };
  raise(tokens_, credit.tokens);
  raise(targets_, credit.targets);
  return grew;
}

/// The first that may need a message from after so many steps.
step_id step_coordinator::first_since(std::uint64_t steps_done) const {
  return steps_done == 0 ? step_id{} : step_id{steps_done - 1, pass_mode::evaluate};
}

void step_coordinator::rewind(std::uint32_t rank) {
  for (auto* feeds : {&tokens_, &targets_})
    for (feed& one : *feeds)
      if (one.rank == rank) {
        one.first_step = books_.births[rank];
        one.granted = 0;
        feed_again(one);
      }
}

/// What was sent since the recovery line is sent once more; credit that was used for it counts for it again.
void step_coordinator::feed_again(feed& one) const {
  one.at = first_since(books_.recovery_line);
  one.next = first_microbatch(one.at, one.copy);
}

/// In training each copy takes its group of the microbatches; a validation runs through copy 0 alone.
std::uint32_t step_coordinator::first_microbatch(const step_id& at, std::uint32_t copy) const {
  if (at.mode == pass_mode::train)
    return copy * setup_.pipeline->order.group_size();
  return copy == 0 ? 0 : microbatches_of(at.mode);
}

std::uint32_t step_coordinator::end_microbatch(const step_id& at, std::uint32_t copy) const {
  return at.mode == pass_mode::train ? first_microbatch(at, copy + 1) : microbatches_of(at.mode);
}

/// The first step from `from` on that has begun, but for validations that are over; null: none.
const begun_step* step_coordinator::next_begun(const step_id& from) const {
  const auto found = std::ranges::find_if(books_.history, [&](const begun_step& one) {
    return one.at >= from && !(one.closed && one.at.mode == pass_mode::evaluate);
  });
  return found == books_.history.end() ? nullptr : &*found;
}

void step_coordinator::inject(coordinator_outputs& out) {
  for (std::size_t copy = 0; copy < tokens_.size(); ++copy) {
    inject<token_message>(tokens_[copy], out);
    inject<target_message>(targets_[copy], out);
  }
}

/// Tokens and targets are each sent on their own credit. In a validation nothing comes back to give credit by, so the
/// losses that are outstanding bound both.
bool step_coordinator::may_send(const feed& to) {
  if (!ready_[to.rank])
    return false;
  if (to.at.mode == pass_mode::train) {
    const std::uint32_t group = setup_.pipeline->order.group_size();
    return (to.at.step - to.first_step) * group + to.next - first_microbatch(to.at, to.copy) < to.granted;
  }
  const open_step* const step = find_open(to.at);
  return step != nullptr && to.next < step->losses_seen + evaluation_window(*setup_.pipeline);
}

template <class Message>
void step_coordinator::inject(feed& to, coordinator_outputs& out) {
  for (const begun_step* step = next_begun(to.at); step != nullptr;
       step = next_begun(step->at.mode == pass_mode::train ? step_id{step->at.step, pass_mode::evaluate}
                                                           : step_id{step->at.step + 1, pass_mode::train})) {
    if (step->at != to.at) {
      to.at = step->at;
      to.next = first_microbatch(to.at, to.copy);
    }
    for (; to.next < end_microbatch(to.at, to.copy); ++to.next) {
      if (!may_send(to))
        return;
      const microbatch_data data = setup_.data->sample(to.at, to.next);
      Message message;
      message.at = to.at;
      message.microbatch = to.next;
      if constexpr (std::is_same_v<Message, token_message>)
        message.tokens = data.tokens;
      else
        message.targets = data.targets;
      to_rank(to.rank, std::move(message), out);
    }
  }
}

} // namespace troupe
