// Gathers the ranks' snapshots of one step and commits them to disk as one checkpoint.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>

namespace troupe {

/// The scheduler has one checkpoint in flight at a time, so all snapshots between two commits are of one step. Repeated
/// ones are ignored.
class snapshot_collector {
public:
  snapshot_collector(const run_spec& spec, std::uint32_t ranks, std::int64_t layers)
      : spec_(spec), ranks_(ranks), layers_(layers) {}

  /// Writes the snapshot; with the last rank's one, commits. Throws checkpoint_error; nothing half-written stays
  /// behind.
  std::optional<checkpoint_committed> add(const rank_snapshot& in);

private:
  const run_spec& spec_;
  std::uint32_t ranks_;
  std::int64_t layers_;
  std::unique_ptr<checkpoint_writer> writer_; ///< of the checkpoint being written
  std::set<std::uint32_t> written_;           ///< ranks whose snapshot is in it
  std::uint64_t committed_steps_ = 0;
};

} // namespace troupe
