// Files as checkpoints and reports need them: written through to the disk, replaced whole or not at all, read in
// full. Every error is of the kind that the caller names, and says path and the system's reason. `faults` may make acts
// fail; null: none.
#pragma once

#include "model/error.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/regular_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace troupe {

/// Throws "PATH: cannot ACT: REASON"; `code` is an errno.
[[noreturn]] void throw_system_error(error_kind kind, const std::filesystem::path& path, const std::string& act,
                                     int code);

/// Text of unknown origin for a message: in quotes, on one line, in printable ASCII, cut after `longest` characters.
std::string printable(std::string_view text, std::size_t longest = 80);

/// Owns an open file descriptor; -1 is none.
class file_descriptor {
public:
  explicit file_descriptor(int number) : number_(number) {}
  file_descriptor(const file_descriptor&) = delete;
  file_descriptor& operator=(const file_descriptor&) = delete;
  ~file_descriptor();

  int number() const { return number_; }
  /// Closes now; an errno, or 0.
  int close();

private:
  int number_;
};

/// A file that is written from start to end. Creates it, or empties the one that is there.
class output_file {
public:
  output_file(std::filesystem::path path, error_kind kind, disk_faults* faults = nullptr);
  void write(std::span<const std::byte> bytes);
  /// Returns once the disk has everything.
  void sync_and_close();

private:
  std::filesystem::path path_;
  error_kind kind_;
  disk_faults* faults_;
  file_descriptor descriptor_;
};

/// A file that takes its name only when it is whole: until then it is a hidden sibling, and if replace() is never
/// called nothing is left. Errors name the final path.
class replacement_file {
public:
  replacement_file(std::filesystem::path path, error_kind kind);
  replacement_file(const replacement_file&) = delete;
  replacement_file& operator=(const replacement_file&) = delete;
  ~replacement_file();
  void write(std::span<const std::byte> bytes);
  /// Syncs the file, gives it its name (in place of a file that has it), and syncs the directory.
  void replace();

private:
  std::filesystem::path path_;
  error_kind kind_;
  std::filesystem::path temporary_; ///< empty once renamed
  file_descriptor descriptor_;
};

/// Fills `out` from `offset` of the file; the caller has checked both against its size. A file that has shrunk since is
/// an error.
void read_at(const regular_file& file, const std::filesystem::path& path, std::uint64_t offset,
             std::span<std::byte> out, error_kind kind);
/// Writes all bytes to an open descriptor; `path` is for the message.
void write_all(const file_descriptor& descriptor, std::span<const std::byte> bytes, const std::filesystem::path& path,
               error_kind kind, disk_faults* faults = nullptr);
/// Makes a directory with all above it; one that is there is fine.
void make_directory(const std::filesystem::path& directory, error_kind kind);
/// Makes one directory, where nothing is yet.
void create_directory(const std::filesystem::path& directory, error_kind kind, disk_faults* faults = nullptr);
/// Makes the names in a directory durable.
void sync_directory(const std::filesystem::path& directory, error_kind kind, disk_faults* faults = nullptr);
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to, error_kind kind,
                 disk_faults* faults = nullptr);
/// Gives `to` what `from` names; what was at `to`, if anything, is afterwards at `from`. There is no moment without a
/// `to` where the file system can exchange two names (Linux ones can, most network ones cannot).
void exchange_paths(const std::filesystem::path& from, const std::filesystem::path& to, error_kind kind,
                    disk_faults* faults = nullptr);
/// Removes a tree; one that is not there is fine.
void remove_tree(const std::filesystem::path& path, error_kind kind);
/// The directory that a path's last part is in; "." for a plain name.
std::filesystem::path directory_of(const std::filesystem::path& path);

} // namespace troupe
