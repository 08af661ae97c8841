#include "runtime/tls/guarded_file.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/regular_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t largest_file = std::uint64_t{1} << 20; ///< bytes; keys and certificates have about a thousand

/// What others must not be able to do with a file.
struct forbidden_access {
  mode_t bits;
  const char* act;
};

std::string read_guarded(const fs::path& path, const forbidden_access& forbidden) {
  const regular_file file(path, error_kind::security);
  struct stat facts = {};
  if (::fstat(file.descriptor(), &facts) != 0)
    throw_system_error(error_kind::security, path, "examine", errno);
  const mode_t mode = facts.st_mode & ACCESSPERMS;
  if ((mode & forbidden.bits) != 0)
    throw security_error(fmt::format("{}: found mode {:04o}, expected {:04o}, as others must not {} it", path.string(),
                                     mode, mode & ~forbidden.bits, forbidden.act));
  return file.read_all(largest_file);
}

} // namespace

std::string read_key_file(const fs::path& path) {
  return read_guarded(path, {.bits = S_IRWXG | S_IRWXO, .act = "read"});
}

std::string read_certificate_file(const fs::path& path) {
  return read_guarded(path, {.bits = S_IWOTH, .act = "change"});
}

void write_new_file(const fs::path& path, const std::string& content, file_access readable_by) {
  const mode_t mode = readable_by == file_access::owner ? S_IRUSR | S_IWUSR : S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH;
  file_descriptor descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (descriptor.number() < 0)
    throw_system_error(error_kind::spec, path, "create", errno);
  write_all(descriptor, std::as_bytes(std::span(content)), path, error_kind::spec);
  if (::fsync(descriptor.number()) != 0)
    throw_system_error(error_kind::spec, path, "sync", errno);
  if (const int code = descriptor.close(); code != 0)
    throw_system_error(error_kind::spec, path, "close", code);
}

} // namespace troupe
