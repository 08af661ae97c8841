// Small acts that the worker and the coordinator share.
#pragma once

#include "actors/network/link.hpp"
#include "actors/shell.hpp"

#include <string>
#include <utility>

namespace troupe {

/// Puts a message into a link's mailbox. Links are handled as plain actors; what they accept is in link.cpp.
template <class Message>
void tell_link(const caf::actor& link, Message&& message) {
  auto element = caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, std::forward<Message>(message));
  const auto receiver = caf::actor_cast<caf::strong_actor_ptr>(link);
  before_send(receiver.get());
  receiver->enqueue(std::move(element), nullptr);
}

/// Says something to the peer at the other end.
inline void say(const caf::actor& link, wire_message what) {
  tell_link(link, tell_peer{std::move(what)});
}

/// Makes a link of a connected socket.
caf::actor spawn_link(caf::actor_system& system, int socket, const link_setup& setup);

/// Eight digits of a run's id, for people.
std::string short_name(const run_id& run);

wire_precision precision_of(const run_spec& spec);

} // namespace troupe
