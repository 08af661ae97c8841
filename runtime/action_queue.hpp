// Which action of its list a rank runs next: the list's first, or, while the input of that one is late, a later one
// that may overtake it.
#pragma once

#include "runtime/schedule/action.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace troupe {

/// fixed: a rank waits for the next action of its list. reactive: meanwhile it runs a later one that is ready.
enum class dispatch_mode { fixed, reactive };

/// Stashed microbatches that a rank never exceeds: the peaks of its list (schedule_facts), or more.
struct stash_bounds {
  std::vector<std::uint32_t> by_stage; ///< of all stages
  std::uint32_t by_rank = 0;           ///< over all stages of the rank
};

/// What is left of a rank's list in one step.
///
/// With dispatch_mode::reactive an action may overtake those before it if
/// (a) none of them is of its own stage and either of its own kind (F; I; W or B) or of its own microbatch, so that a
///     stage adds its gradients in the list's order and no action comes before its own F or I; and,
/// (b) being an F, the stash that it begins to hold now instead of at its place fits the bounds at every place between.
///     I holds as much as before, W and B release earlier.
///
/// Why no rank waits for ever: what ran had its inputs, so taking it out of an order in which all lists can run (the
/// checker found one) leaves such an order of what is left. Its first action is the first of what is left of some
/// rank's list and has its inputs, and a rank runs that one whatever else it could run. By (b) the bounds allow it, as
/// they hold for what is left of each list, in the list's order, after every overtaking.
class action_queue {
public:
  /// How far ahead of the list's first action left a rank looks, in places of the list.
  static constexpr std::size_t lookahead = 64;

  explicit action_queue(stash_bounds bounds) : bounds_(std::move(bounds)), held_(bounds_.by_stage.size(), 0) {}

  /// Begins a step. `list` keeps the bounds if run in its own order.
  void begin(std::vector<action> list, dispatch_mode mode);
  /// True when nothing is left.
  bool empty() const { return first_ == list_.size(); }
  /// The action to run now, or null when the rank must wait. `ready(action)` tells whether what it takes from
  /// neighbouring stages is here.
  template <class Ready>
  const action* next(const Ready& ready) const {
    if (empty() || ready(list_[first_]))
      return empty() ? nullptr : &list_[first_];
    const std::size_t end = mode_ == dispatch_mode::fixed ? first_ : std::min(list_.size(), first_ + lookahead);
    for (std::size_t place = first_ + 1; place < end; ++place)
      if (!finished_[place] && ready(list_[place]) && may_overtake(place))
        return &list_[place];
    return nullptr;
  }
  /// Whether `one`, which next() gave, would overtake others.
  bool overtakes(const action& one) const { return &one != &list_[first_]; }
  /// `done`, which next() gave, has run.
  void finish(const action& done);

private:
  bool may_overtake(std::size_t place) const;

  stash_bounds bounds_;
  std::vector<action> list_;
  dispatch_mode mode_ = dispatch_mode::fixed;
  std::size_t first_ = 0;           ///< the first place that is left
  std::vector<bool> finished_;      ///< by place
  std::vector<std::uint32_t> held_; ///< by stage: stashed microbatches; kept up in reactive mode
  std::uint32_t held_by_rank_ = 0;
};

} // namespace troupe
