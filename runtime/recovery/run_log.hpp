// What a run does with its decision log: writes down each step before anybody acts on it, and when it goes on from a
// checkpoint, checks the steps that it does once more against what the log says of them.
#pragma once

#include "runtime/checkpoint.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/owned_path.hpp"
#include "runtime/recovery/decision_log.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// Whether what is in the log counts: it does for a run that was resumed from the log's directory, and for a new
/// scheduler.
enum class log_start { anew, go_on };

class run_log {
public:
  /// Opens the log in the directory of the run's checkpoints, and takes it over from whoever had it. `warnings` gets a
  /// line for a last record that a crash has damaged. Throws checkpoint_error when the log is of another run, or
  /// damaged otherwise, or when it was `ours` before and another process has it now; so do the other two. `faults` may
  /// be null.
  run_log(const run_spec& spec, const std::string& versions, log_start start, std::uint64_t first_step,
          std::shared_ptr<owned_path> ours, std::vector<std::string>& warnings, disk_faults* faults = nullptr);

  /// Returns once the disk has it. What the disk refuses leaves the run going and comes back as a warning, the first
  /// time; else empty. Throws checkpoint_error when the log knows this step and has something else.
  std::string note(const step_closed& in);
  /// Older checkpoints may have been removed: what the log has from before the oldest one is dropped. As of note.
  std::string note_checkpoint();

private:
  void take();
  void expect_same(const logged_decision& found, const logged_decision& expected) const;
  template <class Act>
  std::string attempt(const Act& act);

  std::filesystem::path directory_;
  std::shared_ptr<owned_path> ours_;
  decision_log log_;
  std::map<step_id, logged_decision> known_; ///< of the steps that this run has not done yet
  std::optional<step_id> newest_;            ///< in the log at its opening
  std::uint64_t oldest_ = 0;                 ///< steps done in the oldest checkpoint
  bool told_ = false;                        ///< that the disk refuses
};

/// Throws checkpoint_error when another process goes on with the run whose log this was.
void expect_own_log(const std::filesystem::path& log, const owned_path& ours);

/// Of the log in the directory, where it is all that a run has left. Throws checkpoint_error when there is none that
/// can be read.
run_spec spec_in_log(const std::filesystem::path& directory);

/// Steps that the log in the directory knows to be closed; nothing when there is no log, or none that can be read.
std::optional<std::uint64_t> steps_decided(const std::filesystem::path& directory);

/// How a run starts its log that goes on from the checkpoint `resumed`, which may be null, and from what is in the
/// directory `followed`, which may be empty.
log_start log_start_of(const run_spec& spec, const checkpoint* resumed, const std::filesystem::path& followed);

} // namespace troupe
