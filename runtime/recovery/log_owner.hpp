// Who writes a decision log: one process. Who goes on with a run writes its log anew under the same name, so that a
// process that had it before and still lives, such as one that was frozen, finds another file there.
#pragma once

#include "runtime/file_io.hpp"

#include <filesystem>
#include <memory>

namespace troupe {

class log_owner {
public:
  /// What is at `path` now is ours. Throws checkpoint_error when it cannot be opened.
  void take(const std::filesystem::path& path);
  /// Throws checkpoint_error when another process has put its own in place of ours. Where there is none, or we have
  /// taken none yet, nobody has.
  void expect_own(const std::filesystem::path& path) const;

private:
  std::unique_ptr<file_descriptor> ours_; ///< open, so that no other file gets its number
};

} // namespace troupe
