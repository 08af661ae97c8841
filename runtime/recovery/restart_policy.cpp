#include "runtime/recovery/restart_policy.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

namespace troupe {

restart_policy::restart_policy(std::uint32_t ranks, std::uint32_t max_restarts, double window_seconds)
    : restarts_(ranks), max_restarts_(max_restarts), window_seconds_(window_seconds) {}

restart_policy restart_policy::of_scheduler(std::uint32_t max_restarts, double window_seconds) {
  restart_policy policy(1, max_restarts, window_seconds);
  policy.name_ = "the scheduler";
  return policy;
}

bool restart_policy::allows(std::uint32_t rank, double now_seconds) {
  TROUPE_CHECK(rank < restarts_.size(), "the death of a rank that the run does not have");
  std::deque<double>& recent = restarts_[rank];
  while (!recent.empty() && now_seconds - recent.front() > window_seconds_)
    recent.pop_front();
  if (recent.size() >= max_restarts_)
    return false;
  recent.push_back(now_seconds);
  return true;
}

std::string restart_policy::refusal(std::uint32_t rank, const std::string& cause) const {
  const std::size_t deaths = restarts_[rank].size() + 1;
  return fmt::format("{} died {} time{} within {:g} s, expected at most {} (faults.max_restarts); last cause: {}",
                     name_.empty() ? fmt::format("rank {}", rank) : name_, deaths, deaths == 1 ? "" : "s",
                     window_seconds_, max_restarts_, cause);
}

} // namespace troupe
