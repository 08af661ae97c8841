#include "runtime/schedule/check_versions.hpp"

#include "model/error.hpp"
#include "runtime/schedule/asynchronous.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

namespace {

[[noreturn]] void refuse_versions(const schedule& plan, const std::string& message) {
  throw spec_error(fmt::format("schedule '{}': {}", plan.name, message));
}

void expect_count(const schedule& plan, const char* what, std::size_t found, std::size_t expected) {
  if (found != expected)
    refuse_versions(plan, fmt::format("{}: found {} numbers, expected {}", what, found, expected));
}

/// Of the actions that run across the seam of two steps.
void check_seam(const schedule& plan, std::uint32_t rank) {
  const std::vector<action>& list = plan.actions[rank];
  const std::size_t ahead = plan.asynchronous->ahead[rank];
  if (ahead >= plan.microbatches)
    refuse_versions(plan,
                    fmt::format("rank {} runs {} forward passes ahead, expected fewer than the step's {} microbatches",
                                rank, ahead, plan.microbatches));
  const auto seam = static_cast<std::ptrdiff_t>(ahead);
  const auto is_forward = [](const action& one) { return one.op == operation::forward; };
  if (const auto other = std::find_if_not(list.begin(), list.begin() + seam, is_forward); other != list.begin() + seam)
    refuse_versions(plan,
                    fmt::format("rank {} has {} among its first {} actions, expected forward passes, which run ahead",
                                rank, to_string(*other), ahead));
  if (const auto other = std::find_if(list.end() - seam, list.end(), is_forward); other != list.end())
    refuse_versions(plan, fmt::format("rank {} has {} among its last {} actions, expected backward passes", rank,
                                      to_string(*other), ahead));
}

/// What a walk through one rank's joined list knows of one stage.
struct stage_walk {
  std::uint64_t weighted = 0; ///< microbatches whose gradients were added
  std::uint64_t updates = 0;
};

} // namespace

std::uint32_t steps_to_check(const schedule& plan) {
  return 3 + *std::ranges::max_element(plan.asynchronous->lag) / plan.microbatches;
}

void check_asynchrony(const schedule& plan) {
  const asynchrony& rule = *plan.asynchronous;
  expect_count(plan, "lag", rule.lag.size(), plan.stages());
  expect_count(plan, "ahead", rule.ahead.size(), plan.ranks);
  if (rule.update_every == 0 || plan.microbatches % rule.update_every != 0)
    refuse_versions(plan, fmt::format("update_every: found {}, expected a divisor of the step's {} microbatches",
                                      rule.update_every, plan.microbatches));
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    check_seam(plan, rank);
}

std::vector<std::uint32_t> check_versions(const schedule& plan, const schedule& joined) {
  const asynchrony& rule = *plan.asynchronous;
  std::vector<std::uint32_t> held(plan.ranks, 1);
  std::vector<stage_walk> stages(plan.stages());
  for (std::uint32_t rank = 0; rank < plan.ranks; ++rank)
    for (const action& one : joined.actions[rank]) {
      stage_walk& stage = stages[one.stage];
      const std::uint64_t needed = weights_version(rule, one.stage, one.microbatch);
      if (needed > stage.updates)
        refuse_versions(
            plan, fmt::format("rank {} runs {} (of all steps), which needs the weights after {} updates, found {} "
                              "done by then",
                              rank, to_string(one), needed, stage.updates));
      if (one.op != operation::backward && one.op != operation::backward_weight)
        continue;
      if (one.microbatch != stage.weighted)
        refuse_versions(
            plan, fmt::format("rank {} runs {} (of all steps), expected microbatch {} to be the next whose gradient "
                              "is added, as updates cannot wait",
                              rank, to_string(one), stage.weighted));
      stage.updates = ++stage.weighted / rule.update_every;
      const std::uint64_t oldest = weights_version(rule, one.stage, stage.weighted);
      held[rank] = std::max(held[rank], static_cast<std::uint32_t>(stage.updates - oldest + 1));
    }
  return held;
}

} // namespace troupe
