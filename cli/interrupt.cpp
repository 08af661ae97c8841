#include "cli/interrupt.hpp"

#include "cli/exit_code.hpp"

#include <algorithm>
#include <string_view>
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

/// The one file that is read through a mapping is the training data.
extern "C" void on_data_lost(int) {
  constexpr std::string_view line = "troupe: the data cannot be read any more: found their file cut short or its disk "
                                    "failing, expected it to stay as it was when the run began\n";
  static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
  ::_exit(exit_files);
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK; // a write to disk in progress must not fail for it
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

/// Bytes that a handler needs, what the system saves of the processor's state included.
std::size_t handler_stack_size() {
  constexpr long ample = 64L << 10; // of a sanitizer's own handler, too
  return static_cast<std::size_t>(std::max(ample, ::sysconf(_SC_SIGSTKSZ)));
}

} // namespace

// The handler has a stack of its own because the thread's may not be one: oneDNN before version 3.11.2 computes many
// matrix products with the stack pointer in a work space on the heap (its issue 4845), and what the system saves below
// it when a signal comes would overwrite the heap.
interrupt_watch::interrupt_watch() : stack_(handler_stack_size()) {
  interrupts = 0;
  stack_t own{};
  own.ss_sp = stack_.data();
  own.ss_size = stack_.size();
  ::sigaltstack(&own, &former_);
  handle(SIGINT, on_interrupt);
  handle(SIGTERM, on_interrupt);
  handle(SIGHUP, on_interrupt);
  handle(SIGBUS, on_data_lost);
  // A file that grows too large, and a reader that has gone, are then errors of the write, with a message. It stays so,
  // as summary and report come after the run.
  handle(SIGXFSZ, SIG_IGN);
  handle(SIGPIPE, SIG_IGN);
}

interrupt_watch::~interrupt_watch() {
  handle(SIGINT, SIG_DFL);
  handle(SIGTERM, SIG_DFL);
  handle(SIGHUP, SIG_DFL);
  handle(SIGBUS, SIG_DFL);
  ::sigaltstack(&former_, nullptr);
}

const std::atomic<int>& interrupt_watch::count() const { // NOLINT(*-to-static): counts only while a watch lives
  return interrupts;
}

} // namespace troupe
