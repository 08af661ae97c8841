// The state machine of one rank: takes messages in any order, runs the rank's actions as the schedule's list has them,
// and returns what to send. Knows neither actors nor threads; time comes from a clock that is passed in.
#pragma once

#include "runtime/action_queue.hpp"
#include "runtime/emulation.hpp"
#include "runtime/gradient_groups.hpp"
#include "runtime/message_box.hpp"
#include "runtime/plan.hpp"
#include "runtime/poison.hpp"
#include "runtime/recovery/outbox.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/stage_output.hpp"
#include "runtime/timer_aim.hpp"
#include "runtime/traffic.hpp"
#include "runtime/training_state.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace troupe {

/// Seconds since some fixed moment.
using run_clock = std::function<double()>;

/// What a rank is made from. All pointers outlive the rank.
struct rank_setup {
  const run_spec* spec = nullptr;
  const model_family* family = nullptr;
  const plan* pipeline = nullptr;
  const parameter_source* start = nullptr; ///< null: weights are drawn from the seed; needed for construction alone
  std::uint32_t rank = 0;
  rank_birth birth;
  run_clock clock;
  /// Of reactive ranks: how long one waits for the list's first action before another overtakes it, as a part of that
  /// other one's usual time. 0: not at all. An input that is late by a moment is not worth a whole pass of something
  /// else.
  double patience = 0.0;
};

/// An action with the step that its microbatch belongs to.
struct placed_action {
  step_id at;
  action what; ///< microbatch 0..m-1 of that step

  message_place place() const { return {at, what.stage, what.microbatch}; }
};

/// How far a rank is in its list of a training step.
struct list_place {
  std::uint64_t step = 0;
  std::uint32_t done = 0; ///< actions that are over
};

/// Invariants, whatever arrives in whatever order:
/// - actions run in the list's order, or as action_queue lets them overtake; each once, and only with all their inputs;
/// - a stage holds the stash of at most its schedule's peak of microbatches, and a bounded number of waiting messages;
/// - what was seen before, belongs to a step that is over, or comes from or goes to a former incarnation, is dropped;
/// - a rank that starts again from its state after any step, and is sent again what its predecessor was sent since,
/// sends
///   what that one sent, bit for bit: what it computes follows from its state and its messages alone;
/// - what no correct peer could have sent throws protocol_error and changes nothing.
class stage_runner {
public:
  /// Builds and fills the rank's stages. Throws checkpoint_error.
  explicit stage_runner(rank_setup setup);

  /// The first message to the scheduler. Later it tells the credit that was given since as well.
  rank_ready ready() const;
  /// What a new incarnation sends unasked: its predecessor may have died before it did. Where all ranks begin with a
  /// snapshot it goes out with the first step, when all are there.
  rank_outputs first_words();

  void accept(const token_message& in);
  void accept(const target_message& in);
  void accept(const activation_message& in);
  void accept(const gradient_message& in);
  void accept(const group_gradient_message& in);
  void accept(const tied_gradient_message& in);
  void accept(const tied_value_message& in);
  void accept(const step_opening& in);
  void accept(const step_decision& in);
  void accept(const digest_request& in);
  /// What to send to the new incarnation.
  rank_outputs accept(const rank_restarted& in);
  /// All that may be lost.
  rank_outputs accept(const send_again& in);

  /// True when run_next would do something.
  bool can_run() const;
  /// Does the next thing that is due: one action of the list, the report at its end, the update, or the start of a
  /// step. An emulated action takes two calls: one begins it, and the next one, due at wake_at(), ends it.
  rank_outputs run_next();
  /// The moment to which run_next is to be put off, by the run's clock; nothing: it can be called at once.
  std::optional<double> wake_at();
  /// True when actions compute nothing, so that a call of run_next takes no time.
  bool emulates() const { return emulation_.has_value(); }
  /// Nothing when no such step runs.
  std::optional<list_place> place_in_list() const;
  /// Passes of the step or the validation that it is in; 0 between two of them.
  std::uint32_t passes_run() const;
  /// After so many passes of a step the pipeline is full, as far as this rank is concerned: its first backward pass is
  /// next, or it has run as many as there are ranks.
  std::uint32_t filling_passes() const { return filling_passes_; }
  /// When can_run() will be true without a further message, because patience ends; nothing when it will not.
  std::optional<double> patience_ends() const;

  /// Messages dropped as stale or repeated.
  std::uint64_t dropped_messages() const { return dropped_; }
  /// What it may be asked for again.
  const outbox& kept_messages() const { return outbox_; }
  rank_usage usage() const;
  rank_last_words last_words() const { return {progress_, usage()}; }
  pool_statistics memory() const { return pool_.statistics(); }

private:
  enum class phase { idle, running, exchanging, closing, awaiting_decision };

  // Incoming
  bool is_current(const route& via);
  bool is_current(incarnation target);
  bool is_over(const step_id& at) const;
  std::uint64_t newest_acceptable_step() const;
  /// True of a new incarnation as long as the others may be ahead of it.
  bool catching_up() const { return setup_.birth.life > 1 && steps_done_ <= newest_step_at_birth(); }
  std::uint64_t newest_step_at_birth() const;
  std::uint32_t catch_up_allowance() const;
  template <class Content>
  void admit(message_box<Content>& box, const message_place& place, const Content& content, std::uint32_t limit,
             const char* what);
  void expect_shape(const tensor& values, const message_place& place, const char* what) const;

  // What is due
  bool inputs_ready(const placed_action& next) const;
  /// With the step that the microbatch belongs to.
  placed_action placed(const action& one) const;
  /// The action to run now; null: none.
  const action* next_action() const;
  /// The same, but for patience.
  const action* first_ready_action() const;
  double may_run_at(const action& one) const;
  bool carries_on() const { return current_ && current_->mode == pass_mode::train && end_ == step_end::carry_on; }
  bool opening_due() const;
  bool replica_due() const;
  bool tied_gradient_here() const { return tied_gradients_.contains(current_->step); }
  void begin_step(rank_outputs& out);
  void run_action(const action& one, rank_outputs& out);
  void end_action(const action_slice& ran);
  void end_emulated_action(rank_outputs& out);
  void close_list(rank_outputs& out);
  void send_group_gradients(rank_outputs& out);
  bool group_gradients_here() const;
  void close_gradients(rank_outputs& out);
  void send_report(rank_outputs& out);
  void apply_decision(rank_outputs& out);
  void send_tied_value(const step_id& at, rank_outputs& out);
  void keep(const rank_outputs& sent);
  void send_digests(rank_outputs& out);

  // One action
  pass_context context_for(const placed_action& next);
  void run_forward(const placed_action& next, rank_outputs& out);
  void note_forward_pass(std::uint64_t step);
  void run_backward(const placed_action& next, rank_outputs& out);
  void release(const placed_action& done, rank_outputs& out);
  void tell_losses(rank_outputs& out);
  void note_stash();
  void count_in_group(const action& done);

  // Asynchronous schedules (stage_runner_versions.cpp)
  bool asynchronous() const { return setup_.pipeline->order.asynchronous.has_value(); }
  std::uint64_t counted_through(const step_id& at, std::uint32_t microbatch) const;
  void choose_weights(const placed_action& next);
  void update_after(const placed_action& done);
  void send_asynchronous_report(rank_outputs& out);

  std::uint32_t last_stage() const { return setup_.pipeline->order.stages() - 1; }
  std::uint32_t microbatches_of(pass_mode mode) const;

  // Copies of the model
  bool has_two_copies() const { return setup_.pipeline->order.copies() > 1; }
  /// Which copy of one of its stages this rank holds.
  std::uint32_t copy_of(std::uint32_t stage) const { return setup_.pipeline->copy_on(setup_.rank, stage); }
  /// Of the training microbatches that the rank runs the stage on.
  std::uint32_t first_microbatch_of(std::uint32_t stage) const;
  bool holds(const message_place& place) const;
  /// The rank that runs `stage` on a microbatch of the current step.
  std::uint32_t rank_of(std::uint32_t stage, std::uint32_t microbatch) const;

  /// How many messages may wait when the sender keeps at most `peak` microbatches in training.
  std::uint32_t limit_of(pass_mode mode, std::uint32_t peak) const;
  route route_to(std::uint32_t rank) const;
  /// Hands a message to this rank itself, or to `out` for another one.
  template <class Message>
  void deliver(Message message, rank_outputs& out) {
    if (message.via.target_rank == setup_.rank)
      accept(message);
    else
      out.emplace_back(std::move(message));
  }
  stage_state* tied_replica_stage();
  stage_state* tied_owner_stage();

  rank_setup setup_;
  tensor_pool pool_;
  std::map<std::uint32_t, stage_state> stages_; ///< by stage
  std::map<std::uint32_t, group_sums> groups_;  ///< by stage; empty when each copy adds up a single group
  std::vector<incarnation> lives_;              ///< the newest known incarnation of each rank
  std::vector<incarnation> resent_to_; ///< the incarnation of each rank that the outbox has gone to, or the first
  outbox outbox_;
  std::vector<action> evaluation_list_;
  shape activation_shape_;
  std::size_t tokens_length_ = 0;
  std::size_t targets_length_ = 0;

  phase phase_ = phase::idle;
  std::optional<step_id> current_;  ///< the step that runs, or the last one that ran
  step_end end_ = step_end::flush;  ///< of that step
  action_queue queue_;              ///< what is left of its list; microbatches from m on are the next step\'s
  bool began_apart_ = false;        ///< with a state that lacks what other ranks hold
  std::uint64_t first_steps_ = 0;   ///< steps done in the state that the rank began with
  std::uint64_t steps_done_ = 0;    ///< training steps whose update is applied
  std::uint64_t replica_steps_ = 0; ///< the same for the tied parameter's replica
  std::map<std::uint32_t, std::vector<double>> squares_; ///< by stage, of the step's updates; asynchronous schedules
  std::vector<action_slice> slices_;
  /// An action that began and computes nothing: what it gives is held back until it ends.
  struct emulated_action {
    action what;
    double start = 0.0;
    double end = 0.0;
    rank_outputs out;
  };
  std::optional<emulation> emulation_;
  std::optional<emulated_action> in_progress_;
  timer_aim timer_;
  double idle_since_ = 0.0;               ///< time; when the last action ended or the step began
  std::array<double, 4> usual_seconds_{}; ///< by operation, a running mean
  rank_usage usage_;
  rank_progress progress_;
  std::uint32_t filling_passes_ = 0;
  credit_totals credit_;                    ///< given so far
  credit_totals told_credit_;               ///< of it, what the scheduler was told
  std::vector<loss_message> untold_losses_; ///< of the step's microbatches; they go with the credit or the report
  std::uint64_t dropped_ = 0;

  poison_watch poison_;
  message_box<tensor> activations_;
  message_box<tensor> gradients_;
  message_box<std::vector<tensor>> group_gradients_; ///< of the other copies of this rank's stages
  message_box<token_block> tokens_;
  message_box<token_block> targets_;
  /// By microbatch, from F until W. Two steps never have the same one in flight: a rank runs ahead by fewer than are
  /// left of the step.
  std::map<std::uint32_t, token_block> held_tokens_;
  std::map<std::uint32_t, token_block> held_targets_;
  std::map<std::uint64_t, tensor> tied_gradients_; ///< by step; more than one only while the rank catches up
  std::map<std::uint64_t, tensor> tied_values_;    ///< the same
  std::map<step_id, step_opening> openings_;
  std::map<step_id, step_decision> decisions_;
  std::optional<digest_request> digest_request_;
};

/// How many microbatches a validation may have in flight: enough to fill the pipeline, with one to spare at each end.
std::uint32_t evaluation_window(const plan& pipeline);

/// How many tokens and targets may wait at a rank ahead of the microbatches it works on.
inline constexpr std::uint32_t injection_lookahead = 8;

/// A rank tells its credit when it has grown by so many, and what the scheduler has sent still lasts for as many: a
/// message costs both ends more than the tokens that it lets through.
inline constexpr std::uint64_t credit_growth = injection_lookahead / 2;

} // namespace troupe
