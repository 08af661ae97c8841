// What ranks and the scheduler send each other, as plain data. actors/ gives these types to CAF; nothing here knows
// CAF.
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
};

enum class take_snapshot { no, yes };

/// Scheduler to rank, after a step that ends in a flush: how to apply the optimizer (an asynchronous schedule has done
/// that itself), and whether to hand out a snapshot of the state after it.
struct step_decision {
  incarnation target_incarnation = 1;
  step_id at;
  double gradient_scale = 1.0;
  double learning_rate = 0.0;
  take_snapshot snapshot = take_snapshot::no;
  std::uint32_t target_rank = 0;
};

/// Scheduler to rank, after the last step: report the digests of your state.
struct digest_request {
  incarnation target_incarnation = 1;
  std::uint64_t steps_done = 0;
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
};

/// The sums of squares of one stage's gradients, in layer order; replicas are left out, and so is a second copy.
struct stage_squares {
  std::uint32_t stage = 0;
  std::vector<double> squares;
};

/// Rank to scheduler: all actions of the step are done. After a validation `squares` is empty.
struct step_report {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  step_id at;
  std::vector<stage_squares> squares;
  rank_usage usage;
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

/// Rank to store: the rank's state after so many steps; the unit that a checkpoint and a restart are made of. A second
/// copy of a stage is left out.
struct rank_snapshot {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
  std::vector<layer_snapshot> layers;
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

/// Store to scheduler and recorder: the checkpoint after so many steps is on disk.
struct checkpoint_committed {
  std::uint64_t steps_done = 0;
  std::string generation; ///< its directory
  std::string warning;    ///< why older ones could not be removed; empty: nothing is wrong
};

/// Store to scheduler and recorder: the checkpoint after so many steps could not be written; nothing of it is left, and
/// those before it are as they were.
struct checkpoint_failed {
  std::uint64_t steps_done = 0;
  std::string reason;
};

/// Scheduler to recorder: a step of training or a validation is over.
struct step_closed {
  step_id at;
  double loss = 0.0;          ///< mean over the microbatches, added in ascending order
  double gradient_norm = 0.0; ///< before clipping; 0 for a validation
  double learning_rate = 0.0;
  double seconds = 0.0; ///< from opening to closing
};

/// Scheduler to recorder: the run is over.
struct run_closed {
  std::string weights_sha256;
  std::string optimizer_sha256;
  std::vector<rank_usage> usage; ///< by rank
  bool interrupted = false;
};

/// Anything to scheduler: the run cannot go on.
struct failure_message {
  error_kind kind = error_kind::run;
  std::string text;
};

} // namespace troupe
