// The report: what a run did, for people (a few lines) and for programs (--report FILE.json).
#pragma once

#include "runtime/partition.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/schedule/simulate.hpp"
#include "runtime/traffic.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

struct rank_report {
  std::uint32_t rank = 0;
  std::string node = "local";
  std::vector<std::uint32_t> stages;
  rank_usage usage;
};

struct stage_report {
  std::uint32_t stage = 0;
  std::uint32_t rank = 0;
  layer_range layers;
  stage_cost seconds; ///< mean times of its passes over a microbatch; B counts for I and W, half each
};

struct validation_point {
  std::uint64_t step = 0; ///< steps done
  double loss = 0.0;
};

/// A step that left the weights as they were.
struct skipped_step {
  std::uint64_t step = 0; ///< steps done after it
  poisoned_step why;
};

/// The whole run went back, as what a rank needed to live again was lost with the workers that had it.
struct run_return {
  std::uint64_t from_step = 0; ///< steps done and told by then
  std::uint64_t to_step = 0;   ///< steps done in the checkpoint, or where the run began
  std::string cause;
  double noticed = 0.0; ///< seconds of the run's clock
  double seconds = 0.0; ///< from the notice until ranks were there again
};

/// Everything that a run reports. Plain data; the reference trainer and the actors fill the same one.
struct run_report {
  std::string weights_sha256;
  std::string optimizer_sha256;
  std::uint64_t first_step = 0;       ///< 0, or where a resumed run went on
  std::string resumed_from;           ///< whose state that was: "checkpoint" or "workers"; empty: it was not resumed
  std::vector<double> losses;         ///< mean loss of each step, from first_step
  std::vector<double> gradient_norms; ///< before clipping
  std::vector<validation_point> validations;
  std::vector<checkpoint_failed> failed_checkpoints;
  std::vector<std::string> failed_outputs; ///< trace and timeline, if they could not be written: which one, and why
  std::vector<double> step_seconds;
  std::vector<skipped_step> skipped_steps;
  double tokens_per_second = 0.0;                  ///< median after warm-up
  std::optional<double> bubble_fraction;           ///< measured, median over steps; none for the reference
  std::optional<double> predicted_bubble_fraction; ///< the simulator's, from the measured times of the actions
  std::optional<double> span_seconds; ///< first action's start to last one's end, median over steps; as bubble_fraction
  std::optional<double> runtime_seconds_per_action; ///< mean_start_delay, median over steps; only of emulated runs
  double model_flops_per_second = 0.0;
  std::vector<rank_report> ranks;
  std::vector<stage_report> stages;
  std::string schedule;
  bool interrupted = false;
  std::vector<rank_recovery> recoveries; ///< in the order in which deaths were noticed
  std::vector<run_return> returns;
  std::vector<scheduler_recovery> scheduler_recoveries;
  std::uint64_t stalls = 0; ///< times that everybody sent again what may have got lost
  run_spec spec;
};

/// How many of a run's first steps are no measure of the others: a tenth, at least one and at most ten; none when there
/// are no more than two.
std::size_t warmup_steps(std::size_t steps);

/// Median over the steps after warm-up.
double median_after_warmup(const std::vector<double>& values);

/// Fills tokens_per_second and model_flops_per_second from step_seconds. `flops_per_step` counts forward and backward
/// matrix products.
void fill_rates(run_report& report, double tokens_per_step, double flops_per_step);

/// The JSON document with the fields that docs/report.md lists. Losses and norms are written so that reading gives the
/// same bits back; a number that is not finite is written as null.
std::string to_json(const run_report& report, const std::string& version);

/// Writes `text` to `path` through a temp file and rename. Throws output_error naming the path and the system's reason.
void write_text_file(const std::filesystem::path& path, const std::string& text);

/// Throws spec_error unless a file can be created at `path` (so that a long run does not end in a refusal). Leaves
/// nothing behind.
void expect_writable(const std::filesystem::path& path);

} // namespace troupe
