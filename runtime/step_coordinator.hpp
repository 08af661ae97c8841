// The state machine of the scheduler: opens and closes steps, injects microbatches on credit, gathers losses and norms,
// and decides clip scale and learning rate. Knows neither actors nor threads.
#pragma once

#include "runtime/data.hpp"
#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/stage_runner.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// What the scheduler works from. All pointers outlive it.
struct coordinator_setup {
  const run_spec* spec = nullptr;
  const plan* pipeline = nullptr;
  const data_source* data = nullptr;
  std::uint64_t steps_done = 0; ///< where a resumed run goes on
  run_clock clock;
};

/// A message to one rank.
struct rank_order {
  std::uint32_t rank = 0;
  std::variant<token_message, target_message, step_opening, step_decision, digest_request> what;
};

/// To a rank, or to the recorder.
using coordinator_output = std::variant<rank_order, step_closed, run_closed>;
using coordinator_outputs = std::vector<coordinator_output>;

/// Invariants, whatever arrives in whatever order:
/// - a rank is never sent more tokens or targets than it gave credit for;
/// - a step is closed once, in order, after all its losses and all ranks' reports, and its sums run in a stated order;
/// - where steps run into one another, at most two are open; a step that was announced to follow does follow;
/// - at most one checkpoint is being written; the step that needs the next one stays open until then;
/// - messages of former incarnations are dropped.
class step_coordinator {
public:
  explicit step_coordinator(coordinator_setup setup);

  coordinator_outputs accept(const rank_ready& in);
  coordinator_outputs accept(const credit_message& in);
  /// Throws run_error when the loss is not finite.
  coordinator_outputs accept(const loss_message& in);
  coordinator_outputs accept(const step_report& in);
  coordinator_outputs accept(const checkpoint_committed& in);
  coordinator_outputs accept(const checkpoint_failed& in);
  coordinator_outputs accept(const digest_report& in);
  /// The user wants the run to end: the step in flight is the last one, with those that were announced to follow it.
  void interrupt() { interrupted_ = true; }

private:
  enum class phase { gathering_ranks, in_step, finishing, closed };
  /// One copy of the model, as seen from where microbatches go in.
  struct lane {
    std::uint32_t first_rank = 0; ///< holds the first stage, takes tokens
    std::uint32_t last_rank = 0;  ///< holds the last stage, takes targets
    credit_totals granted;        ///< by these ranks, since the run began
    credit_totals used;           ///< in training
  };

  /// The microbatches of one step that go into one copy: what is next to be sent, and where they end.
  struct feed {
    std::uint32_t next_tokens = 0;
    std::uint32_t next_targets = 0;
    std::uint32_t end = 0;
  };

  /// What is known of a step that is not closed yet.
  struct open_step {
    step_id at;
    step_end end = step_end::flush;
    double opened = 0.0;
    std::vector<feed> feeds;                          ///< by copy
    std::map<std::uint32_t, microbatch_data> sampled; ///< of which only one half was sent yet
    std::vector<std::optional<double>> losses;        ///< by microbatch
    std::uint32_t losses_seen = 0;
    std::map<std::uint32_t, std::vector<double>> squares; ///< by stage
    std::vector<bool> reported;                           ///< by rank
  };

  bool is_current(std::uint32_t rank, incarnation life) const;
  void grant(std::uint32_t rank, const credit_totals& credit);
  std::uint32_t microbatches_of(pass_mode mode) const;
  /// Null when that step is not open.
  open_step* find_open(const step_id& at);
  void open(const step_id& at, coordinator_outputs& out);
  void open_successors(coordinator_outputs& out);
  std::vector<feed> feeds_of(pass_mode mode) const;
  void inject(coordinator_outputs& out);
  void inject(open_step& step, std::uint32_t copy, coordinator_outputs& out);
  const microbatch_data& data_for(open_step& step, std::uint32_t microbatch);
  void close_complete_steps(coordinator_outputs& out);
  bool close_training_step(const open_step& step, double loss, coordinator_outputs& out);
  double seconds_of(const open_step& step);
  void open_after(const open_step& closed, coordinator_outputs& out);
  bool may_end_here();
  void request_digests(coordinator_outputs& out);
  void go_on_after_checkpoint(coordinator_outputs& out);
  void finish_if_complete(coordinator_outputs& out);
  template <class Order>
  void to_all(Order order, coordinator_outputs& out) const;

  coordinator_setup setup_;
  std::uint64_t last_step_; ///< steps done at the end of the run
  phase phase_ = phase::gathering_ranks;
  bool interrupted_ = false;
  bool ended_early_ = false;
  std::vector<incarnation> lives_;
  std::vector<bool> ready_;
  std::vector<rank_usage> usage_;

  std::deque<open_step> open_; ///< in order
  double last_closed_ = 0.0;   ///< time
  std::uint64_t steps_done_ = 0;
  std::vector<lane> lanes_;                ///< by copy
  std::uint64_t checkpoint_in_flight_ = 0; ///< steps done of the one being written; 0: none
  std::uint64_t last_snapshot_ = 0;        ///< steps done when the last one was taken
  std::vector<layer_digests> digests_;
  std::vector<layer_digests> second_digests_; ///< of the second copy
  std::vector<bool> digested_;
};

} // namespace troupe
