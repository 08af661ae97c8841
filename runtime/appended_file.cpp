#include "runtime/appended_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

/// Syncs the content, and of the rest what is needed to read it again.
int sync_data(const file_descriptor& descriptor) {
  int result = ::fdatasync(descriptor.number());
  while (result != 0 && errno == EINTR)
    result = ::fdatasync(descriptor.number());
  return result;
}

file_descriptor open_at_end(const std::filesystem::path& path, error_kind kind) {
  const int number = ::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (number < 0)
    throw_system_error(kind, path, "open", errno);
  return file_descriptor(number);
}

} // namespace

appended_file::appended_file(std::filesystem::path path, std::uint64_t size, error_kind kind, disk_faults* faults)
    : path_(std::move(path)), kind_(kind), faults_(faults), descriptor_(open_at_end(path_, kind)), size_(size) {}

void appended_file::append(std::span<const std::byte> bytes) {
  expect_named();
  if (torn_)
    cut(size_);
  torn_ = true;
  try {
    write_all(descriptor_, bytes, path_, kind_, faults_);
    sync();
  } catch (const error&) {
    torn_ = ::ftruncate(descriptor_.number(), static_cast<off_t>(size_)) != 0;
    throw;
  }
  torn_ = false;
  size_ += bytes.size();
}

void appended_file::cut(std::uint64_t size) {
  if (::ftruncate(descriptor_.number(), static_cast<off_t>(size)) != 0)
    throw_system_error(kind_, path_, "cut", errno);
  size_ = size;
  torn_ = false;
}

void appended_file::sync() {
  if (const int code = faults_ == nullptr ? 0 : faults_->fault(disk_act::sync, path_); code != 0)
    throw_system_error(kind_, path_, "sync", code);
  if (sync_data(descriptor_) != 0)
    throw_system_error(kind_, path_, "sync", errno);
}

std::string appended_file::read_all() const {
  std::string content(size_, '\0');
  std::size_t got = 0;
  while (got < content.size()) {
    const ssize_t step =
        ::pread(descriptor_.number(), content.data() + got, content.size() - got, static_cast<off_t>(got));
    if (step < 0 && errno == EINTR)
      continue;
    if (step < 0)
      throw_system_error(kind_, path_, "read", errno);
    if (step == 0)
      throw_error(kind_, path_.string() + ": found the end at byte " + std::to_string(got) + ", expected it at " +
                             std::to_string(size_));
    got += static_cast<std::size_t>(step);
  }
  return content;
}

void appended_file::expect_named() const {
  struct stat facts = {};
  if (::fstat(descriptor_.number(), &facts) != 0)
    throw_system_error(kind_, path_, "examine", errno);
  if (facts.st_nlink == 0)
    throw_system_error(kind_, path_, "write", ENOENT);
}

} // namespace troupe
