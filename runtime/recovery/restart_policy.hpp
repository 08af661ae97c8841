// How often a rank, or the scheduler, may be restarted: at most so many times within a sliding window, as the restart
// intensity of Erlang's supervisors. A rank that dies again and again is not helped by one more restart.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace troupe {

/// Remembers at most max_restarts moments for each rank. Time is passed in, in seconds of any clock that does not go
/// back.
class restart_policy {
public:
  restart_policy(std::uint32_t ranks, std::uint32_t max_restarts, double window_seconds);
  /// Of the scheduler, which stands in the place of rank 0.
  static restart_policy of_scheduler(std::uint32_t max_restarts, double window_seconds);

  /// The rank died at `now`: whether it is to be restarted, which then counts. A restart just as long ago as the window
  /// still counts; one before does not.
  bool allows(std::uint32_t rank, double now_seconds);

  /// Why the run is given up, after allows() has said no: "rank 2 died 6 times within 60 s, expected at most 5
  /// (faults.max_restarts); last cause: ...".
  std::string refusal(std::uint32_t rank, const std::string& cause) const;

private:
  std::string name_;                         ///< of the only one; empty: they are ranks
  std::vector<std::deque<double>> restarts_; ///< by rank, ascending
  std::uint32_t max_restarts_;
  double window_seconds_;
};

} // namespace troupe
