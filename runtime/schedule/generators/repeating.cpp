#include "runtime/schedule/generators/repeating.hpp"

#include "model/error.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>

namespace troupe {

namespace {

constexpr std::uint32_t period = 6;

/// One kind of pass of a rank: that over microbatch k starts in slot first + 6 k.
struct stream {
  std::uint32_t stage;
  operation op;
  std::uint32_t first;
};

using streams = std::array<stream, 4>;

streams streams_of(const schedule_request& request, std::uint32_t rank, const building_block& block) {
  const std::uint32_t early = rank;
  const std::uint32_t late = 2 * request.ranks - 1 - rank;
  const streams all = {{{early, operation::forward, block.early_forward},
                        {late, operation::forward, block.late_forward},
                        {late, operation::backward_input, block.late_input},
                        {early, operation::backward_input, block.early_input}}};
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      TROUPE_CHECK(all[i].first % period != all[j].first % period, "two passes of a block in one slot");
  return all;
}

std::optional<action> pass_in_slot(const streams& all, std::uint32_t slot, std::uint32_t microbatches) {
  for (const stream& one : all)
    if (slot >= one.first && (slot - one.first) % period == 0 && (slot - one.first) / period < microbatches)
      return action{one.stage, one.op, (slot - one.first) / period};
  return std::nullopt;
}

/// The rank's F and I in the order of their slots.
std::vector<action> order_passes(const streams& all, std::uint32_t microbatches) {
  std::vector<action> list;
  list.reserve(std::size_t{4} * microbatches);
  const std::uint32_t slots = all.back().first + period * microbatches;
  for (std::uint32_t slot = 0; slot < slots; ++slot)
    if (const auto pass = pass_in_slot(all, slot, microbatches))
      list.push_back(*pass);
  return list;
}

/// Most microbatches that the rank holds from F until W when W takes the first free slot: the block's own memory.
std::uint32_t peak_of(const streams& all, std::uint32_t microbatches) {
  std::uint32_t held = 0;
  std::uint32_t peak = 0;
  std::uint32_t weights = 0;
  const std::uint32_t slots = all.back().first + period * microbatches;
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    if (const auto pass = pass_in_slot(all, slot, microbatches)) {
      if (pass->op == operation::forward)
        peak = std::max(peak, ++held);
      else
        ++weights;
    } else if (weights > 0) {
      --weights;
      --held;
    }
  }
  return peak;
}

/// Plays all ranks slot by slot. A rank runs the next of its F and I as soon as its input is there, W when there is
/// nothing else to do, or when an F would exceed the block's own memory.
class player {
public:
  player(schedule& plan, const std::vector<streams>& blocks) : plan_(plan), given_(plan.stages()), ranks_(plan.ranks) {
    for (std::uint32_t rank = 0; rank < plan.ranks; ++rank) {
      ranks_[rank].passes = order_passes(blocks[rank], plan.microbatches);
      ranks_[rank].bound = peak_of(blocks[rank], plan.microbatches);
      plan.actions[rank].reserve(std::size_t{6} * plan.microbatches);
    }
  }

  void play() {
    for (std::size_t left = std::size_t{3} * plan_.stages() * plan_.microbatches; left > 0;) {
      std::vector<action> ran;
      for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
        if (const auto one = take(rank))
          ran.push_back(*one);
      TROUPE_CHECK(!ran.empty(), "the block has a slot for every pass");
      for (const action& one : ran) // results are there in the next slot
        note(one);
      left -= ran.size();
    }
  }

private:
  struct counts {
    std::uint32_t forward = 0;
    std::uint32_t input = 0;
  };
  struct rank_state {
    std::vector<action> passes;
    std::size_t next = 0;
    std::uint32_t held = 0;
    std::uint32_t bound = 0;
    std::deque<action> weights;
  };

  bool is_ready(const action& one) const {
    if (one.op == operation::forward)
      return one.stage == 0 || given_[one.stage - 1].forward > one.microbatch;
    return given_[one.stage].forward > one.microbatch &&
           (one.stage + 1 == plan_.stages() || given_[one.stage + 1].input > one.microbatch);
  }

  std::optional<action> take(std::uint32_t rank) {
    rank_state& at = ranks_[rank];
    std::optional<action> one;
    const bool has_pass = at.next < at.passes.size() && is_ready(at.passes[at.next]);
    if (has_pass && (at.passes[at.next].op != operation::forward || at.held < at.bound)) {
      one = at.passes[at.next++];
      if (one->op == operation::forward)
        ++at.held;
      else
        at.weights.push_back({one->stage, operation::backward_weight, one->microbatch});
    } else if (!at.weights.empty()) {
      one = at.weights.front();
      at.weights.pop_front();
      --at.held;
    }
    if (one)
      plan_.actions[rank].push_back(*one);
    return one;
  }

  void note(const action& done) {
    if (done.op == operation::forward)
      ++given_[done.stage].forward;
    else if (done.op == operation::backward_input)
      ++given_[done.stage].input;
  }

  schedule& plan_;
  std::vector<counts> given_; ///< by stage: passes that are done
  std::vector<rank_state> ranks_;
};

} // namespace

schedule repeat_block(const schedule_request& request, block_of_rank block) {
  schedule result = without_actions(request, zigzag_placement(request));
  std::vector<streams> blocks;
  for (std::uint32_t rank = 0; rank < request.ranks; ++rank)
    blocks.push_back(streams_of(request, rank, block(request.ranks, rank)));
  player(result, blocks).play();
  return result;
}

} // namespace troupe
