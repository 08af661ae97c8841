// A thread that calls back at stated moments; what ranks with emulated passes and delayed messages wait on. CAF's own
// clock is woken for each message it is to send, which takes the sender longer than all else that a rank does between
// two passes.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace troupe {

class alarm_clock {
public:
  using moment = std::chrono::steady_clock::time_point;

  alarm_clock() = default;
  alarm_clock(const alarm_clock&) = delete;
  alarm_clock& operator=(const alarm_clock&) = delete;
  /// What has not rung yet never will.
  ~alarm_clock();

  /// Calls `ring` at `when`, or soon after, on the clock's thread, which the first call starts. `ring` must not throw.
  /// A rank asks for at most two alarms at a time, one for each purpose, and for one for each message that chaos
  /// delays, so their number is bounded.
  void ring_at(moment when, std::function<void()> ring);

private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<moment, std::function<void()>> alarms_;
  bool ended_ = false;
  std::thread thread_;
};

} // namespace troupe
