// Where to aim a timer that fires late: as much before the moment as the timer was late in the median so far.
#pragma once

#include <algorithm>

namespace troupe {

/// Times are seconds of one clock. A wake-up is late by what the system's timer, the thread's start and the queue
/// before it take, tens of microseconds each time; aimed earlier by their median, it errs to both sides alike.
class timer_aim {
public:
  /// The moment to ask the timer for, so that the wake-up is at `moment`.
  double aim_at(double moment) {
    aimed_ = moment - usual_lateness_;
    return aimed_;
  }

  /// The wake-up that was asked for last came at `now`.
  void woke(double now) {
    const double lateness = now - aimed_;
    usual_lateness_ += std::clamp(lateness - usual_lateness_, -step, step);
    usual_lateness_ = std::clamp(usual_lateness_, 0.0, most);
  }

private:
  static constexpr double step = 2e-6; ///< of the running median; one wake-up that was very late weighs no more
  static constexpr double most = 1e-3; ///< a machine later than this in the median cannot emulate milliseconds

  double usual_lateness_ = 0.0;
  double aimed_ = 0.0;
};

} // namespace troupe
