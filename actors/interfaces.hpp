// The company: the typed interface of every actor of a run, and what they all start from.
#pragma once

#include "actors/alarm_clock.hpp"
#include "actors/messages.hpp"
#include "runtime/data.hpp"
#include "runtime/faults/chaos_disk.hpp"
#include "runtime/owned_path.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_options.hpp"
#include "runtime/stage_runner.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace troupe {

/// One rank of the pipeline: holds the weights and the stash of its stages and runs its part of the schedule.
using stage_actor =
    caf::typed_actor<caf::reacts_to<introduction>,           // builds the rank, answers the scheduler with rank_ready
                     caf::reacts_to<token_message>,          // input of the first stage
                     caf::reacts_to<target_message>,         // targets of the last stage
                     caf::reacts_to<activation_message>,     // forward, from the stage before
                     caf::reacts_to<gradient_message>,       // backward, from the stage after
                     caf::reacts_to<group_gradient_message>, // from the other copy of a stage, at the end of a step
                     caf::reacts_to<tied_gradient_message>,  // to the owner of a tied parameter
                     caf::reacts_to<tied_value_message>,     // to its replica
                     caf::reacts_to<step_opening>,           // begin a step
                     caf::reacts_to<step_decision>,          // end it: apply the optimizer
                     caf::reacts_to<send_again>,             // messages may be lost: send all again
                     caf::reacts_to<digest_request>, // after the last step: answer the scheduler with digest_report
                     caf::reacts_to<scheduler_successor>, // the scheduler lives again: tell it what it needs
                     caf::reacts_to<successor_message>,   // another rank lives again: send again what it needs
                     caf::reacts_to<run_next_message>, // to itself: one action, so that messages are seen between two
                     caf::reacts_to<reconsider_message>>; // to itself, later: an action may overtake by now
                                                          // actions

/// Opens and closes steps, injects microbatches, decides clip scale and learning rate.
using scheduler_actor = caf::typed_actor<caf::reacts_to<introduction>,
                                         caf::reacts_to<rank_ready>,           // a rank is built
                                         caf::reacts_to<credit_message>,       // a rank has room for more microbatches
                                         caf::reacts_to<loss_message>,         // a microbatch is through the last stage
                                         caf::reacts_to<step_report>,          // a rank has run its list
                                         caf::reacts_to<checkpoint_committed>, // the store is done
                                         caf::reacts_to<checkpoint_failed>,    // the store has given up
                                         caf::reacts_to<digest_report>,        // a rank's hashes at the end
                                         caf::reacts_to<rank_lost>,            // a rank is to be started again
                                         caf::reacts_to<snapshot_kept>,        // a rank's state is safe
                                         caf::reacts_to<snapshot_lost>,        // it is not any more
                                         caf::reacts_to<look_message>,         // to itself, later: is the run stalled?
                                         caf::reacts_to<interrupt_message>>;   // finish the step and end

/// Trace, metrics and progress; nobody waits for it.
using recorder_actor = caf::typed_actor<caf::reacts_to<introduction>,
                                        caf::reacts_to<slice_batch>,          // when a rank's actions of a step ran
                                        caf::reacts_to<step_closed>,          // the scheduler's view of a step
                                        caf::reacts_to<checkpoint_committed>, // for the user
                                        caf::reacts_to<rank_recovered>,       // the same
                                        caf::reacts_to<run_stalled>,          // the same
                                        caf::reacts_to<run_warning>,          // the same
                                        caf::reacts_to<checkpoint_failed>,    // for the user and the report
                                        caf::reacts_to<run_closed>>; // the end: answers the observer with run_finished

/// Writes snapshots to disk on a thread of its own; nobody waits for it but the next checkpoint.
using store_actor =
    caf::typed_actor<caf::reacts_to<introduction>,
                     caf::reacts_to<rank_snapshot>,     // when all ranks' are here, the checkpoint is committed
                     caf::reacts_to<layer_part>,        // the same, of a rank elsewhere, layer by layer
                     caf::reacts_to<part_written>,      // the same, of a rank that wrote it to the shared directory
                     caf::reacts_to<part_lost>,         // a rank died, and its part will not come
                     caf::reacts_to<run_given_up>,      // at the end: the run has failed
                     caf::reacts_to<layer_part_taken>>; // at a worker: go on, or give up

/// Keeps the ranks and the scheduler: watches them, holds their snapshots and its books in memory, and starts them
/// again when they die.
using keeper_actor = caf::typed_actor<caf::reacts_to<introduction>, // begins to watch them
                                      caf::reacts_to<rank_snapshot>,
                                      caf::reacts_to<rank_waits>,       // time to send it elsewhere, if it is to
                                      caf::reacts_to<rank_failed>,      // a rank is about to end
                                      caf::reacts_to<scheduler_failed>, // the same of the scheduler
                                      caf::reacts_to<books_message>,
                                      caf::reacts_to<interrupt_message>,     // for the scheduler
                                      caf::reacts_to<restart_order>,         // the scheduler's answer to rank_lost
                                      caf::reacts_to<run_given_up>,          // or this: save what is kept
                                      caf::reacts_to<recovery_line_message>, // older snapshots are not needed
                                      caf::reacts_to<dismiss_ranks>>;        // the end

/// What every actor of a run starts from; the same on every node. Outlives the actors.
struct run_setup {
  run_spec spec;
  const model_family* family = nullptr;
  plan pipeline;
  const data_source* data = nullptr;
  const run_options* options = nullptr;
  const parameter_source* start = nullptr; ///< of a resumed run
  run_clock clock;
  std::uint32_t processors = 0;                 ///< how many ranks can compute at once; 0: all
  std::unique_ptr<const model_family> emulated; ///< the family, if passes are emulated
  std::vector<chaos_event> chaos;               ///< faults that the run makes itself; see settle_chaos
  std::unique_ptr<chaos_disk> failing_disk;     ///< of them, those of this process's disk

  /// What makes failures up where checkpoints are written; null: nothing.
  disk_faults* disk() const { return options->disk != nullptr ? options->disk : failing_disk.get(); }
  std::optional<std::uint64_t> held_steps; ///< steps done in the state that workers held, which the run begins with
  std::shared_ptr<owned_path> log = std::make_shared<owned_path>(); ///< as far as this process has opened it

  /// Steps done when the run begins.
  std::uint64_t first_step() const {
    const std::uint64_t saved = options->resume == nullptr ? 0 : options->resume->steps_done();
    return held_steps.value_or(saved);
  }
};
using setup_ptr = std::shared_ptr<const run_setup>;

/// Everyone's handles.
struct company {
  std::vector<stage_actor> ranks;
  scheduler_actor scheduler;
  recorder_actor recorder;
  store_actor store;
  keeper_actor keeper;          ///< null where nobody restarts ranks
  alarm_clock* alarm = nullptr; ///< ends ranks' emulated passes, sends late messages; outlives the actors
};

/// An observer is told of run_finished and failure_message. It is the one who ends the run.
using observer = caf::actor;

} // namespace troupe
