// Tells ThreadSanitizer what CAF's mailboxes guarantee: what was written before a message was sent is seen by its
// handler, and the handlers of one actor run one after another. Debian builds CAF without ThreadSanitizer, so the tool
// cannot see this by itself. It stays free to report any race that no mailbox orders. In other builds all of this is
// nothing.
#pragma once

#include <caf/all.hpp>

#if defined(__SANITIZE_THREAD__)
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace troupe {

/// The identity of an actor's mailbox.
template <class Handle>
void* mailbox_of(const Handle& handle) {
  return caf::actor_cast<caf::actor_control_block*>(handle);
}

/// Call before a message is sent to the owner of `mailbox`.
inline void before_send([[maybe_unused]] void* mailbox) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(mailbox);
#endif
}

/// Lives as long as a handler of the owner of `mailbox` runs.
class handler_scope {
public:
  explicit handler_scope(void* mailbox) : mailbox_(mailbox) {
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(mailbox_);
#endif
  }
  handler_scope(const handler_scope&) = delete;
  handler_scope& operator=(const handler_scope&) = delete;
  ~handler_scope() {
    before_send(mailbox_);
  }

private:
  void* mailbox_;
};

} // namespace troupe
