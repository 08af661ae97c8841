// The journal of a run: joins what the scheduler says of each step with what the ranks say of their actions, and turns
// it into progress, the trace, the timeline, the measured and the predicted bubble, and the report.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/report.hpp"
#include "runtime/run_options.hpp"
#include "runtime/schedule/simulate.hpp"
#include "runtime/timeline.hpp"
#include "runtime/trace.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// What a journal is kept for. All pointers outlive it.
struct journal_setup {
  const run_spec* spec = nullptr;
  const model_family* family = nullptr;
  const plan* pipeline = nullptr;    ///< null for a trainer on one thread, which has no ranks
  std::string trainer = "reference"; ///< then: what the report calls it
  const run_options* options = nullptr;
  std::uint64_t first_step = 0;
  bool held_by_workers = false; ///< the state that the run began with, rather than a checkpoint's
  std::uint32_t processors = 0; ///< how many ranks can compute at once; 0: all
};

/// Arrivals come in any order and may be repeated. A step is told to the user when all that belongs to it is here, in
/// step order. Memory grows by a few numbers a step; the slices of a step are dropped once it is told, but for the one
/// step of the timeline.
class journal {
public:
  /// Opens the trace file, or goes on with it when the run went back. Throws spec_error when it cannot be made, or when
  /// a timeline is asked for that cannot be drawn. Whatever else the disk refuses is noted in the report, and a trace
  /// is then given up with a warning.
  explicit journal(journal_setup setup);

  void add(const slice_batch& in);
  void add(const step_closed& in);
  void add(const run_closed& in);
  /// Tells the user at once.
  void add(const checkpoint_committed& in);
  void add(const checkpoint_failed& in);
  void add(const rank_recovered& in);
  void add(const run_stalled& in);

  /// What was told, of a run that is not over.
  run_report so_far() const;

  /// True once the run is over and every step of it was told.
  bool complete() const { return end_.has_value() && pending_.empty(); }
  /// The report of a complete run; closes the trace and writes the timeline.
  run_report finish();

private:
  struct entry {
    std::optional<step_closed> closing;
    std::map<std::uint32_t, slice_batch> slices; ///< by rank
  };
  std::size_t batches_per_step() const { return setup_.pipeline == nullptr ? 0 : setup_.pipeline->ranks(); }
  void tell_once(const rank_recovery& one);
  bool was_told(const step_id& at) const { return last_told_ && at <= *last_told_; }
  void tell_complete_steps();
  void tell(const step_closed& closing, const std::vector<slice_batch>& slices);
  void measure(const std::vector<slice_batch>& slices);
  double bubble_of(const std::vector<slice_batch>& slices);
  void go_on_from(const run_report& before);
  void open_trace();
  template <class Act>
  void trace(const Act& act);
  void give_up_trace(const error& refusal);
  void write_timeline(const simulation& predicted);
  void open_timeline();
  std::vector<stage_cost> mean_costs() const;
  void report_stages();
  std::optional<simulation> predict() const;

  journal_setup setup_;
  std::optional<trace_writer> trace_;
  std::optional<timeline> timeline_;
  std::map<step_id, entry> pending_;
  std::optional<step_id> last_told_;
  /// By rank, and when its death was noticed.
  std::map<std::pair<std::uint32_t, double>, rank_recovery> told_recoveries_;
  std::optional<run_closed> end_;
  run_report report_;
  std::vector<double> bubbles_;          ///< by training step
  std::vector<double> spans_;            ///< by training step; not of asynchronous schedules
  std::vector<double> start_delays_;     ///< the same, of emulated runs
  std::map<std::uint32_t, double> ends_; ///< by rank: of its last training action so far; asynchronous schedules
  struct total {
    double seconds = 0.0;
    std::uint64_t count = 0;
    double mean() const { return count == 0 ? 0.0 : seconds / static_cast<double>(count); }
  };
  std::map<std::pair<std::uint32_t, operation>, total> durations_; ///< of training actions, by stage and operation
};

/// Seconds from the first action's start to the last one's end.
double span_of(const std::vector<slice_batch>& slices);

/// 1 - busy / (ranks * span) of one step.
double measured_bubble(const std::vector<slice_batch>& slices);

} // namespace troupe
