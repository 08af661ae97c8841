#include "runtime/file_io.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// Linux moves at most 2^31 bytes in one call; half of that keeps the remainder aligned.
constexpr std::size_t largest_transfer = std::size_t{1} << 30;

template <typename Call>
auto retried(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR)
    result = call();
  return result;
}

const char* word_of(disk_act act) {
  switch (act) {
  case disk_act::create:
    return "create";
  case disk_act::write:
    return "write";
  case disk_act::sync:
    return "sync";
  case disk_act::rename:
    break;
  }
  return "rename";
}

void fail_if_due(disk_faults* faults, disk_act act, const fs::path& path, error_kind kind) {
  if (const int code = faults == nullptr ? 0 : faults->fault(act, path); code != 0)
    throw_system_error(kind, path, word_of(act), code);
}

int open_or_throw(const fs::path& path, int flags, error_kind kind, const std::string& act) {
  const int number = retried([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
  if (number < 0)
    throw_system_error(kind, path, act, errno);
  return number;
}

void sync_descriptor(const file_descriptor& descriptor, const fs::path& path, error_kind kind) {
  if (retried([&] { return ::fsync(descriptor.number()); }) != 0)
    throw_system_error(kind, path, "sync", errno);
}

void close_or_throw(file_descriptor& descriptor, const fs::path& path, error_kind kind) {
  if (const int code = descriptor.close(); code != 0)
    throw_system_error(kind, path, "close", code);
}

/// A new, empty file beside `path`. Its name does not grow with the path's, which may be as long as names can be.
std::pair<fs::path, int> open_sibling(const fs::path& path, error_kind kind) {
  constexpr int attempts = 1000;
  int code = EEXIST;
  for (int attempt = 0; attempt < attempts && code == EEXIST; ++attempt) {
    fs::path sibling =
        directory_of(path) / (".troupe-" + std::to_string(::getpid()) + "-" + std::to_string(attempt) + ".tmp");
    const int number = retried([&] { return ::open(sibling.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    if (number >= 0)
      return {std::move(sibling), number};
    code = errno;
  }
  throw_system_error(kind, path, "create", code);
}

} // namespace

void throw_system_error(error_kind kind, const fs::path& path, const std::string& act, int code) {
  throw_error(kind, path.string() + ": cannot " + act + ": " + std::generic_category().message(code));
}

std::string printable(std::string_view text, std::size_t longest) {
  std::string result = "\"";
  for (const char character : text.substr(0, longest))
    result += character >= ' ' && character <= '~' ? character : '?';
  return result + (text.size() > longest ? "...\"" : "\"");
}

file_descriptor::~file_descriptor() {
  close();
}

int file_descriptor::close() {
  const int number = std::exchange(number_, -1);
  // Not retried: on Linux the descriptor is gone even after EINTR.
  return number < 0 || ::close(number) == 0 || errno == EINTR ? 0 : errno;
}

void write_all(const file_descriptor& descriptor, std::span<const std::byte> bytes, const fs::path& path,
               error_kind kind, disk_faults* faults) {
  if (const int code = faults == nullptr ? 0 : faults->fault(disk_act::write, path); code != 0) {
    write_all(descriptor, bytes.first(bytes.size() / 2), path, kind);
    throw_system_error(kind, path, "write", code);
  }
  while (!bytes.empty()) {
    const std::size_t wanted = std::min(bytes.size(), largest_transfer);
    const ssize_t written = retried([&] { return ::write(descriptor.number(), bytes.data(), wanted); });
    if (written < 0)
      throw_system_error(kind, path, "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

output_file::output_file(fs::path path, error_kind kind, disk_faults* faults)
    : path_(std::move(path)), kind_(kind), faults_(faults), descriptor_([&] {
        fail_if_due(faults, disk_act::create, path_, kind);
        return open_or_throw(path_, O_WRONLY | O_CREAT | O_TRUNC, kind, "create");
      }()) {}

void output_file::write(std::span<const std::byte> bytes) {
  write_all(descriptor_, bytes, path_, kind_, faults_);
}

void output_file::sync_and_close() {
  fail_if_due(faults_, disk_act::sync, path_, kind_);
  sync_descriptor(descriptor_, path_, kind_);
  close_or_throw(descriptor_, path_, kind_);
}

replacement_file::replacement_file(fs::path path, error_kind kind)
    : path_(std::move(path)), kind_(kind), descriptor_([&] {
        auto [sibling, number] = open_sibling(path_, kind);
        temporary_ = std::move(sibling);
        return number;
      }()) {}

replacement_file::~replacement_file() {
  if (!temporary_.empty())
    ::unlink(temporary_.c_str());
}

void replacement_file::write(std::span<const std::byte> bytes) {
  write_all(descriptor_, bytes, path_, kind_);
}

void replacement_file::replace() {
  sync_descriptor(descriptor_, path_, kind_);
  close_or_throw(descriptor_, path_, kind_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    throw_system_error(kind_, path_, "replace", errno);
  temporary_.clear();
  sync_directory(directory_of(path_), kind_);
}

void read_at(const regular_file& file, const fs::path& path, std::uint64_t offset, std::span<std::byte> out,
             error_kind kind) {
  while (!out.empty()) {
    const std::size_t wanted = std::min(out.size(), largest_transfer);
    const ssize_t got =
        retried([&] { return ::pread(file.descriptor(), out.data(), wanted, static_cast<off_t>(offset)); });
    if (got < 0)
      throw_system_error(kind, path, "read", errno);
    if (got == 0)
      throw_error(kind, path.string() + ": found the end at byte " + std::to_string(offset) + ", expected " +
                            std::to_string(out.size()) + " more bytes");
    offset += static_cast<std::uint64_t>(got);
    out = out.subspan(static_cast<std::size_t>(got));
  }
}

void make_directory(const fs::path& directory, error_kind kind) {
  std::error_code reason;
  const bool created = fs::create_directories(directory, reason);
  if (std::error_code ignored; !reason && !fs::is_directory(directory, ignored))
    reason = std::make_error_code(std::errc::not_a_directory);
  if (reason)
    throw_system_error(kind, directory, "create a directory", reason.value());
  if (created)
    sync_directory(directory_of(directory), kind);
}

void create_directory(const fs::path& directory, error_kind kind, disk_faults* faults) {
  fail_if_due(faults, disk_act::create, directory, kind);
  if (::mkdir(directory.c_str(), 0777) != 0)
    throw_system_error(kind, directory, "create a directory", errno);
}

void sync_directory(const fs::path& directory, error_kind kind, disk_faults* faults) {
  fail_if_due(faults, disk_act::sync, directory, kind);
  const file_descriptor descriptor(open_or_throw(directory, O_RDONLY | O_DIRECTORY, kind, "open"));
  // Some network file systems cannot sync a directory and say so with EINVAL; on them a rename is as durable as it
  // gets.
  if (retried([&] { return ::fsync(descriptor.number()); }) != 0 && errno != EINVAL)
    throw_system_error(kind, directory, "sync", errno);
}

void rename_path(const fs::path& from, const fs::path& to, error_kind kind, disk_faults* faults) {
  fail_if_due(faults, disk_act::rename, to, kind);
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw_system_error(kind, to, "rename " + from.filename().string() + " to it", errno);
}

void exchange_paths(const fs::path& from, const fs::path& to, error_kind kind, disk_faults* faults) {
  if (std::error_code ignored; fs::symlink_status(to, ignored).type() == fs::file_type::not_found)
    return rename_path(from, to, kind, faults);
  fail_if_due(faults, disk_act::rename, to, kind);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0)
    return;
  if (errno != EINVAL && errno != ENOSYS)
    throw_system_error(kind, to, "exchange " + from.filename().string() + " with it", errno);
  const fs::path aside = from.string() + ".old";
  remove_tree(aside, kind); // of a process that died between the renames below
  rename_path(to, aside, kind);
  rename_path(from, to, kind);
  rename_path(aside, from, kind);
}

void remove_tree(const fs::path& path, error_kind kind) {
  std::error_code reason;
  fs::remove_all(path, reason);
  if (reason)
    throw_system_error(kind, path, "remove", reason.value());
}

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

} // namespace troupe
