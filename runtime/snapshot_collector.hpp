// Gathers the ranks' snapshots of one step and commits them to disk as one checkpoint.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/stage_cuts.hpp"
#include "runtime/traffic.hpp"
#include "runtime/training_state.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// The scheduler has one checkpoint in flight at a time, so all snapshots between two commits are of one step. Repeated
/// ones are ignored.
class snapshot_collector {
public:
  snapshot_collector(const run_spec& spec, const plan& pipeline, std::int64_t layers)
      : spec_(spec), state_names_(snapshot_state_names(spec.optimizer, pipeline.order)),
        versions_(versions_rule(pipeline)), ranks_(pipeline.ranks()), layers_(layers) {
    note_cuts(spec_, pipeline.stages);
  }

  /// Writes the snapshot; with the last rank's one, commits. Throws checkpoint_error; nothing half-written stays
  /// behind.
  std::optional<checkpoint_committed> add(const rank_snapshot& in);

private:
  run_spec spec_;
  std::vector<std::string> state_names_;
  std::string versions_;
  std::uint32_t ranks_;
  std::int64_t layers_;
  std::unique_ptr<checkpoint_writer> writer_; ///< of the checkpoint being written
  std::set<std::uint32_t> written_;           ///< ranks whose snapshot is in it
  std::uint64_t committed_steps_ = 0;
};

} // namespace troupe
