// What ranks and the scheduler send each other, as plain data. actors/ gives these types to CAF; nothing here knows
// CAF. One file, though long: the list of all that a run says, to be read from top to bottom.
#pragma once

#include "model/error.hpp"
#include "model/layer.hpp"
#include "model/tensor.hpp"
#include "runtime/schedule/action.hpp"
#include "runtime/schedule/asynchronous.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// A rank's life: 1 for the first actor that plays it, one more for each restart.
using incarnation = std::uint32_t;

/// Who sends to which life of whom. A receiver drops what is not for its own incarnation or comes from a former one of
/// the sender.
struct route {
  std::uint32_t source_rank = 0;
  std::uint32_t target_rank = 0;
  incarnation source_incarnation = 1;
  incarnation target_incarnation = 1;
};

/// A step of training, or the validation that follows it. Ordered as they run.
struct step_id {
  std::uint64_t step = 0;
  pass_mode mode = pass_mode::train;

  friend auto operator<=>(const step_id&, const step_id&) = default;
};

/// Steps done when a pass of `at` begins: how old a state of a rank may be that still needs its messages.
inline std::uint64_t boundary_of(const step_id& at) {
  return at.mode == pass_mode::train ? at.step : at.step + 1;
}

using token_block = std::shared_ptr<const std::vector<std::int32_t>>;

/// Scheduler to the rank of the first stage: a microbatch's input tokens, [B*T].
struct token_message {
  incarnation target_incarnation = 1;
  step_id at;
  std::uint32_t microbatch = 0;
  token_block tokens;
  std::uint32_t target_rank = 0;
};

/// Scheduler to the rank of the last stage: a microbatch's targets.
struct target_message {
  incarnation target_incarnation = 1;
  step_id at;
  std::uint32_t microbatch = 0;
  token_block targets;
  std::uint32_t target_rank = 0;
};

/// Rank to rank: the activations that `stage` receives from the stage before.
struct activation_message {
  route via;
  step_id at;
  std::uint32_t stage = 0;
  std::uint32_t microbatch = 0;
  tensor values;
};

/// Rank to rank: the gradient of `stage`'s output, from the stage after.
struct gradient_message {
  route via;
  step_id at;
  std::uint32_t stage = 0;
  std::uint32_t microbatch = 0;
  tensor values;
  bool poisoned = false; ///< the microbatch's loss is not a finite number; see poison_watch
};

/// Between the two holders of a stage of which there are two copies: the gradients of all its parameters, summed over
/// the sender's group of microbatches.
struct group_gradient_message {
  route via;
  step_id at;
  std::uint32_t stage = 0;
  std::vector<tensor> values; ///< in the order of stage_model::parameters
};

/// Replica to owner: the step's gradient of a tied parameter.
struct tied_gradient_message {
  route via;
  step_id at;
  tensor values;
};

/// Owner to replica: the tied parameter's value after the step.
struct tied_value_message {
  route via;
  step_id at;
  tensor values;
};

/// Scheduler to rank: begin this step once the one before is over.
struct step_opening {
  incarnation target_incarnation = 1;
  step_id at;
  step_end end = step_end::flush; ///< carry_on: the next step's opening follows without a step_decision on this one
  std::uint32_t target_rank = 0;
  std::uint64_t recovery_line = 0; ///< no rank restarts from fewer steps done: what it was sent before is not needed
};

/// Whether a rank hands out a copy of its state: for restarts alone, or for a checkpoint as well.
enum class take_snapshot { no, to_keep, to_checkpoint };

/// What becomes of a step: its gradients update the weights; or, as they are not finite, they are dropped and the step
/// is over all the same; or they are dropped and the run ends with the state that the step began with.
enum class step_verdict { update, skip, give_up };

/// Scheduler to rank, after a step that ends in a flush: how to apply the optimizer (an asynchronous schedule has done
/// that itself), and whether to hand out a snapshot of the state after it.
struct step_decision {
  incarnation target_incarnation = 1;
  step_id at;
  double gradient_scale = 1.0;
  double learning_rate = 0.0;
  take_snapshot snapshot = take_snapshot::no;
  std::uint32_t target_rank = 0;
  step_verdict verdict = step_verdict::update;
  std::uint64_t recovery_line = 0; ///< as of step_opening
};

/// Scheduler to rank, after the last step: report the digests of your state.
struct digest_request {
  incarnation target_incarnation = 1;
  std::uint64_t steps_done = 0;
  std::uint32_t target_rank = 0;
};

/// Scheduler to rank, when nothing goes on: what was sent since the recovery line may be lost. The rank sends it again,
/// to the other ranks and to the scheduler.
struct send_again {
  incarnation target_incarnation = 1;
  std::uint64_t recovery_line = 0; ///< as of step_opening
  std::uint32_t target_rank = 0;
};

/// How many tokens and targets a rank has let the scheduler send in training, in all since this incarnation began. A
/// total, so that a repeated or overtaken message does no harm.
struct credit_totals {
  std::uint64_t tokens = 0;
  std::uint64_t targets = 0;
};

/// Rank to scheduler: the rank holds its weights and can take the first tokens and targets.
struct rank_ready {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  credit_totals credit;
  std::uint64_t steps_done = 0; ///< in the state that this incarnation began with, also when it says so again
};

/// Rank to scheduler: room for more tokens or targets.
struct credit_message {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  credit_totals credit;
};

/// Rank of the last stage to scheduler: a microbatch's mean loss.
struct loss_message {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  step_id at;
  std::uint32_t microbatch = 0;
  double loss = 0.0;
};

/// One action as it ran. Times are seconds of the run's clock.
struct action_slice {
  action what;
  double start = 0.0;
  double end = 0.0;
};

/// What a rank has used so far; for the report.
struct rank_usage {
  double busy_seconds = 0.0;
  std::uint32_t peak_stash_microbatches = 0;
  std::uint64_t peak_stash_bytes = 0;
  std::uint64_t recomputed_microbatches = 0;
  std::uint64_t forward_passes = 0;  ///< of stages over microbatches, those of validations among them
  std::uint64_t replayed_passes = 0; ///< of them, those that an incarnation before had run; see rank_birth::former
  std::uint64_t peak_outbox_bytes = 0;
};

/// The sums of squares of one stage's gradients, in layer order; replicas are left out, and so is a second copy.
struct stage_squares {
  std::uint32_t stage = 0;
  std::vector<double> squares;
};

/// What of a step is not a finite number: the loss of a microbatch, or the norm of all gradients.
enum class poison_source { loss, gradients };

/// Where a rank saw numbers that are not finite. loss: the first of its layers that kept such a number from its forward
/// pass, of the first microbatch that it saw any of. gradients: the last of its layers that has such a gradient, as
/// backward passes run from the last layer to the first.
struct poison_sighting {
  poison_source source = poison_source::loss;
  std::uint32_t microbatch = 0; ///< 0 for gradients, which are sums
  std::int64_t layer = 0;
};

/// Rank to scheduler: all actions of the step are done. After a validation `squares` is empty.
struct step_report {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  step_id at;
  std::vector<stage_squares> squares;
  rank_usage usage;
  std::vector<poison_sighting> sightings{}; ///< at most one of each source
};

/// Rank to recorder: when the rank's actions of one step ran.
struct slice_batch {
  std::uint32_t rank = 0;
  step_id at;
  std::vector<action_slice> slices;
};

/// One parameter with its optimizer state, copied at a step boundary.
struct parameter_snapshot {
  std::string name;
  tensor value;
  std::vector<tensor> state; ///< in the order of optimizer::state_names
};

/// One layer's parameters in order.
struct layer_snapshot {
  std::int64_t layer = 0;
  std::vector<parameter_snapshot> parameters;
};

/// Rank to store and keeper: the rank's state after so many steps; the unit that a checkpoint and a restart are made
/// of.
struct rank_snapshot {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
  std::vector<layer_snapshot> layers = {};
  std::vector<layer_snapshot> second_copy = {}; ///< of the stages of which the rank holds copy 1; not in a checkpoint
  take_snapshot purpose = take_snapshot::to_checkpoint;
};

/// SHA-256 of one parameter's value and of its optimizer state, little-endian bytes.
struct parameter_digest {
  std::string name;
  std::array<std::uint8_t, 32> weights{};
  std::array<std::uint8_t, 32> state{};

  friend bool operator==(const parameter_digest&, const parameter_digest&) = default;
};

/// Rank to scheduler at the end: the digests of its layers.
struct layer_digests {
  std::int64_t layer = 0;
  std::vector<parameter_digest> parameters;

  friend bool operator==(const layer_digests&, const layer_digests&) = default;
};
struct digest_report {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::vector<layer_digests> layers;
  std::vector<layer_digests> second_copy; ///< must be those that copy 0's holders report
};

/// Keeper to scheduler: the rank's state after so many steps is where its death does not reach it.
struct snapshot_kept {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
};

/// To scheduler: the place that kept the rank's snapshots is gone, and all that it had; the rank itself may live.
struct snapshot_lost {
  std::uint32_t rank = 0;
};

/// How far a rank has come: it has run so many forward passes of a step, and of the validation that follows it, and all
/// of those before.
struct rank_progress {
  std::uint64_t step = 0;
  std::uint64_t passes = 0;

  friend auto operator<=>(const rank_progress&, const rank_progress&) = default;
};

/// What a rank that dies can still tell of itself.
struct rank_last_words {
  rank_progress progress;
  rank_usage usage;
};

/// Keeper to scheduler: a rank has died. Times are seconds of the run's clock.
struct rank_lost {
  std::uint32_t rank = 0;
  incarnation life = 1; ///< that has ended
  std::string cause;
  double last_heard = 0.0; ///< it was alive then, as far as is known
  double noticed = 0.0;
  std::optional<rank_last_words> last_words{}; ///< nothing: its process died, too
};

/// What a new incarnation begins with besides its state.
struct rank_birth {
  incarnation life = 1;
  std::vector<incarnation> lives = {}; ///< of all ranks as far as is known; empty: all are 1
  std::uint64_t steps_done = 0;        ///< in the snapshot that it starts from
  std::uint64_t newest_step = 0;       ///< that has begun; a later one may begin meanwhile
  rank_progress former{};              ///< of all lives before; what is not known of one counts as done
  bool save_again = false;             ///< the store may lack its snapshot, which is of a checkpoint under way
};

/// Scheduler to keeper: start this rank again.
struct restart_order {
  std::uint32_t rank = 0;
  rank_birth birth;
};

/// To a rank that lives: another one has a new incarnation, which needs again what it was sent before.
struct rank_restarted {
  std::uint32_t rank = 0;
  incarnation life = 1;
};

/// Scheduler to keeper, and on to the store: a rank dies too often. What is kept of so many steps done is saved, if
/// there is a place for checkpoints, and the run ends.
struct run_given_up {
  std::uint64_t steps_done = 0;
  std::string cause;
  std::vector<std::shared_ptr<const rank_snapshot>> kept = {}; ///< by the keeper
  bool parts_follow = false; ///< what is kept is elsewhere, and on its way as parts of a checkpoint
};

/// Scheduler to store: the rank died after the checkpoint after so many steps was begun, and its next life begins later
/// than that. What has not come of its part will not come.
struct part_lost {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;
};

/// Scheduler to keeper: no rank restarts from fewer steps done.
struct recovery_line_message {
  std::uint64_t steps_done = 0;
};

/// Store to scheduler and recorder: the checkpoint after so many steps is on disk.
struct checkpoint_committed {
  std::uint64_t steps_done = 0;
  std::string generation; ///< its directory
  std::string warning;    ///< why older ones could not be removed; empty: nothing is wrong
};

/// Store to scheduler, and on to recorder: the checkpoint after so many steps could not be written; nothing of it is
/// left, and those before it are as they were.
struct checkpoint_failed {
  std::uint64_t steps_done = 0;
  std::string reason;
  bool run_ends = false; ///< it is about to, for another reason; the scheduler knows
};

/// Why a step must not change the weights.
struct poisoned_step {
  poison_source source = poison_source::loss;
  std::uint32_t microbatch = 0; ///< of a loss: the first one whose loss is not finite
  std::int64_t layer = -1;      ///< as of a poison_sighting, over all ranks; -1: nobody saw it
  double found = 0.0;           ///< that loss, or the norm

  friend bool operator==(const poisoned_step&, const poisoned_step&) = default;
};

/// Scheduler to recorder: a step of training or a validation is over.
struct step_closed {
  step_id at;
  double loss = 0.0;          ///< mean over the microbatches, added in ascending order
  double gradient_norm = 0.0; ///< before clipping; 0 for a validation
  double learning_rate = 0.0;
  double seconds = 0.0; ///< from opening to closing
  std::optional<poisoned_step> poison{};
  double gradient_scale = 1.0; ///< by clipping
  bool snapshot = false;       ///< the ranks were told to hand one out
};

/// One restart of a rank, for the report. Times are seconds of the run's clock.
struct rank_recovery {
  std::uint32_t rank = 0;
  std::uint64_t step = 0; ///< the newest that had begun, from 0
  std::string cause;
  double last_heard = 0.0;           ///< the rank lived then, as far as is known
  double noticed = 0.0;              ///< its death
  double resumed = 0.0;              ///< the new incarnation has its state; 0: it died before
  double caught_up = 0.0;            ///< it has done the first work that its predecessor had not
  std::uint64_t replayed_passes = 0; ///< forward passes that an incarnation before had run
};

/// One restart of the scheduler, for the report. Times are seconds of the run's clock.
struct scheduler_recovery {
  std::uint64_t step = 0; ///< the newest that had begun, from 0
  std::string cause;
  double noticed = 0.0; ///< its death
  double resumed = 0.0; ///< all ranks have answered the new one
};

/// Scheduler to recorder: nothing of use has come for some time, so that everybody sends again what may be lost.
struct run_stalled {
  std::uint64_t step = 0; ///< the newest that had begun, from 0
  double seconds = 0.0;   ///< for which nothing had come
};

/// Scheduler to recorder: a rank lives again.
struct rank_recovered {
  rank_recovery what;
};

/// Scheduler to recorder: the run is over.
struct run_closed {
  std::string weights_sha256;
  std::string optimizer_sha256;
  std::vector<rank_usage> usage; ///< by rank
  bool interrupted = false;
  std::vector<rank_recovery> recoveries = {}; ///< in the order of their notice
  std::vector<scheduler_recovery> scheduler_recoveries = {};
};

/// Anything to scheduler: the run cannot go on.
struct failure_message {
  error_kind kind = error_kind::run;
  std::string text;
};

} // namespace troupe
