#include "actors/network/delivery.hpp"

#include "actors/shell.hpp"
#include "model/error.hpp"

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace troupe {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw protocol_error("a peer sent " + what);
}

bool lives_here(const link_routes& routes, std::uint32_t rank) {
  return rank < routes.here.ranks.size() && routes.here.ranks[rank];
}

void expect_from_peer(const link_routes& routes, std::uint32_t rank) {
  if (!routes.peer_hosts || lives_here(routes, rank))
    refuse("a message of rank " + std::to_string(rank) + ", expected one of its own ranks");
}

const stage_actor& local_rank(const link_routes& routes, std::uint32_t rank) {
  if (!lives_here(routes, rank))
    refuse("a message to rank " + std::to_string(rank) + ", expected one that is hosted here");
  return routes.here.ranks[rank];
}

template <class Handle>
const Handle& local_actor(const Handle& handle, const char* who) {
  if (!handle)
    refuse(std::string("a message to the ") + who + ", expected one to whom is here");
  return handle;
}

/// Hands a message of the run to the actor that it is for. False: it is none of the run's.
template <class Message>
bool hand_on(const link_routes& routes, Message&& message) {
  using type = std::decay_t<Message>;
  if constexpr (requires { message.via; }) {
    expect_from_peer(routes, message.via.source_rank);
    tell(local_rank(routes, message.via.target_rank), std::forward<Message>(message));
  } else if constexpr (requires { message.target_rank; }) {
    if (!routes.peer_schedules)
      refuse("a message of the scheduler, expected it from the coordinator");
    if constexpr (std::is_same_v<type, send_again>)
      if (!lives_here(routes, message.target_rank)) // it is on its way to live here, and has nothing to send yet
        return true;
    tell(local_rank(routes, message.target_rank), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, slice_batch>) {
    expect_from_peer(routes, message.rank);
    tell(local_actor(routes.here.recorder, "recorder"), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, rank_ready> || std::is_same_v<type, credit_message> ||
                       std::is_same_v<type, loss_message> || std::is_same_v<type, step_report> ||
                       std::is_same_v<type, digest_report>) {
    expect_from_peer(routes, message.rank);
    tell(local_actor(routes.here.scheduler, "scheduler"), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, layer_part> || std::is_same_v<type, part_written>) {
    expect_from_peer(routes, message.rank);
    tell(local_actor(routes.here.store, "store"), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, layer_part_taken>) {
    if (!routes.peer_schedules)
      refuse("layer_part_taken, expected it from the coordinator");
    tell(local_actor(routes.here.store, "store"), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, snapshot_part>) {
    if (!routes.peer_hosts)
      refuse("snapshot_part, expected it from a worker of the run");
    tell(local_actor(routes.shelf, "shelf"), std::forward<Message>(message));
  } else if constexpr (std::is_same_v<type, recovery_line_message>) {
    if (!routes.peer_schedules)
      refuse("recovery_line_message, expected it from the coordinator");
    tell(local_actor(routes.shelf, "shelf"), std::forward<Message>(message));
  } else {
    return false;
  }
  return true;
}

} // namespace

std::optional<wire_message> deliver(const link_routes& routes, wire_message&& message) {
  return std::visit(
      [&](auto&& one) -> std::optional<wire_message> {
        if (hand_on(routes, std::forward<decltype(one)>(one)))
          return std::nullopt;
        return wire_message(std::forward<decltype(one)>(one));
      },
      std::move(message));
}

} // namespace troupe
