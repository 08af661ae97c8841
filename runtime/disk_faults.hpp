// Failures of the disk that are made up, so that what a run does about real ones can be seen: by chaos and by tests.
#pragma once

#include <filesystem>

namespace troupe {

enum class disk_act { create, write, sync, rename };

/// Asked before each act by which checkpoints and decision logs reach the disk, from whatever thread does it.
class disk_faults {
public:
  disk_faults() = default;
  disk_faults(const disk_faults&) = delete;
  disk_faults& operator=(const disk_faults&) = delete;
  virtual ~disk_faults() = default;

  /// The errno that the act fails with; 0: it is done. A write that fails has written half of its bytes, as on a disk
  /// that fills up.
  virtual int fault(disk_act act, const std::filesystem::path& path) = 0;
};

} // namespace troupe
