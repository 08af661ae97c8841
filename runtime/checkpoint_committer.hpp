// Makes a checkpoint out of parts: begins a generation, takes down what has been written for it, and commits it when
// all layers are there.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/manifest.hpp"
#include "runtime/owned_path.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// Nothing of the generation can be taken for a checkpoint before commit(); destroyed without commit it leaves no file
/// behind. On disk: temp directory, files, fsync, rename, fsync of the directory.
class checkpoint_committer {
public:
  /// Creates DIR and the temp directory, in which part_writer then finds its place. Throws checkpoint_error naming the
  /// directory and the system's reason. `versions` is the versions_rule of an asynchronous schedule; `faults` may be
  /// null.
  checkpoint_committer(const std::filesystem::path& directory, const run_spec& spec, std::uint64_t step,
                       std::vector<std::string> state_names, std::string versions = {}, disk_faults* faults = nullptr);
  ~checkpoint_committer();
  checkpoint_committer(const checkpoint_committer&) = delete;
  checkpoint_committer& operator=(const checkpoint_committer&) = delete;

  std::uint64_t step() const { return content_.step; }
  /// Takes down file pairs that are in the directory. They may be another process's, so that nothing is taken for
  /// granted: throws checkpoint_error when a file is missing or has another name than its layers give or another size
  /// than said, or when a layer or a parameter comes twice.
  void add(const std::vector<manifest_layers>& part);
  /// Writes the manifest, makes the generation visible and removes generations beyond spec.checkpoint.keep. Throws
  /// checkpoint_error unless layers 0..layer_count-1 have each been added once. Returns the generation's directory.
  std::filesystem::path commit(std::int64_t layer_count);
  /// After commit(): why older generations could not be removed; empty when nothing was in the way. The next commit
  /// tries again.
  const std::string& warning() const { return warning_; }

private:
  std::string where() const;
  void expect_new(const manifest_layers& one);
  void expect_file(const manifest_file& one) const;
  void expect_complete(std::int64_t layer_count) const;

  std::filesystem::path directory_;
  std::filesystem::path unfinished_; ///< empty once committed
  owned_path ours_;                  ///< that directory
  std::uint32_t keep_;
  disk_faults* faults_;
  std::string warning_;
  manifest content_;
  std::set<std::string> parameters_; ///< of all layers so far
};

/// Makes the directory of a run's checkpoints, if it has one, so that a place where there can be none ends the run
/// before it begins. Throws checkpoint_error.
void prepare_checkpoints(const run_spec& spec);

} // namespace troupe
