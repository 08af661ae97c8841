// Where the user wants a file: --report and --trace. Checked before the run, written after it.
#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/report.hpp"

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

/// The file that a name leads to. Where a link leads to a file, the file is replaced, not the link.
struct destination {
  fs::path path;
  bool exists = false;
  bool in_place = false; ///< a terminal, a pipe, a device: written to, never replaced
};

destination resolve(const fs::path& path, error_kind kind) {
  if (!path.has_filename())
    throw_error(kind, path.string() + ": found a path that ends in no name, expected one of a file");
  std::error_code reason;
  const fs::file_status status = fs::status(path, reason);
  if (status.type() == fs::file_type::none)
    throw_system_error(kind, path, "examine", reason.value());
  if (status.type() == fs::file_type::not_found)
    return {.path = path};
  if (status.type() == fs::file_type::directory)
    throw_error(kind, path.string() + ": found a directory, expected the path of a file");
  // /dev/stdout leads to a regular file when the shell has redirected it; replacing that file would lose what is in it.
  const bool in_place = status.type() != fs::file_type::regular || path.string().starts_with("/dev/");
  return {.path = in_place ? path : fs::canonical(path, reason), .exists = true, .in_place = in_place};
}

file_descriptor open_existing(const fs::path& path, int flags, error_kind kind) {
  const int number = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | flags);
  if (number < 0)
    throw_system_error(kind, path, "open for writing", errno);
  return file_descriptor(number);
}

} // namespace

void write_text_file(const fs::path& path, const std::string& text) {
  constexpr auto kind = error_kind::output;
  const std::span<const std::byte> bytes = std::as_bytes(std::span(text));
  const destination target = resolve(path, kind);
  if (target.in_place)
    return write_all(open_existing(target.path, O_APPEND, kind), bytes, path, kind);
  replacement_file file(target.path, kind);
  file.write(bytes);
  file.replace();
}

void expect_writable(const fs::path& path) {
  constexpr auto kind = error_kind::spec; // nothing is lost yet
  const destination target = resolve(path, kind);
  // Not opened: a pipe would see a writer come and go, and take that for the end.
  if (target.in_place && ::access(target.path.c_str(), W_OK) != 0)
    throw_system_error(kind, path, "write", errno);
  if (target.in_place)
    return;
  if (target.exists)
    open_existing(target.path, 0, kind);
  const replacement_file probe(target.path, kind);
}

} // namespace troupe
