// A snapshot that is kept on disk, so that it takes no memory.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/file_io.hpp"
#include "runtime/traffic.hpp"
#include "runtime/wire/wire_message.hpp"

#include <cstdint>
#include <filesystem>

namespace troupe {

/// The file has no name: it is gone with the process that keeps the snapshot, however that ends, and two runs may share
/// a directory. What is in it is what would be sent to another worker, checksums included.
class snapshot_file {
public:
  /// Makes the file in `directory`. Throws checkpoint_error when the disk refuses.
  snapshot_file(const rank_snapshot& taken, std::filesystem::path directory, disk_faults* faults = nullptr);

  /// The snapshot that was written, but for its purpose. Throws checkpoint_error when the file has anything else.
  rank_snapshot read() const;

private:
  void write(const rank_snapshot& taken, disk_faults* faults) const;

  std::filesystem::path directory_; ///< for messages
  file_descriptor descriptor_;
  wire_limits limits_; ///< that the snapshot is within
};

} // namespace troupe
