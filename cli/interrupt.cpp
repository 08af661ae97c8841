#include "cli/interrupt.hpp"

#include "cli/exit_code.hpp"

#include <csignal>
#include <unistd.h>

namespace troupe {

namespace {

// A signal handler reaches nothing but statics; lock-free, hence allowed in one.
std::atomic<int> interrupts = 0; // NOLINT(*-avoid-non-const-global-variables): see above
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void on_interrupt(int) {
  if (interrupts.fetch_add(1) > 0)
    ::_exit(exit_interrupted);
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART; // a write to disk in progress must not fail for it
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

} // namespace

interrupt_watch::interrupt_watch() {
  interrupts = 0;
  handle(SIGINT, on_interrupt);
  handle(SIGTERM, on_interrupt);
  handle(SIGHUP, on_interrupt);
  handle(SIGXFSZ, SIG_IGN); // a file that grows too large is then an error of the write, with a message
}

interrupt_watch::~interrupt_watch() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
  handle(SIGHUP, SIG_DFL);
  handle(SIGXFSZ, SIG_DFL);
}

const std::atomic<int>& interrupt_watch::count() const { // NOLINT(*-to-static): counts only while a watch lives
  return interrupts;
}

} // namespace troupe
