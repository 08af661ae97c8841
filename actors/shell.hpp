// The shell around every actor of a run: an exception in a handler ends the actor and reaches the observer with its
// text and kind.
#pragma once

#include "actors/mailbox_order.hpp"
#include "actors/messages.hpp"

#include <exception>
#include <new>
#include <string>
#include <utility>

namespace troupe {

/// The failure that an exception stands for. `who` names the actor, as in "rank 2".
inline failure_message describe_failure(const std::exception_ptr& thrown, const std::string& who) {
  try {
    std::rethrow_exception(thrown);
  } catch (const error& e) {
    return {e.kind(), e.what()};
  } catch (const std::bad_alloc&) {
    return {error_kind::run, who + " ran out of memory"};
  } catch (const std::exception& e) {
    return {error_kind::run, who + " failed: " + e.what()};
  } catch (...) {
    return {error_kind::run, who + " failed with an exception that says nothing"};
  }
}

/// Puts a message into the mailbox of `target`, which must accept it. As CAF's send, but for the point at which the
/// message is complete.
template <class Handle, class Message>
void enqueue(const Handle& target, Message&& message, caf::strong_actor_ptr sender, caf::execution_unit* host) {
  static_assert(
      caf::response_type_unbox<caf::signatures_of_t<Handle>, caf::detail::type_list<std::decay_t<Message>>>::valid,
      "the receiver does not accept this message");
  auto element =
      caf::make_mailbox_element(std::move(sender), caf::make_message_id(), {}, std::forward<Message>(message));
  const auto receiver = caf::actor_cast<caf::strong_actor_ptr>(target);
  before_send(receiver.get());
  receiver->enqueue(std::move(element), host);
}

/// Sends from one actor of the company to another.
template <class Self, class Handle, class Message>
void post(Self* self, const Handle& target, Message&& message) {
  enqueue(target, std::forward<Message>(message), self->ctrl(), self->context());
}

/// Sends from outside the company, or to the observer, who is outside.
template <class Handle, class Message>
void tell(const Handle& target, Message&& message) {
  enqueue(target, std::forward<Message>(message), nullptr, nullptr);
}

/// A handler of `Message` that does `act`.
template <class Message, class Self, class Function>
auto on(Self* self, Function act) {
  return [self, act](const Message& in) {
    const handler_scope scope(self->ctrl());
    act(in);
  };
}

/// Installs the shell: what a handler throws ends the actor and is told by `tell_of`. Nothing is lost, and none ends as
/// a hang.
template <class Self, class Function>
void guard_with(Self* self, Function tell_of) {
  self->set_exception_handler([tell_of](std::exception_ptr& thrown) -> caf::error {
    tell_of(thrown);
    return caf::exit_reason::unhandled_exception;
  });
}

/// The same, told to `watcher` as a failure of `who`.
template <class Self>
void guard(Self* self, const caf::actor& watcher, const std::string& who) {
  guard_with(self, [watcher, who](const std::exception_ptr& thrown) { tell(watcher, describe_failure(thrown, who)); });
}

} // namespace troupe
