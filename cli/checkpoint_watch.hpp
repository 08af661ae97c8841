// What the user is told of a run's checkpoints: which was the last, and which could not be written.
#pragma once

#include "cli/progress.hpp"
#include "runtime/report.hpp"
#include "runtime/traffic.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

namespace troupe {

class checkpoint_watch {
public:
  /// `last_step`: steps done when the run ends by itself. `interrupts`: above 0, it may end earlier. `resumed`: steps
  /// done of the checkpoint that it goes on from.
  checkpoint_watch(progress& shown, std::uint64_t last_step, const std::atomic<int>& interrupts,
                   std::optional<std::uint64_t> resumed)
      : shown_(shown), last_step_(last_step), interrupts_(interrupts), newest_(resumed) {}

  void note(const checkpoint_committed& in);
  /// Says so at once where the run is known to go on, or to end for another reason.
  void note(const checkpoint_failed& in);

  /// The directory of the newest checkpoint that this run has written; empty: none.
  const std::string& generation() const { return generation_; }
  /// After the run: throws checkpoint_error when its very last checkpoint is missing.
  void expect_last(const run_report& report);

private:
  progress& shown_; // NOLINT(*-ref-data-members): outlives the watch
  std::uint64_t last_step_;
  const std::atomic<int>& interrupts_;  // NOLINT(*-ref-data-members): the same
  std::optional<std::uint64_t> newest_; ///< steps done of the newest checkpoint
  std::string generation_;
  std::string failure_; ///< the latest one
  bool told_ = true;    ///< it was said that the run goes on without it
};

} // namespace troupe
