// The shell around every actor of a run: an exception in a handler ends the actor and reaches the observer with its
// text and kind.
#pragma once

#include "actors/messages.hpp"

#include <exception>
#include <new>
#include <string>

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

/// Installs the shell. Nothing that a handler throws is lost, and none ends as a hang.
template <class Self>
void guard(Self* self, const caf::actor& watcher, const std::string& who) {
  self->set_exception_handler([watcher, who](std::exception_ptr& thrown) -> caf::error {
    caf::anon_send(watcher, describe_failure(thrown, who));
    return caf::exit_reason::unhandled_exception;
  });
}

} // namespace troupe
