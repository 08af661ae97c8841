// Writes a rank's list of a schedule in which the rank has two stages, "early" and "late" on the way of a microbatch,
// and each pass takes the next microbatch of its stage: a V, or two copies of the model fed from both ends.
#pragma once

#include "runtime/schedule/generators/generators.hpp"

#include <array>
#include <deque>

namespace troupe {

enum class arm : std::uint8_t { early, late };

/// Passes beyond the arm's microbatches are counted but not written: a pattern that needs more of them to be whole can
/// be written in full.
class v_list {
public:
  /// One of a rank's stages, and the microbatches that it works on.
  struct stage_work {
    std::uint32_t stage = 0;
    microbatch_range range;
  };

  /// In a V: rank r has stages r and 2p - 1 - r, each of which works on all microbatches.
  v_list(schedule& plan, std::uint32_t rank);
  v_list(schedule& plan, std::uint32_t rank, const stage_work& early, const stage_work& late);

  void forward(arm side);
  void backward_input(arm side);
  /// W of the stage's oldest I without one; nothing when there is none.
  void backward_weight(arm side);
  /// W of the rank's oldest I without one, of either stage; nothing when there is none.
  void oldest_weight();
  /// B. All I of the stage must have their W.
  void backward(arm side);
  /// F of one arm and B of the other, overlapped.
  void overlapped(arm forward_side, arm backward_side);

  std::uint32_t forwards(arm side) const { return arms_[index(side)].forward; }

private:
  struct pending {
    std::uint64_t turn = 0; ///< counts the rank's I, to tell which is older
    std::uint32_t microbatch = 0;
  };
  struct progress {
    stage_work work;
    std::uint32_t forward = 0;
    std::uint32_t input = 0;
    std::deque<pending> weights; ///< I that have no W yet, oldest first
  };

  static std::size_t index(arm side) { return static_cast<std::size_t>(side); }
  /// `pass` counts the arm's passes of this kind.
  void write(arm side, operation op, std::uint32_t pass);

  schedule& plan_;
  std::uint32_t rank_;
  std::array<progress, 2> arms_;
  std::uint64_t turns_ = 0;
};

} // namespace troupe
