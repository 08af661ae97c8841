#include "runtime/tls/certificate_folder.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"
#include "runtime/tls/certificates.hpp"
#include "runtime/tls/guarded_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

namespace fs = std::filesystem;

constexpr std::time_t day = std::time_t{24} * 60 * 60;
/// A certificate counts from a little before it is made, for hosts whose clocks are behind.
constexpr std::time_t clock_tolerance = std::time_t{60} * 60;

bool is_there(const fs::path& path) {
  std::error_code unreadable; // is found out when something is written there
  return fs::symlink_status(path, unreadable).type() != fs::file_type::not_found;
}

/// One process at a time makes certificates in a directory, so that what it has looked at stays true.
class directory_lock {
public:
  explicit directory_lock(const fs::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_.number() < 0 || ::flock(descriptor_.number(), LOCK_EX) != 0)
      throw_system_error(error_kind::spec, path, "lock", errno);
  }

private:
  file_descriptor descriptor_;
};

/// A hidden directory for the owner's eyes only, in which files become whole before they get their names.
class workshop {
public:
  explicit workshop(const fs::path& directory) : path_(directory / (".troupe-" + std::to_string(::getpid()) + ".tmp")) {
    remove_tree(path_, error_kind::spec); // of a process that died and had our number
    if (::mkdir(path_.c_str(), S_IRWXU) != 0)
      throw_system_error(error_kind::spec, directory, "write to it", errno);
  }
  workshop(const workshop&) = delete;
  workshop& operator=(const workshop&) = delete;
  ~workshop() {
    std::error_code ignored; // nothing depends on what is left in it
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

void expect_new_hosts(const certificate_order& order) {
  for (const std::string& host : order.hosts) {
    if (host == authority_file || host == authority_key_file)
      throw spec_error(fmt::format("--hosts: found '{}', expected another name, as a file is called so", host));
    if (is_there(order.directory / host))
      throw spec_error(fmt::format("{}: found it there, expected a host without certificate, as none is ever "
                                   "overwritten",
                                   (order.directory / host).string()));
  }
}

certificate_and_key new_authority(const certificate_order& order) {
  certificate_and_key made = make_authority({order.now - clock_tolerance, order.now + order.days * day});
  const workshop desk(order.directory);
  write_new_file(desk.path() / authority_key_file, made.key, file_access::owner);
  write_new_file(desk.path() / authority_file, made.certificate, file_access::everyone);
  for (const char* name : {authority_key_file, authority_file})
    rename_path(desk.path() / name, order.directory / name, error_kind::spec);
  sync_directory(order.directory, error_kind::spec);
  return made;
}

certificate_and_key known_authority(const certificate_order& order) {
  return {.certificate = read_certificate_file(order.directory / authority_file),
          .key = read_key_file(order.directory / authority_key_file)};
}

/// Whether the directory has a CA; half of one is of no use, and not ours to complete.
bool has_authority(const fs::path& directory) {
  const bool certificate = is_there(directory / authority_file);
  if (certificate != is_there(directory / authority_key_file)) {
    const char* missing = certificate ? authority_key_file : authority_file;
    throw spec_error(fmt::format("{}: found {} alone, expected both that and {}, or neither in a new directory",
                                 directory.string(), certificate ? authority_file : authority_key_file, missing));
  }
  return certificate;
}

/// The directory is renamed with all its files, and a rename never replaces a directory that has any.
void add_host(const certificate_order& order, const std::string& host, const certificate_and_key& authority,
              const validity& when) {
  const certificate_and_key made =
      issue_certificate(authority, (order.directory / authority_file).string(), host, when);
  const workshop folder(order.directory);
  write_new_file(folder.path() / authority_file, authority.certificate, file_access::everyone);
  write_new_file(folder.path() / certificate_file, made.certificate, file_access::everyone);
  write_new_file(folder.path() / key_file, made.key, file_access::owner);
  sync_directory(folder.path(), error_kind::spec);
  rename_path(folder.path(), order.directory / host, error_kind::spec);
  sync_directory(order.directory, error_kind::spec);
}

} // namespace

certificate_delivery make_certificates(const certificate_order& order) {
  std::error_code reason;
  fs::create_directories(order.directory, reason);
  if (reason)
    throw_system_error(error_kind::spec, order.directory, "create", reason.value());
  const directory_lock lock(order.directory);
  const bool known = has_authority(order.directory);
  expect_new_hosts(order);
  const certificate_and_key authority = known ? known_authority(order) : new_authority(order);
  const std::string origin = (order.directory / authority_file).string();
  const std::time_t end = validity_of(authority.certificate, origin).until;
  if (end <= order.now)
    throw security_error(fmt::format("{}: found a CA whose time is over, expected one that still counts; a new "
                                     "directory gets a new CA",
                                     origin));
  const validity when = {.from = order.now - clock_tolerance, .until = std::min(end, order.now + order.days * day)};
  certificate_delivery delivery{.new_authority = !known, .folders = {}, .until = when.until};
  for (const std::string& host : order.hosts) {
    add_host(order, host, authority, when);
    delivery.folders.push_back(order.directory / host);
  }
  return delivery;
}

} // namespace troupe
