// Faults that a run makes itself, to be recovered from: the language of --chaos (docs/chaos.md), and the events that a
// text stands for. What is left open is drawn from a seed, so the same text makes the same faults in the same run.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

enum class chaos_verb { kill, kill_process, kill_scheduler, freeze, drop, duplicate, delay, reorder, disk };

/// Whether it strikes a rank, and strikes it once.
bool strikes_rank(chaos_verb verb);

/// When a fault strikes a rank: before an action takes its inputs, before its result is sent, after that; or, whatever
/// the action, while the rank hands out the snapshot that follows the step. In the order in which a rank gets there.
enum class chaos_moment { before_receive, after_compute, after_send, during_snapshot };

/// One fault as written. What is not there, or said to be `any`, is drawn.
struct chaos_order {
  chaos_verb verb = chaos_verb::kill;
  std::string text; ///< as written, for messages
  std::optional<std::uint32_t> rank;
  std::optional<std::uint64_t> step; ///< from 0
  std::optional<std::uint32_t> action;
  std::optional<chaos_moment> moment;
  std::uint32_t count = 1; ///< how many such faults
  std::uint64_t seed = 1;
  double seconds = 0.0;    ///< of freeze and delay
  double share = 0.0;      ///< of messages
  std::uint64_t write = 0; ///< from 1
  int error = 0;           ///< an errno
};

/// Reads "kill:rank=2,step=5+drop:share=0.01". An empty text has no faults. Throws spec_error that begins with
/// "faults.chaos" and tells what was found and what was expected.
std::vector<chaos_order> parse_chaos(const std::string& text);

/// The run that faults are made in.
struct chaos_run {
  std::uint32_t ranks = 1;
  std::uint64_t first_step = 0;           ///< where a resumed run goes on
  std::uint64_t end_step = 1;             ///< steps done at the end
  std::uint64_t snapshot_every = 1;       ///< steps between snapshots; 0: none
  bool checkpoints = false;               ///< it writes some
  bool snapshots_on_disk = false;         ///< rather than in memory
  std::vector<std::uint32_t> actions;     ///< by rank: those of each step; empty: not known yet
  std::vector<std::uint32_t> processes{}; ///< by rank: which process hosts it; empty: each has its own
};

/// Of a run whose schedule is not known yet.
chaos_run chaos_run_of(const run_spec& spec);
/// Of a run of `pipeline` that goes on after `first_step` steps.
chaos_run chaos_run_of(const run_spec& spec, const plan& pipeline, std::uint64_t first_step);

/// Throws spec_error when an order names a rank, step, action or snapshot that the run does not have, or can do nothing
/// in it.
void expect_possible(const std::vector<chaos_order>& orders, const chaos_run& run);

/// One fault with nothing left open. What its verb does not use keeps its default.
struct chaos_event {
  chaos_verb verb = chaos_verb::kill;
  std::uint32_t rank = 0;
  std::uint64_t step = 0;   ///< from 0, as step_id
  std::uint32_t action = 0; ///< the n-th, from 0, that the rank runs in that step
  chaos_moment moment = chaos_moment::after_compute;
  /// Which incarnation it strikes, of the rank or of the scheduler: the n-th death is the n-th one's. So a rank that
  /// was restarted and runs the same step again is not struck by the same event again.
  incarnation life = 1;
  double seconds = 0.0;
  double share = 0.0;
  std::uint64_t seed = 1;
  std::uint64_t write = 0; ///< from 1
  int error = 0;           ///< an errno

  friend bool operator==(const chaos_event&, const chaos_event&) = default;
};

/// Draws what the orders leave open and counts the lives. First what strikes ranks and the scheduler, in the order of
/// their steps, then the rest as written. `run.actions` is known. Throws spec_error as expect_possible does.
std::vector<chaos_event> resolve_chaos(const std::vector<chaos_order>& orders, const chaos_run& run);

/// All at once for a run of `pipeline` that goes on after `first_step` steps: the same in each of its processes.
/// `processes` as in chaos_run.
std::vector<chaos_event> chaos_of(const run_spec& spec, const plan& pipeline, std::uint64_t first_step,
                                  std::vector<std::uint32_t> processes = {});

/// As parse_chaos reads it, so that what was drawn can be run again.
std::string to_text(const chaos_event& event);
std::string to_text(const std::vector<chaos_event>& events);

} // namespace troupe
