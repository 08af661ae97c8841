// Writes a rank's part of a checkpoint: the tensor files of its layers, and what the manifest says of them. It may run
// in another process than the one that commits the checkpoint, as long as both see the directory.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/manifest.hpp"
#include "runtime/traffic.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace troupe {

class part_writer {
public:
  /// Of the generation of `step` that a checkpoint_committer has begun below `directory`. `faults` may be null.
  part_writer(const std::filesystem::path& directory, std::uint64_t step, std::vector<std::string> state_names,
              disk_faults* faults = nullptr);

  /// Writes one file pair for each contiguous run of layers, and returns once the disk has them. Throws
  /// checkpoint_error when nobody has begun the generation there, or the disk refuses.
  std::vector<manifest_layers> write(const std::vector<layer_snapshot>& layers) const;

private:
  using layer_run = std::vector<const layer_snapshot*>;
  manifest_layers write_run(const layer_run& run) const;

  std::filesystem::path unfinished_;
  std::vector<std::string> state_names_;
  disk_faults* faults_;
};

/// Throws checkpoint_error, with what was expected, unless there is a directory.
void expect_shared_directory(const std::filesystem::path& directory,
                             const char* expected =
                                 "the one that the run's coordinator has made, as checkpoint.directory "
                                 "is one place for all");

} // namespace troupe
