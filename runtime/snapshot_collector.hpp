// Gathers the ranks' snapshots of one step and commits them to disk as one checkpoint, whichever way they come: whole,
// layer by layer from another machine, or written by another process to a directory that both see.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/part_rules.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"
#include "runtime/training_state.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

/// Whether the sender has more layers of its rank to send.
enum class layer_mark { more_follow, last };

/// What became of a checkpoint: nothing to tell yet, its commit, or that it could not be written and is given up.
using checkpoint_news = std::variant<std::monostate, checkpoint_committed, checkpoint_failed>;

/// The scheduler has one checkpoint in flight at a time, so all that is added between two ends is of one step. What is
/// repeated, or of a checkpoint that is committed or given up, is ignored. The call that completes the last rank's part
/// commits and says so. When the disk fails, the checkpoint is given up, which is said as soon as no other process is
/// at work on its part any more, so that nothing half-written stays behind. All throw checkpoint_error when what is
/// added can be of no rank of this run.
class snapshot_collector {
public:
  /// `faults` may be null.
  snapshot_collector(const run_spec& spec, const model_family& family, const plan& pipeline,
                     disk_faults* faults = nullptr);

  /// Begins the checkpoint after so many steps and makes the directory that part_writers of other processes need.
  /// Another one that was begun and is not over is dropped.
  checkpoint_news open(std::uint64_t steps_done);
  /// Whether more parts of that checkpoint are of use: it is neither committed nor given up.
  bool wants(std::uint64_t steps_done) const { return steps_done > over_steps_ && !is_failing(steps_done); }

  /// Whether that checkpoint is committed, or was given up and that has been said.
  bool is_over(std::uint64_t steps_done) const { return steps_done <= over_steps_; }

  /// Writes a whole snapshot of a rank of this process. Opens the checkpoint when none is open.
  checkpoint_news add(const rank_snapshot& in);
  /// A rank's part_writer in another process begins; add_part, give_up or leave follows.
  void admit(std::uint32_t rank, std::uint64_t steps_done);
  /// Takes down what a rank's part_writer has written; the checkpoint must be open.
  checkpoint_news add_part(std::uint32_t rank, std::uint64_t steps_done, const std::vector<manifest_layers>& part);
  /// Writes one layer of a rank, as a file pair of its own, so that no more than one layer is ever held. A rank's
  /// layers come in ascending order. Opens the checkpoint when none is open.
  checkpoint_news add_layer(std::uint32_t rank, std::uint64_t steps_done, const layer_snapshot& layer, layer_mark mark);
  /// A rank's part_writer could not write its part: the checkpoint is given up.
  checkpoint_news give_up(std::uint32_t rank, std::uint64_t steps_done, const std::string& reason);
  /// A rank's part_writer is not at work: the rank asks anew.
  checkpoint_news leave(std::uint32_t rank, std::uint64_t steps_done);
  /// A rank has died: what has not come of its part will not come. Without it the checkpoint is given up.
  checkpoint_news lose(std::uint32_t rank, std::uint64_t steps_done);

private:
  bool is_failing(std::uint64_t steps_done) const { return failing_ && failing_->steps_done == steps_done; }
  void expect_rank(std::uint32_t rank) const;
  bool is_new(std::uint32_t rank, std::uint64_t steps_done) const;
  template <class Act>
  checkpoint_news attempt(std::uint64_t steps_done, const Act& act);
  void begin(std::uint64_t steps_done);
  checkpoint_news commit_if_whole();
  checkpoint_news fail(std::uint64_t steps_done, const std::string& reason);
  checkpoint_news end_if_left_alone();
  void end(std::uint64_t steps_done);

  run_spec spec_;
  std::string versions_;
  part_rules rules_;
  disk_faults* faults_;
  std::unique_ptr<checkpoint_writer> writer_; ///< of the checkpoint being written
  std::vector<std::size_t> written_;          ///< layers of it, by rank
  std::set<std::uint32_t> at_work_;           ///< ranks whose part_writers in other processes write to it
  std::optional<checkpoint_failed> failing_;  ///< it is given up, but not left alone
  std::uint64_t over_steps_ = 0;              ///< of the latest checkpoint that is over
};

} // namespace troupe
