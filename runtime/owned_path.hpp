// A file or directory that this process has made, and that another one may put its own in place of: who goes on with a
// run makes what it writes anew under the same names. So a process that had them before and still lives, such as one
// that was frozen, can find out.
#pragma once

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <filesystem>
#include <memory>

namespace troupe {

class owned_path {
public:
  /// What is at `path` now is ours. Throws when it cannot be opened.
  void take(const std::filesystem::path& path, error_kind kind);
  /// The same of an open file, which came to be at `path`.
  void take(const file_descriptor& file, const std::filesystem::path& path, error_kind kind);
  /// Whether another process has put its own in place of ours. Where there is nothing, or we have taken nothing yet,
  /// nobody has.
  bool lost_to_another(const std::filesystem::path& path) const;

private:
  std::unique_ptr<file_descriptor> ours_; ///< open, so that nothing else gets its number
};

} // namespace troupe
