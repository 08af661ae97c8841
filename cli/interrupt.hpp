// Ctrl-C: the first one asks the run to finish its step, the second one ends the program at once.
#pragma once

#include <atomic>

namespace troupe {

/// Watches SIGINT and SIGTERM while it lives; at most one may live at a time.
class interrupt_watch {
public:
  interrupt_watch();
  ~interrupt_watch();
  interrupt_watch(const interrupt_watch&) = delete;
  interrupt_watch& operator=(const interrupt_watch&) = delete;

  /// How many came so far.
  const std::atomic<int>& count() const;
};

} // namespace troupe
