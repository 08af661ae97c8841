// A file from outside, opened for reading with care: it must be a regular file, so that no directory, FIFO or device
// can hang or flood the program.
#pragma once

#include "model/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace troupe {

/// An open descriptor of a regular file. Errors are of the kind that the caller names, since the same mistake is
/// a wrong spec here and bad data there.
class regular_file {
public:
  /// Throws when `path` cannot be opened or is anything but a regular file; the message names what it is.
  regular_file(const std::filesystem::path& path, error_kind kind);
  ~regular_file();
  regular_file(const regular_file&) = delete;
  regular_file& operator=(const regular_file&) = delete;

  int descriptor() const { return descriptor_; }
  /// In bytes, when it was opened.
  std::uint64_t size() const { return size_; }
  /// The whole content. Throws when there are more than `limit` bytes, or the system refuses.
  std::string read_all(std::uint64_t limit) const;

private:
  std::filesystem::path path_;
  error_kind kind_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

} // namespace troupe
