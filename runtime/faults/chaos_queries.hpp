// What those who make the faults of a run ask at their moments: does it strike now? Each event is given out once.
#pragma once

#include "runtime/faults/chaos.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

/// Of one incarnation of a rank. With no events a question costs a look at an empty list.
class rank_chaos {
public:
  rank_chaos() = default;
  rank_chaos(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life);

  /// The kill, kill_process or freeze that strikes here. During a snapshot `action` does not matter.
  std::optional<chaos_event> due(std::uint64_t step, std::uint32_t action, chaos_moment moment);

private:
  std::vector<chaos_event> pending_;
};

/// Of one incarnation of the scheduler.
class scheduler_chaos {
public:
  scheduler_chaos() = default;
  scheduler_chaos(const std::vector<chaos_event>& events, incarnation life);

  /// The kill_scheduler that strikes in this step.
  std::optional<chaos_event> due(std::uint64_t step);

private:
  std::vector<chaos_event> pending_;
};

/// What becomes of a message. reorder: the next one to the same rank overtakes it.
struct message_fate {
  enum class kind { deliver, drop, duplicate, delay, reorder };
  kind what = kind::deliver;
  double seconds = 0.0; ///< of delay

  friend bool operator==(const message_fate&, const message_fate&) = default;
};

/// Of the messages that one incarnation of a rank sends to other ranks.
class message_chaos {
public:
  message_chaos() = default;
  message_chaos(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life);

  /// False when every message is delivered.
  bool strikes() const { return !faults_.empty(); }
  /// Of the next message.
  message_fate next() { return fate_of(sent_++); }
  /// Of the message with this number, from 0; follows from the arguments alone.
  message_fate fate_of(std::uint64_t number) const;

private:
  std::vector<chaos_event> faults_; ///< of several, the first one that strikes
  std::uint32_t rank_ = 0;
  incarnation life_ = 1;
  std::uint64_t sent_ = 0;
};

/// Of the writes to checkpoint and snapshot files of one process.
class disk_chaos {
public:
  disk_chaos() = default;
  explicit disk_chaos(const std::vector<chaos_event>& events);

  /// The errno that the next write fails with, before it writes anything; 0: it is done.
  int next_write();

private:
  std::vector<chaos_event> faults_;
  std::uint64_t writes_ = 0;
};

} // namespace troupe
