// Ctrl-C: the first one asks the run to finish its step, the second one ends the program at once.
#pragma once

#include <atomic>
#include <csignal>
#include <vector>

namespace troupe {

/// Watches SIGINT, SIGTERM and SIGHUP while it lives, and ends the program with a line when the data's file is cut
/// under it (SIGBUS). From the first one on, what a limit on files or a reader that has gone refuses is an error of the
/// write, not the program's end. At most one may live at a time. It is made, and ends, in the program's first thread:
/// the system interrupts that one before any other.
class interrupt_watch {
public:
  interrupt_watch();
  ~interrupt_watch();
  interrupt_watch(const interrupt_watch&) = delete;
  interrupt_watch& operator=(const interrupt_watch&) = delete;

  /// How many came so far.
  const std::atomic<int>& count() const;

private:
  std::vector<char> stack_; ///< of the signals' handler
  stack_t former_{};
};

} // namespace troupe
