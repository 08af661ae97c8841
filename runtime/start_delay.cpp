#include "runtime/start_delay.hpp"

#include "runtime/schedule/needs.hpp"

#include <algorithm>

namespace troupe {

namespace {

constexpr double never = -1.0; ///< before any time of a run's clock

/// When each pass of the step gave its result.
result_table<double> ends_of(const std::vector<slice_batch>& step, std::uint32_t stages) {
  std::uint32_t microbatches = 0;
  for (const slice_batch& batch : step)
    for (const action_slice& slice : batch.slices)
      microbatches = std::max(microbatches, slice.what.microbatch + 1);
  result_table<double> ends(stages, microbatches, never);
  for (const slice_batch& batch : step)
    for (const action_slice& slice : batch.slices)
      if (const auto given = given_by(slice.what))
        ends[*given] = slice.end;
  return ends;
}

} // namespace

double mean_start_delay(const std::vector<slice_batch>& step, std::uint32_t stages) {
  const result_table<double> ends = ends_of(step, stages);
  double total = 0.0;
  std::size_t count = 0;
  for (const slice_batch& batch : step) {
    double ready = never;
    for (const action_slice& slice : batch.slices) {
      if (const auto input = taken_from_neighbour(slice.what, stages))
        ready = std::max(ready, ends[*input]);
      if (ready != never) {
        total += slice.start - ready;
        ++count;
      }
      ready = slice.end;
    }
  }
  return count == 0 ? 0.0 : total / static_cast<double>(count);
}

} // namespace troupe
