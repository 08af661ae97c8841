// Checkpoints: a directory of generations, each a manifest and one pair of safetensors files for each layer range. A
// checkpoint does not depend on the partition: any rank finds any layer in it.
#pragma once

#include "runtime/checkpoint_committer.hpp"
#include "runtime/parameter_source.hpp"
#include "runtime/part_writer.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/safetensors.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Writes a checkpoint in one process: a checkpoint_committer with a part_writer. Destroyed without commit it leaves no
/// file behind.
class checkpoint_writer {
public:
  /// As checkpoint_committer's.
  checkpoint_writer(const std::filesystem::path& directory, const run_spec& spec, std::uint64_t step,
                    const std::vector<std::string>& state_names, const std::string& versions = {},
                    disk_faults* faults = nullptr)
      : committer_(directory, spec, step, state_names, versions, faults), parts_(directory, step, state_names, faults) {
  }

  std::uint64_t step() const { return committer_.step(); }
  /// Writes one file pair for the layers of the snapshot (one pair for each contiguous run of layers). Throws
  /// checkpoint_error when a layer comes twice or the disk refuses.
  void add(const std::vector<layer_snapshot>& layers) { committer_.add(parts_.write(layers)); }
  /// Takes down files that another process has written with its own part_writer; see checkpoint_committer::add.
  void add_part(const std::vector<manifest_layers>& part) { committer_.add(part); }
  /// See checkpoint_committer::commit.
  std::filesystem::path commit(std::int64_t layer_count) { return committer_.commit(layer_count); }
  /// See checkpoint_committer::warning.
  const std::string& warning() const { return committer_.warning(); }

private:
  checkpoint_committer committer_;
  part_writer parts_;
};

/// A committed generation, verified: every file is there with the size and SHA-256 that the manifest names. Its files
/// stay open: a run may come back to the checkpoint that it began with after newer ones have taken its place on disk.
class checkpoint : public parameter_source {
public:
  /// Opens the newest undamaged generation below `directory`, which may also be one generation itself: then only that
  /// one counts. For each damaged one that was passed over, `warnings` gets a line that names it and what is wrong.
  /// Throws checkpoint_error when none is usable.
  static checkpoint open_latest(const std::filesystem::path& directory, std::vector<std::string>& warnings);

  /// Steps done when it was taken.
  std::uint64_t steps_done() const override { return steps_done_; }
  const run_spec& spec() const { return spec_; }
  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& state_names() const { return state_names_; }
  /// The versions_rule of the asynchronous schedule that it is of; empty of a synchronous one.
  const std::string& versions() const { return versions_; }
  const std::vector<std::string>& files() const { return files_; }
  void read(const std::string& parameter, tensor& value, std::span<tensor> state) const override;

  /// Throws checkpoint_error, naming the first field that differs with both values, unless a run of `spec` continues
  /// this checkpoint with the same result; see first_difference.
  void expect_same_run(const run_spec& spec) const;

private:
  std::filesystem::path path_;
  std::uint64_t steps_done_ = 0;
  run_spec spec_;
  std::vector<std::string> state_names_;
  std::string versions_;
  std::vector<std::string> files_;
  struct location {
    std::shared_ptr<const safetensors_file> weights, state;
  };
  std::map<std::string, location> where_; ///< by parameter name
};

} // namespace troupe
