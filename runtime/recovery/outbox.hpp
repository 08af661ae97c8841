// What a rank has sent and may be asked for again: everything since the recovery line. A receiver that restarts gets it
// once more, and so does everybody when messages were lost.
#pragma once

#include "runtime/stage_output.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace troupe {

/// Tensors are shared with whoever received them, so that keeping costs no copy.
///
/// Bound: the scheduler lets at most one generation of snapshots be under way beyond the recovery line, so that what is
/// kept spans at most two of them and the steps that are open.
class outbox {
public:
  explicit outbox(std::uint32_t ranks) : to_rank_(ranks) {}

  /// Keeps a message to another rank or to the scheduler, which is no copy; but credits are totals, and told anew.
  void keep(const rank_output& sent);
  /// No rank restarts from fewer than so many steps done.
  void trim(std::uint64_t recovery_line);
  /// All that is kept for the rank, in the order in which it was sent, addressed to its incarnation `life`.
  rank_outputs for_rank(std::uint32_t rank, incarnation life) const;

  /// All that is kept for the scheduler.
  rank_outputs for_scheduler() const;

  std::uint64_t recovery_line() const { return recovery_line_; }
  /// Steps done at the boundaries, the earliest and the latest, that the messages kept are for; nothing: none is kept.
  /// What is needed until the run is over does not count.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> boundaries() const;
  /// Of the tensors.
  std::uint64_t peak_bytes() const { return peak_bytes_; }

private:
  struct kept {
    std::uint64_t boundary = 0;
    std::uint64_t bytes = 0;
    rank_output what;
  };
  void put(std::deque<kept>& box, std::uint64_t boundary, std::uint64_t bytes, const rank_output& what);
  void trim(std::deque<kept>& box);

  std::vector<std::deque<kept>> to_rank_;
  std::deque<kept> to_scheduler_;
  std::uint64_t recovery_line_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t peak_bytes_ = 0;
};

} // namespace troupe
