#include "runtime/regular_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

std::string system_reason(int number) {
  return std::generic_category().message(number);
}

const char* kind_of_file(mode_t mode) {
  if (S_ISDIR(mode))
    return "a directory";
  if (S_ISFIFO(mode))
    return "a FIFO";
  if (S_ISSOCK(mode))
    return "a socket";
  return S_ISCHR(mode) || S_ISBLK(mode) ? "a device" : "a special file";
}

} // namespace

// O_NONBLOCK: opening a FIFO would otherwise wait for a writer before fstat can tell what it is.
regular_file::regular_file(const std::filesystem::path& path, error_kind kind)
    : path_(path), kind_(kind), descriptor_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  if (descriptor_ < 0)
    throw_error(kind, fmt::format("{}: {}, expected a readable file", path.string(), system_reason(errno)));
  struct stat facts = {};
  const bool known = ::fstat(descriptor_, &facts) == 0;
  const int reason = errno;
  if (known && S_ISREG(facts.st_mode)) {
    size_ = static_cast<std::uint64_t>(facts.st_size);
    return;
  }
  ::close(descriptor_);
  const std::string found = known ? std::string("found ") + kind_of_file(facts.st_mode) : system_reason(reason);
  throw_error(kind, fmt::format("{}: {}, expected a regular file", path.string(), found));
}

regular_file::~regular_file() {
  ::close(descriptor_);
}

std::string regular_file::read_all(std::uint64_t limit) const {
  if (size_ > limit)
    throw_error(kind_, fmt::format("{}: found {} bytes, expected at most {}", path_.string(), size_, limit));
  // One byte more than expected, so that a file which grew meanwhile is seen, not silently cut.
  std::string content(size_ + 1, '\0');
  std::size_t got = 0;
  while (got < content.size()) {
    const ssize_t step = ::pread(descriptor_, content.data() + got, content.size() - got, static_cast<off_t>(got));
    if (step < 0 && errno == EINTR)
      continue;
    if (step < 0)
      throw_error(kind_, fmt::format("{}: reading failed: {}", path_.string(), system_reason(errno)));
    if (step == 0)
      break;
    got += static_cast<std::size_t>(step);
  }
  if (got != size_)
    throw_error(kind_, fmt::format("{}: its size changed while it was read, expected {} bytes", path_.string(), size_));
  content.resize(got);
  return content;
}

} // namespace troupe
