#include "runtime/recovery/log_owner.hpp"

#include "model/error.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace troupe {

void log_owner::take(const std::filesystem::path& path) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0)
    throw_system_error(error_kind::checkpoint, path, "open", errno);
  ours_ = std::make_unique<file_descriptor>(number);
}

void log_owner::expect_own(const std::filesystem::path& path) const {
  struct stat here = {};
  struct stat ours = {};
  if (ours_ == nullptr || ::stat(path.c_str(), &here) != 0 || ::fstat(ours_->number(), &ours) != 0)
    return;
  if (here.st_dev != ours.st_dev || here.st_ino != ours.st_ino)
    throw checkpoint_error(path.string() +
                           ": found the log of another process, which has gone on with this run meanwhile, expected "
                           "our own");
}

} // namespace troupe
