// What happens in one simulated training: a small run, and the faults that strike it. All of it follows from a seed.
#pragma once

#include "runtime/run_spec.hpp"
#include "tests/support/poisoned_family.hpp"
#include "tests/support/unruly_network.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe::test {

enum class strike_kind : std::uint8_t {
  one_rank,
  some_ranks,
  all_ranks,
  scheduler,
  scheduler_and_rank,
  process,  ///< everybody at once; what the disk had not synced may be gone. Then the run is resumed
  interrupt ///< no death: the user's Ctrl-C
};

/// At what a strike takes aim.
enum class occasion : std::uint8_t {
  start, ///< of the process
  snapshot_asked,
  snapshot_kept,
  validation_opened,
  checkpoint_part,
  checkpoint_over,
  rank_restarted,
  scheduler_restarted,
  told_again, ///< the run counted as stalled
  digests_asked
};

/// Comes `delay` events after the occasion has come `skipped` times and once more.
struct strike {
  strike_kind what = strike_kind::one_rank;
  occasion when = occasion::start;
  std::uint64_t skipped = 0;
  std::uint64_t delay = 0;
};

/// Acts of the disk, from 1, counted since the first step of the process has begun.
struct disk_failure {
  std::uint64_t first = 0;
  std::uint64_t count = 1;
  int code = 0;
};

struct scenario {
  std::uint64_t seed = 0;
  run_spec spec; ///< its checkpoint directory, if any, is relative to the scratch directory
  std::vector<poison_dose> doses;
  unruliness network;
  std::vector<strike> strikes;
  std::vector<disk_failure> disk_failures;
  std::optional<std::uint64_t> crash_at_act; ///< of the disk: the process dies in the middle of it
  bool another_shape = false;                ///< a run that is resumed has another schedule, if one fits
  bool forged_log = false;                   ///< between two processes a number in the decision log changes

  bool saves() const { return !spec.checkpoint.directory.empty(); }
  bool asynchronous() const { return spec.pipeline.schedule.starts_with("pipedream"); }
};

/// What the checkpoint directory of every scenario is called.
inline constexpr const char* disk_name = "disk";
/// And the directory of the snapshots of those that do not keep them in memory.
inline constexpr const char* shelf_name = "shelf";

scenario draw_scenario(std::uint64_t seed);
/// A synchronous pipeline that gives the same result as `spec`; nothing when no other one was found.
std::optional<run_spec> reshaped(const run_spec& spec, std::uint64_t seed);
std::string to_text(strike_kind kind);
/// The fields that are not as in a spec that says nothing, a line each.
std::string spec_text(const run_spec& spec);
/// In some lines, for people.
std::string to_text(const scenario& drawn);

} // namespace troupe::test
