// What a caller may add to a run that does not change its result: where to trace and draw to, whom to tell, when to
// stop early.
#pragma once

#include "model/model_spec.hpp"
#include "runtime/checkpoint.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/report.hpp"

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace troupe {

/// One finished training step.
struct step_progress {
  std::uint64_t step = 0;  ///< steps done, from 1; after a resume it goes on from the checkpoint's
  std::uint64_t steps = 0; ///< steps done when this run ends
  double loss = 0.0;       ///< mean over the step's microbatches
  bool emulated = false;   ///< nothing was computed, and the loss is none
  double gradient_norm = 0.0;
  double learning_rate = 0.0;
  double tokens_per_second = 0.0;
  std::optional<double> bubble_fraction; ///< none for the reference
  double seconds = 0.0;                  ///< that this step took
  std::string skipped;                   ///< why the step left the weights as they were; empty: it did not
};

struct plan;

/// The callbacks run on one thread at a time, and never after the run has returned.
struct run_options {
  std::filesystem::path trace = {};    ///< empty: none
  std::filesystem::path timeline = {}; ///< empty: none; otherwise a pipeline, as the reference has nothing to draw
  const run_report* before = nullptr;  ///< what the run has told before it went back to where it goes on now; or null
  run_report* so_far = nullptr;        ///< is told, when a run fails, what it has done; or null
  const checkpoint* resume = nullptr;  ///< where to go on from; null: from the seed
  std::filesystem::path followed = {}; ///< where the run that this one goes on with has its decision log; empty: none
  std::function<void(const step_progress&)> on_step = {};
  std::function<void(const validation_point&)> on_validation = {};
  std::function<void(const rank_recovery&)> on_recovery =
      {};                                                ///< a rank has died, and its successor has caught up or died
  std::function<void(const run_stalled&)> on_stall = {}; ///< what may have got lost is sent again
  std::function<void(const checkpoint_committed&)> on_checkpoint = {};
  std::function<void(const checkpoint_failed&)> on_checkpoint_failed = {}; ///< the run goes on without it
  std::function<void(const std::string&)> on_warning = {};                 ///< what is wrong, while the run goes on
  const std::atomic<int>* interrupts = nullptr; ///< above 0: finish the step, write a checkpoint if asked for, return
  const plan* pipeline = nullptr;               ///< null: what make_plan makes of the spec
  const model_family* family = nullptr;         ///< null: the built-in family that the spec names
  disk_faults* disk = nullptr;                  ///< failures to make up where checkpoints are written; null: none
  disk_faults* log_disk = nullptr;              ///< the same where the decision log is
};

} // namespace troupe
