#include "runtime/owned_path.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>

namespace troupe {

void owned_path::take(const std::filesystem::path& path, error_kind kind) {
  const int number = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (number < 0)
    throw_system_error(kind, path, "open", errno);
  ours_ = std::make_unique<file_descriptor>(number);
}

void owned_path::take(const file_descriptor& file, const std::filesystem::path& path, error_kind kind) {
  const int number = ::fcntl(file.number(), F_DUPFD_CLOEXEC, 0);
  if (number < 0)
    throw_system_error(kind, path, "hold on to", errno);
  ours_ = std::make_unique<file_descriptor>(number);
}

bool owned_path::lost_to_another(const std::filesystem::path& path) const {
  struct stat here = {};
  struct stat ours = {};
  if (ours_ == nullptr || ::stat(path.c_str(), &here) != 0 || ::fstat(ours_->number(), &ours) != 0)
    return false;
  return here.st_dev != ours.st_dev || here.st_ino != ours.st_ino;
}

} // namespace troupe
