// A file that grows at its end, piece by piece, each of which is on the disk or not there at all.
#pragma once

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

namespace troupe {

/// Errors are of the kind that the caller names, and say path and the system's reason.
class appended_file {
public:
  /// Opens a file that is there, of which `size` bytes count. What is beyond, as a record that another process has
  /// added since, is left alone.
  appended_file(std::filesystem::path path, std::uint64_t size, error_kind kind, disk_faults* faults = nullptr);

  std::uint64_t size() const { return size_; }
  const file_descriptor& descriptor() const { return descriptor_; }
  /// Returns once the disk has all of `bytes`. When it throws, none of them are in the file, and a later call may
  /// succeed. A file that has lost its name is an error, since nobody would find what is appended.
  void append(std::span<const std::byte> bytes);
  /// From now on the file has this name, which it was given.
  void note_name(std::filesystem::path path) { path_ = std::move(path); }
  /// Cuts what is beyond `size`, at most size(). A crash undoes it before sync() or the next append().
  void cut(std::uint64_t size);
  /// Returns once the disk has everything.
  void sync();
  /// The content, also of a file that has lost its name.
  std::string read_all() const;

private:
  void expect_named() const;

  std::filesystem::path path_;
  error_kind kind_;
  disk_faults* faults_;
  file_descriptor descriptor_;
  std::uint64_t size_;
  bool torn_ = false; ///< there may be bytes beyond size_
};

} // namespace troupe
