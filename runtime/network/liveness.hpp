// Whether the peer at the other end of a connection lives: told by what arrives, whatever it is. Time comes from the
// caller.
#pragma once

#include <algorithm>

namespace troupe {

/// A peer that was not heard for `timeout` seconds is lost. Any byte counts, so a slow link in the middle of a large
/// tensor is not silent; each side sends a heartbeat where it had nothing else to say, so an idle one is not either: at
/// least eight times in the timeout. Times are seconds of one clock.
class liveness {
public:
  static constexpr double least_timeout = 0.2; ///< seconds

  liveness(double timeout, double now) : timeout_(timeout), heard_(now), said_(now), looked_(now) {}

  /// The peer is known to have the same timeout. Until then it may have the least that can be set.
  void agree() { agreed_ = true; }

  /// After how long look() is to be called again. A peer that stays silent is seen to be lost when its time is up.
  double until_next_look(double now) const {
    return std::clamp(heard_ + timeout_ - now + least_pause, least_pause, interval());
  }
  double timeout() const { return timeout_; }

  double silent_for(double now) const { return now - heard_; }

  void heard(double now) { heard_ = now; }
  void said(double now) { said_ = now; }

  struct verdict {
    bool lost = false;          ///< the peer was silent for too long
    bool heartbeat_due = false; ///< we were
  };
  verdict look(double now) {
    // Who was stopped himself has heard nothing, whoever spoke: the peer gets its time again.
    if (now - looked_ > timeout_ / 2)
      heard_ = std::max(heard_, now - interval());
    looked_ = now;
    return {now - heard_ > timeout_, now - said_ >= interval() / 2};
  }

private:
  static constexpr double looks_per_timeout = 12.0; ///< of which one may be missed by half: see heartbeat_due
  static constexpr double looks_per_least_timeout = 4.0;
  static constexpr double least_pause = 0.001; ///< seconds

  double interval() const {
    const double for_any_peer = std::min(timeout_, least_timeout) / looks_per_least_timeout;
    return agreed_ ? std::max(for_any_peer, timeout_ / looks_per_timeout) : for_any_peer;
  }

  double timeout_;
  double heard_;
  double said_;
  double looked_;
  bool agreed_ = false;
};

} // namespace troupe
