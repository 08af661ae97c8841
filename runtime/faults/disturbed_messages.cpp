#include "runtime/faults/disturbed_messages.hpp"

#include <optional>
#include <utility>
#include <variant>

namespace troupe {

namespace {

/// Nothing: it is not for a rank.
std::optional<std::uint32_t> receiver_of(const rank_output& output) {
  return std::visit(
      [](const auto& message) -> std::optional<std::uint32_t> {
        if constexpr (requires { message.via; })
          return message.via.target_rank;
        else
          return std::nullopt;
      },
      output);
}

} // namespace

std::vector<late_message> disturbed_messages::disturb(rank_outputs& outputs) {
  std::vector<late_message> late;
  if (!fates_.strikes())
    return late;
  rank_outputs now;
  for (rank_output& one : std::exchange(outputs, {})) {
    const std::optional<std::uint32_t> receiver = receiver_of(one);
    const message_fate fate = receiver ? fates_.next() : message_fate{};
    if (!receiver)
      now.push_back(std::move(one));
    else if (fate.what == message_fate::kind::delay)
      late.push_back({fate.seconds, std::move(one)});
    else if (fate.what == message_fate::kind::reorder && !held_.contains(*receiver))
      held_.emplace(*receiver, std::move(one));
    else if (fate.what != message_fate::kind::drop) {
      if (fate.what == message_fate::kind::duplicate)
        now.push_back(one);
      deliver(*receiver, one, now);
    }
  }
  outputs = std::move(now);
  return late;
}

void disturbed_messages::deliver(std::uint32_t receiver, const rank_output& message, rank_outputs& now) {
  now.push_back(message);
  if (auto overtaken = held_.extract(receiver))
    now.push_back(std::move(overtaken.mapped()));
}

rank_outputs disturbed_messages::release() {
  rank_outputs now;
  for (auto& [receiver, message] : std::exchange(held_, {}))
    now.push_back(std::move(message));
  return now;
}

} // namespace troupe
