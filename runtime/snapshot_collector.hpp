// Gathers the ranks' snapshots of one step and commits them to disk as one checkpoint, whichever way they come: whole,
// layer by layer from another machine, or written by another process to a directory that both see.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/part_rules.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"
#include "runtime/training_state.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Whether the sender has more layers of its rank to send.
enum class layer_mark { more_follow, last };

/// The scheduler has one checkpoint in flight at a time, so all that is added between two commits is of one step. What
/// is repeated, or of a checkpoint that is committed, is ignored. The call that completes the last rank's part commits
/// and says so. All throw checkpoint_error; nothing half-written stays behind.
class snapshot_collector {
public:
  snapshot_collector(const run_spec& spec, const model_family& family, const plan& pipeline);

  /// Begins the checkpoint after so many steps and makes the directory that part_writers of other processes need.
  /// Another one that was begun and not committed is given up.
  void open(std::uint64_t steps_done);

  /// Writes a whole snapshot of a rank of this process. Opens the checkpoint when none is open.
  std::optional<checkpoint_committed> add(const rank_snapshot& in);
  /// Takes down what a rank's part_writer has written; the checkpoint must be open.
  std::optional<checkpoint_committed> add_part(std::uint32_t rank, std::uint64_t steps_done,
                                               const std::vector<manifest_layers>& part);
  /// Writes one layer of a rank, as a file pair of its own, so that no more than one layer is ever held. A rank's
  /// layers come in ascending order. Opens the checkpoint when none is open.
  std::optional<checkpoint_committed> add_layer(std::uint32_t rank, std::uint64_t steps_done,
                                                const layer_snapshot& layer, layer_mark mark);

private:
  bool is_new(std::uint32_t rank, std::uint64_t steps_done) const;
  std::optional<checkpoint_committed> commit_if_whole();

  run_spec spec_;
  std::string versions_;
  part_rules rules_;
  std::unique_ptr<checkpoint_writer> writer_; ///< of the checkpoint being written
  std::vector<std::size_t> written_;          ///< layers of it, by rank
  std::uint64_t committed_steps_ = 0;
};

} // namespace troupe
