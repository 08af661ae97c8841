// What the search knows of a pipeline: where its stages are, what their passes take, and how much a rank may hold.
// Everything that is tried thousands of times works on its numbered passes.
#pragma once

#include "runtime/schedule/simulate.hpp"

#include <cstdint>
#include <vector>

namespace troupe {

/// A pass over one microbatch at one stage, as a number below pipeline_model::passes(). The search splits every
/// backward pass in I and W: B is I with W right behind it.
using pass_id = std::uint32_t;

/// By rank: its passes in order.
using pass_lists = std::vector<std::vector<pass_id>>;

class pipeline_model {
public:
  static constexpr std::uint32_t kinds = 3; ///< F, I, W

  /// `costs` has one entry for each stage. `hold_limit`: stage-microbatches that a rank may hold from F until W, at
  /// least as many as it has stages.
  pipeline_model(std::vector<std::uint32_t> rank_of_stage, std::uint32_t microbatches, const simulation_costs& costs,
                 std::uint32_t hold_limit);

  std::uint32_t ranks() const { return static_cast<std::uint32_t>(stages_of_rank_.size()); }
  std::uint32_t stages() const { return static_cast<std::uint32_t>(rank_of_stage_.size()); }
  std::uint32_t microbatches() const { return microbatches_; }
  std::uint32_t passes() const { return stages() * kinds * microbatches_; }
  std::uint32_t hold_limit() const { return hold_limit_; }
  std::uint32_t rank_of(std::uint32_t stage) const { return rank_of_stage_[stage]; }
  const std::vector<std::uint32_t>& placement() const { return rank_of_stage_; }
  /// Ascending.
  const std::vector<std::uint32_t>& stages_of(std::uint32_t rank) const { return stages_of_rank_[rank]; }

  /// `kind` is F, I or W.
  pass_id id(std::uint32_t stage, operation kind, std::uint32_t microbatch) const {
    return (stage * kinds + static_cast<std::uint32_t>(kind)) * microbatches_ + microbatch;
  }
  std::uint32_t stage_of(pass_id pass) const { return pass / (kinds * microbatches_); }
  operation kind_of(pass_id pass) const { return static_cast<operation>(pass / microbatches_ % kinds); }
  std::uint32_t microbatch_of(pass_id pass) const { return pass % microbatches_; }

  double duration(std::uint32_t stage, operation kind) const {
    return durations_[stage * kinds + static_cast<std::uint32_t>(kind)];
  }
  double duration(pass_id pass) const { return durations_[pass / microbatches_]; }
  /// From the end of a pass to its result being at the other side of the boundary between `stage` and the next one.
  double transfer(std::uint32_t stage) const { return transfers_[stage]; }

  /// All passes of `rank` over one microbatch.
  double work(std::uint32_t rank) const { return work_[rank]; }
  double largest_work() const;
  /// Of any pass of the pipeline, on the average.
  double mean_duration() const;

  /// When F and I of each stage could start for the first microbatch if it never had to wait.
  const std::vector<double>& forward_heads() const { return forward_heads_; }
  const std::vector<double>& input_heads() const { return input_heads_; }

  /// No schedule of this pipeline takes less.
  double least_makespan() const;

private:
  void find_heads();

  std::vector<std::uint32_t> rank_of_stage_;
  std::vector<std::vector<std::uint32_t>> stages_of_rank_;
  std::uint32_t microbatches_;
  std::uint32_t hold_limit_;
  std::vector<double> durations_; ///< by stage and kind
  std::vector<double> transfers_; ///< by stage: to the next one and back
  std::vector<double> work_;
  std::vector<double> forward_heads_;
  std::vector<double> input_heads_;
};

/// The lists of `plan`, its B as I and W.
pass_lists to_pass_lists(const pipeline_model& model, const schedule& plan);

/// `lists` as a schedule with this name.
schedule to_schedule(const pipeline_model& model, const pass_lists& lists, const std::string& name);

} // namespace troupe
