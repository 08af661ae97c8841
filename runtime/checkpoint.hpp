// Checkpoints: a directory of generations, each a manifest and one pair of safetensors files for each layer range. A
// checkpoint does not depend on the partition: any rank finds any layer in it.
#pragma once

#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

/// Collects the snapshots of one step and commits them as one generation. Nothing of it can be taken for a checkpoint
/// before commit(); destroyed without commit it leaves no file behind. On disk: temp directory, files, fsync, rename,
/// fsync of the directory.
class checkpoint_writer {
public:
  /// Creates DIR and the temp directory. Throws checkpoint_error naming the directory and the system's reason.
  /// `versions` is the versions_rule of an asynchronous schedule.
  checkpoint_writer(const std::filesystem::path& directory, const run_spec& spec, std::uint64_t step,
                    std::vector<std::string> state_names, std::string versions = {});
  ~checkpoint_writer();
  checkpoint_writer(const checkpoint_writer&) = delete;
  checkpoint_writer& operator=(const checkpoint_writer&) = delete;

  /// Writes one file pair for the layers of the snapshot (one pair for each contiguous run of layers). Throws
  /// checkpoint_error when a layer comes twice or the disk refuses.
  void add(const std::vector<layer_snapshot>& layers);
  /// Writes the manifest, makes the generation visible and removes generations beyond spec.checkpoint.keep. Throws
  /// checkpoint_error unless layers 0..layer_count-1 have each been added once. Returns the generation's directory.
  std::filesystem::path commit(std::int64_t layer_count);

private:
  struct state;
  std::unique_ptr<state> state_;
};

/// A committed generation, verified: every file is there with the size and SHA-256 that the manifest names.
class checkpoint {
public:
  /// Opens the newest undamaged generation below `directory`, which may also be one generation itself: then only that
  /// one counts. For each damaged one that was passed over, `warnings` gets a line that names it and what is wrong.
  /// Throws checkpoint_error when none is usable.
  static checkpoint open_latest(const std::filesystem::path& directory, std::vector<std::string>& warnings);

  /// Steps done when it was taken.
  std::uint64_t steps_done() const { return steps_done_; }
  const run_spec& spec() const { return spec_; }
  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& state_names() const { return state_names_; }
  /// The versions_rule of the asynchronous schedule that it is of; empty of a synchronous one.
  const std::string& versions() const { return versions_; }
  const std::vector<std::string>& files() const { return files_; }
  /// Reads value and optimizer state of one parameter; with no `state`, the value alone. Throws checkpoint_error when
  /// it is missing or a shape differs; both shapes are named.
  void read(const std::string& parameter, tensor& value, std::span<tensor> state) const;

  /// Throws checkpoint_error, naming the first field that differs with both values, unless a run of `spec` continues
  /// this checkpoint with the same result: model, data, training, optimizer, pipeline.threads_per_stage, pipeline.wire
  /// and, when that is bf16, the cuts between stages must be equal; data.path (the file may have moved; its content is
  /// not compared), training.steps (the learning rate depends on optimizer.decay_steps alone), training.stop_after, and
  /// all other sections are free.
  void expect_same_run(const run_spec& spec) const;

private:
  std::filesystem::path path_;
  std::uint64_t steps_done_ = 0;
  run_spec spec_;
  std::vector<std::string> state_names_;
  std::string versions_;
  std::vector<std::string> files_;
  struct location {
    std::string weights_file, state_file;
  };
  std::map<std::string, location> where_; ///< by parameter name
};

} // namespace troupe
