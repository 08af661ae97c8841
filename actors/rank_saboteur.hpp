// The faults that --chaos has for one life of a rank: kills it or its process, freezes the process, disturbs what it
// sends. Without any, each call is a look at an empty list.
#pragma once

#include "runtime/faults/chaos_queries.hpp"
#include "runtime/faults/disturbed_messages.hpp"
#include "runtime/stage_runner.hpp"

#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

namespace troupe {

/// Ends the rank's actor as any failure does.
class killed_by_chaos : public std::exception {
public:
  const char* what() const noexcept override { return "killed by chaos"; }
};

/// A kill is an exception: everything that can strike throws killed_by_chaos, and run_error when a process cannot be
/// frozen.
class rank_saboteur {
public:
  rank_saboteur() = default;
  rank_saboteur(const std::vector<chaos_event>& events, std::uint32_t rank, incarnation life)
      : strikes_(events, rank, life), messages_(events, rank, life) {}

  /// The runner's run_next(), with what strikes before and after it.
  rank_outputs run_next(stage_runner& runner);
  /// What run_next returned was sent.
  void strike_after_send();
  /// The rank hands out its state after so many steps.
  void strike_during_snapshot(std::uint64_t steps_done);
  disturbed_messages& messages() { return messages_; }

private:
  void strike(std::uint64_t step, std::uint32_t action, chaos_moment moment);

  rank_chaos strikes_;
  disturbed_messages messages_;
  std::optional<list_place> ended_; ///< the action that run_next has ended
};

} // namespace troupe
