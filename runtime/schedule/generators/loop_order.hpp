// The order in which a rank of a looped pipeline (stage s on rank s mod p) turns to its chunks: groups of microbatches,
// each group through all chunks before the next group. Shared by the interleaved schedules; with one chunk it is plain.
#pragma once

#include "runtime/schedule/generators/generators.hpp"

namespace troupe {

/// Megatron-LM's grouping, arXiv 2104.04473, section 2.2. Forward passes take the chunks ascending, backward passes
/// descending, microbatches of a stage always ascend.
class loop_order {
public:
  loop_order(const schedule_request& request, std::uint32_t group)
      : ranks_(request.ranks), chunks_(request.chunks), group_(group), steps_(request.chunks * request.microbatches) {}

  /// Passes of one direction that a rank runs in all.
  std::uint32_t steps() const { return steps_; }
  std::uint32_t chunks() const { return chunks_; }
  std::uint32_t group() const { return group_; }

  action forward(std::uint32_t rank, std::uint32_t step) const {
    return {chunk_of(step) * ranks_ + rank, operation::forward, microbatch_of(step)};
  }
  /// `op` is I, W or B.
  action backward(operation op, std::uint32_t rank, std::uint32_t step) const {
    return {(chunks_ - 1 - chunk_of(step)) * ranks_ + rank, op, microbatch_of(step)};
  }

private:
  std::uint32_t chunk_of(std::uint32_t step) const { return step / group_ % chunks_; }
  std::uint32_t microbatch_of(std::uint32_t step) const { return step / (group_ * chunks_) * group_ + step % group_; }

  std::uint32_t ranks_;
  std::uint32_t chunks_;
  std::uint32_t group_;
  std::uint32_t steps_;
};

/// The request's group size, or the one that PyTorch takes when it names none: microbatches / rounds, where rounds is
/// max(1, microbatches / ranks). Throws spec_error when microbatches do not fill groups, or when groups are so small
/// that the first rank would run out of work before the last one answers.
std::uint32_t find_group_size(const schedule_request& request);

/// How far a rank runs ahead: forward passes before its first backward pass, and backward passes before its first W.
struct run_ahead {
  std::uint32_t warmup = 0;
  std::uint32_t deferral = 0;
};

/// Appends a rank's list in which W follows I `deferral` steps later: warm-up, then steps of F (while there are any),
/// I, and the oldest W; the W that are left come last.
void append_deferring(std::vector<action>& list, const loop_order& order, std::uint32_t rank, run_ahead ahead);

} // namespace troupe
