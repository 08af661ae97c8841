#include "runtime/schedule/check.hpp"

#include "model/error.hpp"
#include "runtime/schedule/asynchronous.hpp"
#include "runtime/schedule/check_versions.hpp"
#include "runtime/schedule/needs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace troupe {

namespace {

[[noreturn]] void refuse(const schedule& plan, const std::string& message) {
  throw spec_error(fmt::format("schedule '{}': {}", plan.name, message));
}

/// Two copies of the same stages, on different ranks, each for half of the microbatches.
void check_copies(const schedule& plan) {
  if (plan.copies() > 2 || plan.placements[1].size() != plan.stages() || plan.microbatches % 2 != 0)
    refuse(plan, fmt::format("found {} copies, {} and {} stages, and {} microbatches, expected at most 2 copies of as "
                             "many stages, and an even number of microbatches",
                             plan.copies(), plan.stages(), plan.placements[1].size(), plan.microbatches));
  for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
    if (plan.placements[0][stage] == plan.placements[1][stage])
      refuse(plan, fmt::format("found both copies of stage {} on rank {}, expected them on two ranks", stage,
                               plan.placements[0][stage]));
}

void check_sizes(const schedule& plan) {
  if (plan.ranks == 0 || plan.microbatches == 0 || plan.stages() == 0)
    refuse(plan, fmt::format("found {} ranks, {} stages and {} microbatches, expected at least 1 of each", plan.ranks,
                             plan.stages(), plan.microbatches));
  if (plan.actions.size() != plan.ranks)
    refuse(plan, fmt::format("found {} lists of actions, expected {}, one a rank", plan.actions.size(), plan.ranks));
  if (plan.copies() > 1)
    check_copies(plan);
  std::vector<bool> has_stage(plan.ranks, false);
  for (const std::vector<std::uint32_t>& placement : plan.placements)
    for (std::uint32_t stage = 0; stage < plan.stages(); ++stage) {
      if (placement[stage] >= plan.ranks)
        refuse(plan,
               fmt::format("found stage {} on rank {}, expected a rank below {}", stage, placement[stage], plan.ranks));
      has_stage[placement[stage]] = true;
    }
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    if (!has_stage[rank])
      refuse(plan, fmt::format("rank {} has no stage, expected at least one", rank));
}

/// A stage of the rank: which copy of it, and that copy's microbatches, [first, first + group_size).
struct owned_stage {
  std::uint32_t stage = 0;
  std::uint32_t first = 0;
};

/// By rank, its stages ascending.
std::vector<std::vector<owned_stage>> stages_by_rank(const schedule& plan) {
  std::vector<std::vector<owned_stage>> owned(plan.ranks);
  for (std::uint32_t stage = 0; stage < plan.stages(); ++stage)
    for (std::uint32_t copy = 0; copy < plan.copies(); ++copy)
      owned[plan.placements[copy][stage]].push_back({stage, copy * plan.group_size()});
  return owned;
}

/// "2 microbatches", or which of them when there are two copies.
std::string microbatches_of(const schedule& plan, std::uint32_t first) {
  return plan.copies() == 1 ? fmt::format("{} microbatches", plan.microbatches)
                            : fmt::format("microbatches {} to {}", first, first + plan.group_size() - 1);
}

/// Every action names a stage and a microbatch that exist, and is in the list of the stage's own rank.
void check_places(const schedule& plan) {
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : plan.actions[rank]) {
      if (one.stage >= plan.stages())
        refuse(plan, fmt::format("rank {} runs {}, expected a stage below {}", rank, to_string(one), plan.stages()));
      if (one.microbatch >= plan.microbatches)
        refuse(plan,
               fmt::format("rank {} runs {}, expected a microbatch below {}", rank, to_string(one), plan.microbatches));
      const std::uint32_t owner = plan.rank_of(one.stage, one.microbatch);
      if (owner != rank)
        refuse(plan, fmt::format("rank {} runs {}, expected it on rank {}, which has stage {}{}", rank, to_string(one),
                                 owner, one.stage,
                                 plan.copies() == 1 ? "" : fmt::format(" of copy {}", plan.copy_of(one.microbatch))));
    }
}

std::uint8_t bit(operation op) {
  return static_cast<std::uint8_t>(1U << static_cast<unsigned>(op));
}

bool overlap(std::uint8_t bits, std::uint8_t others) {
  return (bits & others) != 0;
}

/// The operation that is missing from those in `bits`, if any.
std::optional<operation> missing_from(std::uint8_t bits) {
  const auto has = [&](operation op) { return overlap(bits, bit(op)); };
  if (!has(operation::forward))
    return operation::forward;
  if (has(operation::backward))
    return std::nullopt;
  const bool input = has(operation::backward_input);
  const bool weight = has(operation::backward_weight);
  if (!input && !weight)
    return operation::backward;
  if (!input)
    return operation::backward_input;
  return weight ? std::nullopt : std::optional(operation::backward_weight);
}

/// Adds `one` to `bits`, the operations that its stage runs on its microbatch.
void mark(const schedule& plan, std::uint32_t rank, const action& one, std::uint8_t& bits) {
  if (overlap(bits, bit(one.op)))
    refuse(plan, fmt::format("rank {} runs {} twice, expected once", rank, to_string(one)));
  bits |= bit(one.op);
  const auto halves = static_cast<std::uint8_t>(bit(operation::backward_input) | bit(operation::backward_weight));
  if (overlap(bits, bit(operation::backward)) && overlap(bits, halves)) {
    const operation half =
        overlap(bits, bit(operation::backward_input)) ? operation::backward_input : operation::backward_weight;
    refuse(plan, fmt::format("rank {} runs both {} and {}, expected either B, or I and W", rank,
                             to_string({one.stage, operation::backward, one.microbatch}),
                             to_string({one.stage, half, one.microbatch})));
  }
}

/// Every stage of the rank runs F and (B, or I and W) once for each microbatch of its copy. Memory is bounded by the
/// length of the rank's list, whatever number of microbatches the schedule claims: of any stages * (actions / stages +
/// 1) pairs of stage and microbatch one has no action, so a table of that many finds something missing if it is too
/// small.
void check_complete(const schedule& plan, std::uint32_t rank, const std::vector<owned_stage>& stages) {
  const std::vector<action>& list = plan.actions[rank];
  const std::size_t columns = std::min<std::size_t>(plan.group_size(), list.size() / stages.size() + 1);
  std::vector<std::uint8_t> table(stages.size() * columns, 0);
  for (const action& one : list) {
    const auto row = std::ranges::lower_bound(stages, one.stage, {}, &owned_stage::stage);
    const std::uint32_t column = one.microbatch - row->first;
    if (column < columns)
      mark(plan, rank, one, table[static_cast<std::size_t>(row - stages.begin()) * columns + column]);
  }
  for (std::size_t row = 0; row < stages.size(); ++row)
    for (std::size_t column = 0; column < columns; ++column)
      if (const auto missing = missing_from(table[row * columns + column]))
        refuse(plan, fmt::format("rank {} lacks {}, expected F and (B, or I and W) for each of {}", rank,
                                 to_string({stages[row].stage, *missing,
                                            stages[row].first + static_cast<std::uint32_t>(column)}),
                                 microbatches_of(plan, stages[row].first)));
}

/// Runs the lists without times: each rank has a pointer into its list and stops where a need is not met.
class dry_run {
public:
  explicit dry_run(const schedule& plan)
      : plan_(plan), given_(plan.stages(), plan.microbatches, 0), next_(plan.ranks, 0) {}

  /// Throws spec_error when some rank would wait for ever.
  void run() {
    std::vector<std::uint32_t> runnable(plan_.ranks);
    std::iota(runnable.rbegin(), runnable.rend(), 0U);
    while (!runnable.empty()) {
      const std::uint32_t rank = runnable.back();
      runnable.pop_back();
      run_rank(rank, runnable);
    }
    for (std::uint32_t rank = 0; rank < plan_.ranks; ++rank)
      if (!at_end(rank))
        refuse(plan_, describe_stall(rank));
  }

private:
  bool at_end(std::uint32_t rank) const { return next_[rank] == plan_.actions[rank].size(); }
  const action& head(std::uint32_t rank) const { return plan_.actions[rank][next_[rank]]; }

  std::optional<pass_result> unmet_need(const action& one) const {
    if (const auto own = taken_from_own_stage(one); own && given_[*own] == 0)
      return own;
    if (const auto other = taken_from_neighbour(one, plan_.stages()); other && given_[*other] == 0)
      return other;
    return std::nullopt;
  }

  /// Runs the rank as far as it gets; appends the ranks that stood waiting for what it gave.
  void run_rank(std::uint32_t rank, std::vector<std::uint32_t>& runnable) {
    for (; !at_end(rank) && !unmet_need(head(rank)); ++next_[rank]) {
      const auto given = given_by(head(rank));
      if (!given)
        continue;
      given_[*given] = 1;
      const auto taker = taker_of(*given, plan_.stages());
      if (!taker)
        continue;
      const std::uint32_t other = plan_.rank_of(*taker, given->microbatch);
      if (other != rank && !at_end(other) && taken_from_neighbour(head(other), plan_.stages()) == given)
        runnable.push_back(other);
    }
  }

  std::uint32_t waits_for(std::uint32_t rank) const {
    const pass_result need = *unmet_need(head(rank));
    return plan_.rank_of(need.stage, need.microbatch);
  }

  /// The action that will give `need`: the lists are complete, so it is in its rank's list, not before the pointer.
  action giver_of(const pass_result& need) const {
    const std::uint32_t rank = plan_.rank_of(need.stage, need.microbatch);
    const auto& list = plan_.actions[rank];
    return *std::find_if(list.begin() + static_cast<std::ptrdiff_t>(next_[rank]), list.end(),
                         [&](const action& one) { return given_by(one) == need; });
  }

  std::string describe_wait(std::uint32_t rank) const {
    const action giver = giver_of(*unmet_need(head(rank)));
    const std::uint32_t other = waits_for(rank);
    std::string why = fmt::format("which rank {} has behind {}", other, to_string(head(other)));
    if (other == rank)
      why = "which comes later in its own list";
    else if (giver == head(other))
      why = fmt::format("where rank {} waits", other);
    return fmt::format("rank {} waits at {} for {}, {}", rank, to_string(head(rank)), to_string(giver), why);
  }

  /// Every stalled rank waits for a stalled one, so following the waits from any of them ends in a circle: that is the
  /// fault, the other ranks just wait for it.
  std::string describe_stall(std::uint32_t stalled) const {
    std::uint32_t first = stalled;
    for (std::uint32_t hop = 0; hop < plan_.ranks; ++hop)
      first = waits_for(first);
    std::vector<std::uint32_t> circle{first};
    for (std::uint32_t rank = waits_for(first); rank != first; rank = waits_for(rank))
      circle.push_back(rank);
    std::rotate(circle.begin(), std::min_element(circle.begin(), circle.end()), circle.end());
    constexpr std::size_t shown = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min(shown, circle.size()); ++i)
      text += (i == 0 ? "" : "; ") + describe_wait(circle[i]);
    return circle.size() > shown ? text + fmt::format("; and {} more ranks in a circle", circle.size() - shown) : text;
  }

  const schedule& plan_;
  result_table<std::uint8_t> given_; ///< 1 once the pass has run
  std::vector<std::size_t> next_;    ///< by rank: the action it stands at
};

bool can_overlap(const action& first, const action& second) {
  const bool backward = second.op == operation::backward || second.op == operation::backward_input;
  return first.op == operation::forward && backward && first.stage != second.stage;
}

void check_pairs(const schedule& plan) {
  if (!plan.overlapped.empty() && plan.overlapped.size() != plan.ranks)
    refuse(plan, fmt::format("found {} lists of overlapped pairs, expected none or {}, one a rank",
                             plan.overlapped.size(), plan.ranks));
  for (std::uint32_t rank = 0; rank < plan.overlapped.size(); ++rank) {
    const std::vector<action>& list = plan.actions[rank];
    std::size_t free = 0; // a complete list has at least two actions
    for (const std::uint32_t place : plan.overlapped[rank]) {
      if (place < free || place > list.size() - 2)
        refuse(plan,
               fmt::format("rank {} has an overlapped pair at place {}, expected {} to {}, behind the pair before",
                           rank, place, free, list.size() - 2));
      if (!can_overlap(list[place], list[place + 1]))
        refuse(plan, fmt::format("rank {} overlaps {} and {}, expected F of one stage and I or B of another", rank,
                                 to_string(list[place]), to_string(list[place + 1])));
      free = std::size_t{place} + 2;
    }
  }
}

/// Peaks and order of one rank's list; a stash lives from F until W or B.
void add_facts(const schedule& plan, std::uint32_t rank, const std::vector<owned_stage>& stages,
               schedule_facts& facts) {
  std::vector<std::uint32_t> held(plan.stages(), 0);
  std::vector<std::uint32_t> next_weight(plan.stages(), 0);
  for (const owned_stage& one : stages)
    next_weight[one.stage] = one.first;
  std::uint32_t held_by_rank = 0;
  std::uint32_t activations = 0;
  for (const action& one : plan.actions[rank]) {
    if (one.op == operation::forward) {
      facts.peak_by_stage[one.stage] = std::max(facts.peak_by_stage[one.stage], ++held[one.stage]);
      facts.peak_by_rank[rank] = std::max(facts.peak_by_rank[rank], ++held_by_rank);
      facts.activations_by_rank[rank] = std::max(facts.activations_by_rank[rank], ++activations);
      continue;
    }
    if (one.op != operation::backward_weight)
      --activations;
    if (one.op != operation::backward_input) {
      --held[one.stage];
      --held_by_rank;
      facts.canonical = facts.canonical && one.microbatch == next_weight[one.stage]++;
    }
  }
}

/// Of a schedule whose steps do not run into one another.
schedule_facts check_one_step(const schedule& plan) {
  check_sizes(plan);
  check_places(plan);
  const std::vector<std::vector<owned_stage>> stages = stages_by_rank(plan);
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    check_complete(plan, rank, stages[rank]);
  dry_run(plan).run();
  check_pairs(plan);

  schedule_facts facts;
  facts.peak_by_stage.assign(plan.stages(), 0);
  facts.peak_by_rank.assign(plan.ranks, 0);
  facts.activations_by_rank.assign(plan.ranks, 0);
  facts.versions_by_rank.assign(plan.ranks, 1);
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    add_facts(plan, rank, stages[rank], facts);
  return facts;
}

} // namespace

schedule_facts check_schedule(const schedule& plan) {
  schedule_facts facts = check_one_step(plan);
  if (!plan.asynchronous)
    return facts;
  check_asynchrony(plan);
  const schedule joined = unrolled(plan, steps_to_check(plan));
  facts = check_one_step(joined);
  facts.versions_by_rank = check_versions(plan, joined);
  facts.canonical = false;
  return facts;
}

} // namespace troupe
