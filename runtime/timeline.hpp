// The timeline of a run: when each action of one typical step really ran, drawn above what the simulator predicts.
#pragma once

#include "runtime/plan.hpp"
#include "runtime/running_median.hpp"
#include "runtime/schedule/simulate.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

/// What a timeline is kept for. The plan outlives it.
struct timeline_setup {
  const plan* pipeline = nullptr;
  std::uint64_t steps = 0;      ///< steps done when the run ends
  std::uint64_t warmup = 0;     ///< training steps that are no measure of the others
  std::uint32_t processors = 0; ///< how many ranks can compute at once; 0: all
};

/// Keeps the actions of a single training step: of those after the warm-up the one whose time was nearest the median
/// so far when it ended, and stayed nearest to the medians since. During the warm-up the newest step will do.
class timeline {
public:
  /// Throws spec_error when the plan has too many actions for a picture.
  explicit timeline(timeline_setup setup);

  /// A training step: what the scheduler and all ranks, in their order, say of it.
  void add(const step_closed& closing, const std::vector<slice_batch>& slices);

  /// The picture, as SVG: the step that was kept, and `predicted`, in seconds, at the same scale. Empty when there was
  /// no step.
  std::string draw(const simulation& predicted) const;

private:
  struct kept_step {
    std::uint64_t number = 0; ///< steps done with it
    double seconds = 0.0;
    bool warm = false;
    std::vector<std::vector<timed_action>> ranks; ///< seconds from the step's first action on
  };

  timeline_setup setup_;
  std::uint64_t seen_ = 0;
  running_median median_;
  std::optional<kept_step> kept_;
};

/// The actions of one step of every rank, by rank, in seconds from the first one's start on.
std::vector<std::vector<timed_action>> actions_of(const std::vector<slice_batch>& slices);

} // namespace troupe
