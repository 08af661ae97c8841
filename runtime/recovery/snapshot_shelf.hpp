// The newest snapshots of ranks, kept in memory or on disk.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/recovery/held_state.hpp"
#include "runtime/recovery/snapshot_file.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe {

/// A copy has the same snapshots, and nothing is copied but where they are.
class snapshot_shelf {
public:
  /// Keeps snapshots in memory, or, when a directory is given, in files of it; see snapshot_file.
  explicit snapshot_shelf(std::filesystem::path directory = {}, disk_faults* faults = nullptr);

  /// Replaces one of the same rank and step. One from before the recovery line is not wanted any more. When the disk
  /// refuses the snapshot is kept in memory, and the first time this is what is to be said of it; else empty.
  std::string put(std::shared_ptr<const rank_snapshot> taken);
  /// Null when it is not here. Throws checkpoint_error when the disk has not kept what was written.
  std::shared_ptr<const rank_snapshot> find(std::uint32_t rank, std::uint64_t steps_done) const;
  /// The incarnation of which it was taken; nothing when it is not here.
  std::optional<incarnation> life_of(std::uint32_t rank, std::uint64_t steps_done) const;
  /// No rank restarts from fewer than so many steps done.
  void trim(std::uint64_t recovery_line);
  /// Those of more steps done are not wanted any more.
  void drop_later(std::uint64_t steps_done);
  /// From now on, and for another run, which is told anew of refusals; what is here stays where it is.
  void keep_in(std::filesystem::path directory, disk_faults* faults = nullptr);
  /// What is here, by steps done and rank.
  std::vector<held_snapshot> content() const;
  std::size_t size() const { return held_.size(); }

private:
  struct entry {
    incarnation life = 1;
    std::variant<std::shared_ptr<const rank_snapshot>, std::shared_ptr<const snapshot_file>> content;
  };
  entry hold(std::shared_ptr<const rank_snapshot> taken, std::string& problem);

  std::filesystem::path directory_; ///< empty: in memory
  disk_faults* faults_;
  bool told_ = false;                                             ///< that the disk refuses
  std::map<std::pair<std::uint64_t, std::uint32_t>, entry> held_; ///< by steps done and rank
  std::uint64_t recovery_line_ = 0;
};

/// Makes the directory that a run's snapshots are to be kept in, if there is to be one. Throws checkpoint_error when
/// that is not possible.
void prepare_shelf(const run_spec& spec);

} // namespace troupe
