#include "runtime/schedule/search/improve.hpp"
#include "runtime/schedule/search/list_timer.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

/// Sums of times are equal when they differ by less, in relative terms.
constexpr double rounding = 1e-12;
constexpr std::size_t near = 3;
constexpr std::size_t far = 20;

/// Takes the pass at `from` out of its list and puts it in at `to`.
struct shift {
  std::size_t from = 0;
  std::size_t to = 0;

  shift reversed() const { return {to, from}; }
};

void apply_shift(const shift& move, std::vector<pass_id>& list) {
  const auto at = [&](std::size_t place) { return list.begin() + static_cast<std::ptrdiff_t>(place); };
  if (move.from < move.to)
    std::rotate(at(move.from), at(move.from + 1), at(move.to + 1));
  else
    std::rotate(at(move.to), at(move.from), at(move.from + 1));
}

/// Whether `second` may run before `first`, which it follows now. Passes of one stage keep their order by kind, and F,
/// I, W of one microbatch keep theirs; the others wait for passes of other stages, which the timer sees.
bool may_swap(const pipeline_model& model, pass_id first, pass_id second) {
  if (model.stage_of(first) != model.stage_of(second))
    return true;
  return model.kind_of(first) != model.kind_of(second) && model.microbatch_of(first) != model.microbatch_of(second);
}

bool keeps_order(const pipeline_model& model, const std::vector<pass_id>& list, const shift& move) {
  const pass_id moved = list[move.from];
  for (std::size_t place = move.from + 1; place <= move.to; ++place)
    if (!may_swap(model, moved, list[place]))
      return false;
  for (std::size_t place = move.to; place < move.from; ++place)
    if (!may_swap(model, list[place], moved))
      return false;
  return true;
}

bool keeps_limit(const pipeline_model& model, const std::vector<pass_id>& list) {
  std::uint32_t held = 0;
  for (const pass_id pass : list) {
    const operation kind = model.kind_of(pass);
    if (kind == operation::forward && ++held > model.hold_limit())
      return false;
    if (kind == operation::backward_weight)
      --held;
  }
  return true;
}

/// How good lists are: of two with one makespan the one whose ranks are through earlier has more room for more moves.
struct rating {
  double makespan = 0.0;
  double sum_of_ends = 0.0;

  bool no_worse_than(const rating& other) const {
    const double slack = rounding * other.makespan;
    if (makespan < other.makespan - slack)
      return true;
    return makespan <= other.makespan + slack && sum_of_ends <= other.sum_of_ends + rounding * other.sum_of_ends;
  }
};

rating rate(list_timer& timer, const pass_lists& lists) {
  const double makespan = timer.run(lists);
  return {makespan, std::accumulate(timer.rank_ends().begin(), timer.rank_ends().end(), 0.0)};
}

/// A random place, and one before or behind it; nothing moves when that is beyond the list.
shift draw_shift(std::size_t size, dice& random) {
  const std::size_t from = random.below(size);
  const std::size_t distance = 1 + random.below(random.coin() ? near : far);
  if (random.coin())
    return {from, from + distance < size ? from + distance : from};
  return {from, distance <= from ? from - distance : from};
}

} // namespace

void move_passes(const pipeline_model& model, timed_pass_lists& best, const search_bound& bound, dice& random) {
  list_timer timer(model);
  rating now = rate(timer, best.lists);
  // What is refused before it is timed costs about a list, not all lists.
  for (std::uint64_t run = 0; run < bound.passes && now.makespan > bound.goal;) {
    std::vector<pass_id>& list = best.lists[random.below(model.ranks())];
    const shift move = draw_shift(list.size(), random);
    run += list.size();
    if (move.from == move.to || !keeps_order(model, list, move))
      continue;
    apply_shift(move, list);
    if (keeps_limit(model, list)) {
      run += model.passes();
      const rating moved = rate(timer, best.lists);
      if (moved.no_worse_than(now)) {
        now = moved;
        continue;
      }
    }
    apply_shift(move.reversed(), list);
  }
  best.makespan = now.makespan;
}

} // namespace troupe
