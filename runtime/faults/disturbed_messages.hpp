// What one life of a rank sends to other ranks, as --chaos has it: some messages are lost, sent twice, late or
// overtaken.
#pragma once

#include "runtime/faults/chaos_queries.hpp"
#include "runtime/stage_output.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace troupe {

/// A message to another rank that is to be sent after a time.
struct late_message {
  double seconds = 0.0;
  rank_output what;
};

class disturbed_messages {
public:
  disturbed_messages() = default;
  disturbed_messages(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life)
      : fates_(events, rank, life) {}

  /// Makes of `outputs` what is to be sent now, in this order. Returns what is to be sent later.
  std::vector<late_message> disturb(rank_outputs& outputs);
  /// What waits to be overtaken, and is to be sent now since nothing will overtake it: the rank has nothing to do.
  rank_outputs release();

private:
  /// The message, and one that it overtakes.
  void deliver(std::uint32_t receiver, const rank_output& message, rank_outputs& now);

  message_chaos fates_;
  std::map<std::uint32_t, rank_output> held_; ///< by receiver: the next message to it goes first
};

} // namespace troupe
