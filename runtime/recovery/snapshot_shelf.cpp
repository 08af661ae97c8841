#include "runtime/recovery/snapshot_shelf.hpp"

#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace troupe {

snapshot_shelf::snapshot_shelf(std::filesystem::path directory, disk_faults* faults)
    : directory_(std::move(directory)), faults_(faults) {}

std::string snapshot_shelf::put(std::shared_ptr<const rank_snapshot> taken) {
  if (taken->steps_done < recovery_line_)
    return {};
  const std::pair place(taken->steps_done, taken->rank);
  std::string problem;
  held_.insert_or_assign(place, hold(std::move(taken), problem));
  if (problem.empty() || std::exchange(told_, true))
    return {};
  return problem;
}

snapshot_shelf::entry snapshot_shelf::hold(std::shared_ptr<const rank_snapshot> taken, std::string& problem) {
  const incarnation life = taken->source_incarnation;
  if (!directory_.empty())
    try {
      return {life, std::make_shared<const snapshot_file>(*taken, directory_, faults_)};
    } catch (const checkpoint_error& refusal) {
      problem = fmt::format("{}; snapshots that the disk refuses are kept in memory", refusal.what());
    }
  return {life, std::move(taken)};
}

std::shared_ptr<const rank_snapshot> snapshot_shelf::find(std::uint32_t rank, std::uint64_t steps_done) const {
  const auto found = held_.find({steps_done, rank});
  if (found == held_.end())
    return nullptr;
  if (const auto* const file = std::get_if<std::shared_ptr<const snapshot_file>>(&found->second.content))
    return std::make_shared<const rank_snapshot>((*file)->read());
  return std::get<std::shared_ptr<const rank_snapshot>>(found->second.content);
}

std::optional<incarnation> snapshot_shelf::life_of(std::uint32_t rank, std::uint64_t steps_done) const {
  const auto found = held_.find({steps_done, rank});
  return found == held_.end() ? std::nullopt : std::optional(found->second.life);
}

void snapshot_shelf::drop_later(std::uint64_t steps_done) {
  std::erase_if(held_, [&](const auto& one) { return one.first.first > steps_done; });
}

void snapshot_shelf::keep_in(std::filesystem::path directory, disk_faults* faults) {
  directory_ = std::move(directory);
  faults_ = faults;
  told_ = false;
}

std::vector<held_snapshot> snapshot_shelf::content() const {
  std::vector<held_snapshot> found;
  for (const auto& [place, one] : held_)
    found.push_back({.rank = place.second, .steps_done = place.first});
  return found;
}

void snapshot_shelf::trim(std::uint64_t recovery_line) {
  recovery_line_ = std::max(recovery_line_, recovery_line);
  held_.erase(held_.begin(), held_.lower_bound({recovery_line_, 0}));
}

void prepare_shelf(const run_spec& spec) {
  if (!spec.faults.snapshot_directory.empty())
    make_directory(spec.faults.snapshot_directory, error_kind::checkpoint);
}

} // namespace troupe
