// The state machine of the scheduler: opens and closes steps, injects microbatches on credit, gathers losses and norms,
// and decides clip scale and learning rate. Knows neither actors nor threads.
#pragma once

#include "runtime/data.hpp"
#include "runtime/plan.hpp"
#include "runtime/recovery/scheduler_books.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/stage_runner.hpp"
#include "runtime/traffic.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
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
  /// Of a scheduler that has died and that this one follows; null: of none.
  std::shared_ptr<const scheduler_books> books = nullptr;
  /// The state that the run goes on from is no checkpoint's: what is due after its last step may not have been done.
  bool from_held = false;
};

/// A message to one rank.
struct rank_order {
  std::uint32_t rank = 0;
  std::variant<token_message, target_message, step_opening, step_decision, digest_request, send_again> what;
};

/// To a rank, the recorder, the keeper, or, at the end of a run that has failed, the observer.
using coordinator_output =
    std::variant<rank_order, step_closed, run_closed, rank_recovered, restart_order, run_given_up,
                 recovery_line_message, part_lost, checkpoint_failed, run_stalled, failure_message>;
using coordinator_outputs = std::vector<coordinator_output>;

inline bool all_set(const std::vector<bool>& flags) {
  return std::ranges::all_of(flags, [](bool set) { return set; });
}

/// Invariants, whatever arrives in whatever order:
/// - a rank is never sent more tokens or targets than it gave credit for;
/// - a step is closed once, in order, after all its losses and all ranks' reports, and its sums run in a stated order;
/// - where steps run into one another, at most two are open; a step that was announced to follow does follow;
/// - at most one checkpoint is being written; the step that needs the next one stays open until then;
/// - messages of former incarnations are dropped;
/// - the recovery line is a step boundary of which every rank's snapshot is kept, or the one the run began at; it never
///   goes back, nor past a boundary that a rank is to start from and has not yet reached again by itself;
/// - at most one generation of snapshots beyond the recovery line is under way;
/// - a new incarnation of a rank is told again all that its predecessor was told since the recovery line;
/// - what every rank has sent and was told since the recovery line can be sent again at any time, and changes nothing
///   where it had arrived. So a run in which messages get lost goes on, as long as not all do;
/// - a scheduler that follows one that died decides what that one would have: what had been decided is in the books.
class step_coordinator {
public:
  explicit step_coordinator(coordinator_setup setup);

  coordinator_outputs accept(const rank_ready& in);
  coordinator_outputs accept(const credit_message& in);
  /// A poisoned step may end the run (see faults_spec::on_nan), and when a checkpoint directory is set not before the
  /// last whole step is saved.
  coordinator_outputs accept(const loss_message& in);
  coordinator_outputs accept(const step_report& in);
  coordinator_outputs accept(const checkpoint_committed& in);
  /// Goes on to the user, or, where the run ends with it, is in the line that ends it.
  coordinator_outputs accept(const checkpoint_failed& in);
  coordinator_outputs accept(const digest_report& in);
  coordinator_outputs accept(const snapshot_kept& in);
  coordinator_outputs accept(const snapshot_lost& in);
  /// Throws run_error when a rank's death is the end of the run.
  coordinator_outputs accept(const rank_lost& in);
  /// For a run that stalls, since so many seconds: everybody sends again what may have got lost. Nothing where no rank
  /// restarts, as then nobody keeps what was sent.
  coordinator_outputs send_all_again(double seconds);
  /// Grows with each message that was of use. As long as it does, the run is going on.
  std::uint64_t progress() const { return progress_; }
  /// Of the steps that were closed and had not stalled.
  double longest_step_seconds() const { return books_.longest_step; }
  /// The user wants the run to end: the step in flight is the last one, with those that were announced to follow it.
  void interrupt();
  /// For the report: why this scheduler follows another one, which was noticed at that time.
  void note_own_recovery(const std::string& cause, double noticed);
  /// What a successor has to know, if that has changed since the last call. Whoever has it with all that was returned
  /// until now can begin another scheduler, which goes on from there once the ranks have sent again. Null where no rank
  /// restarts.
  std::shared_ptr<const scheduler_books> changed_books();
  /// The same at any time, for those who watch it.
  const scheduler_books& books() const { return books_; }

private:
  /// What one rank is sent of the data, microbatch after microbatch through all steps.
  struct feed {
    std::uint32_t rank = 0;
    std::uint32_t copy = 0;
    step_id at = {}; ///< of the next microbatch, which may be one past the step's last
    std::uint32_t next = 0;
    std::uint64_t first_step = 0; ///< that this incarnation of the rank takes part in
    std::uint64_t granted = 0;    ///< training microbatches that it has let us send
  };

  /// What is known of a step that is not closed yet.
  struct open_step {
    step_id at;
    step_end end = step_end::flush;
    double opened = 0.0;
    std::vector<std::optional<double>> losses; ///< by microbatch
    std::uint32_t losses_seen = 0;
    std::map<std::uint32_t, std::vector<double>> squares; ///< by stage
    std::vector<poison_sighting> sightings;
    std::vector<bool> reported; ///< by rank
    bool stalled = false;       ///< everybody was asked to send again meanwhile, or the scheduler died
  };

  void expect_rank(std::uint32_t rank) const;
  bool is_current(std::uint32_t rank, incarnation life) const;
  /// What the run would wait for has come.
  void note_progress() { ++progress_; }
  /// Whether that was more than before.
  bool grant(std::uint32_t rank, const credit_totals& credit);
  std::uint32_t microbatches_of(pass_mode mode) const;
  /// Null when that step is not open.
  open_step* find_open(const step_id& at);
  void open(const step_id& at, coordinator_outputs& out);
  void open_successors(coordinator_outputs& out);
  void inject(coordinator_outputs& out);
  template <class Message>
  void inject(feed& to, coordinator_outputs& out);
  bool may_send(const feed& to);
  std::uint32_t first_microbatch(const step_id& at, std::uint32_t copy) const;
  std::uint32_t end_microbatch(const step_id& at, std::uint32_t copy) const;
  const begun_step* next_begun(const step_id& from) const;
  step_end end_of(const step_id& at) const;
  void gather(const begun_step& begun);
  step_opening opening_of(const begun_step& step) const;
  void close_complete_steps(coordinator_outputs& out);
  void note_closed(const step_id& at);
  bool close_training_step(const open_step& step, double loss, coordinator_outputs& out);
  void give_up(const open_step& step, const poisoned_step& poison, coordinator_outputs& out);
  void fail(const std::string& cause, coordinator_outputs& out);
  double seconds_of(const open_step& step);
  void open_after(const open_step& closed, coordinator_outputs& out);
  bool may_end_here();
  void request_digests(coordinator_outputs& out);
  void go_on_after_checkpoint(coordinator_outputs& out);
  void finish_if_complete(coordinator_outputs& out);

  // Ranks that live again (step_coordinator_recovery.cpp)
  bool restartable() const { return setup_.spec->faults.snapshot_every != 0; }
  scheduler_books& write() {
    changed_ = true;
    return books_;
  }
  /// A rank begins, or begins again, to be fed from the recovery line on.
  void rewind(std::uint32_t rank);
  void feed_again(feed& one) const;
  std::uint64_t newest_step() const;
  bool may_have_lost() const;
  void note_last_words(std::uint32_t rank, const rank_last_words& told);
  rank_progress most_progress(std::uint32_t rank) const;
  void note_resumed(std::uint32_t rank);
  rank_birth birth_of(std::uint32_t rank, std::uint64_t newest_step) const;
  step_id first_since(std::uint64_t steps_done) const;
  void tell_again(std::uint32_t rank, coordinator_outputs& out);
  void move_recovery_line(coordinator_outputs& out);
  void note_caught_up(const step_report& in, coordinator_outputs& out);
  /// By rank, over all its incarnations.
  std::vector<rank_usage> total_usage() const;

  /// Who is not there yet is told when it is, see tell_again.
  template <class Order>
  void to_rank(std::uint32_t rank, Order order, coordinator_outputs& out) const {
    if (!ready_[rank])
      return;
    order.target_incarnation = books_.lives[rank];
    order.target_rank = rank;
    out.emplace_back(rank_order{rank, std::move(order)});
  }
  template <class Order>
  void to_all(const Order& order, coordinator_outputs& out) const {
    for (std::uint32_t rank = 0; rank < books_.lives.size(); ++rank)
      to_rank(rank, order, out);
  }

  coordinator_setup setup_;
  std::uint64_t last_step_; ///< steps done at the end of the run
  scheduler_books books_;
  bool changed_ = true; ///< since they were asked for
  std::vector<bool> ready_;

  std::uint64_t progress_ = 0;
  std::deque<open_step> open_;                ///< in order
  std::vector<feed> tokens_;                  ///< by copy: to the holder of the first stage
  std::vector<feed> targets_;                 ///< by copy: to the holder of the last stage
  std::vector<std::set<std::uint64_t>> kept_; ///< by rank: steps done in its snapshots beyond the recovery line
  std::vector<layer_digests> digests_;
  std::vector<layer_digests> second_digests_; ///< of the second copy
  std::vector<bool> digested_;
};

} // namespace troupe
