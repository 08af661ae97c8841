#include "tests/simulation/disk.hpp"

#include "runtime/recovery/decision_log.hpp"
#include "tests/support/scratch_directory.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/stat.h>
#include <system_error>

namespace troupe::test {

namespace {

namespace fs = std::filesystem;

struct facts {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  bool directory = false;
};

std::optional<facts> facts_of(const fs::path& path) {
  struct stat found = {};
  if (::lstat(path.c_str(), &found) != 0)
    return std::nullopt;
  return facts{found.st_ino, static_cast<std::uint64_t>(found.st_size), S_ISDIR(found.st_mode)};
}

} // namespace

void simulated_disk::arm(std::vector<disk_failure> failures, std::optional<std::uint64_t> crash_at) {
  failures_ = std::move(failures);
  crash_at_ = crash_at;
  armed_ = true;
  acts_ = 0;
}

std::uint64_t simulated_disk::failed_on(const std::string& name) const {
  const auto found = failed_on_.find(name);
  return found == failed_on_.end() ? 0 : found->second;
}

int simulated_disk::fault(disk_act act, const fs::path& path) {
  if (crashed_)
    return EIO;
  settle();
  if (armed_) {
    ++acts_;
    if (acts_ == crash_at_) {
      crash();
      return EIO;
    }
    for (const disk_failure& one : failures_)
      if (acts_ >= one.first && acts_ - one.first < one.count) {
        ++failed_;
        ++failed_on_[is_unfinished_log(path) ? unfinished_log : path.filename().string()];
        return one.code;
      }
  }
  if (act == disk_act::sync)
    syncing_ = path;
  return 0;
}

/// The sync that was allowed has been done.
void simulated_disk::settle() {
  if (!syncing_)
    return;
  const fs::path path = *std::exchange(syncing_, std::nullopt);
  const std::optional<facts> found = facts_of(path);
  if (found && found->directory)
    durable_names_[found->inode] = names_in(path);
  else if (found)
    durable_sizes_[found->inode] = found->size;
}

simulated_disk::names simulated_disk::names_in(const fs::path& directory) const {
  names found;
  std::error_code gone; // a directory that is not there has none
  for (const auto& entry : fs::directory_iterator(directory, gone))
    if (const std::optional<facts> one = facts_of(entry.path()))
      found.emplace(entry.path().filename().string(), one->inode);
  return found;
}

std::string simulated_disk::durable_bytes(const std::string& name) {
  settle();
  const fs::path path = directory_ / name;
  const std::optional<facts> file = facts_of(path);
  const std::optional<facts> above = facts_of(directory_);
  if (!file || !above)
    return {};
  const names& durable = durable_names_[above->inode];
  const auto named = durable.find(name);
  if (named == durable.end() || named->second != file->inode)
    return {};
  return read_bytes(path).substr(0, durable_sizes_[file->inode]);
}

void simulated_disk::crash() {
  copy_survivors(image(), chance_.coin() ? crash_loss::everything : crash_loss::some);
  crashed_ = true;
}

void simulated_disk::restart() {
  fs::remove_all(directory_);
  std::error_code nothing; // there was no directory
  fs::rename(image(), directory_, nothing);
  failures_.clear();
  armed_ = crashed_ = false;
  syncing_.reset();
  durable_sizes_.clear();
  durable_names_.clear();
  std::error_code gone;
  if (!fs::exists(directory_, gone))
    return;
  durable_names_[facts_of(directory_)->inode] = names_in(directory_); // what survived is on the disk
  for (const auto& entry : fs::recursive_directory_iterator(directory_)) {
    const facts found = *facts_of(entry.path());
    if (found.directory)
      durable_names_[found.inode] = names_in(entry.path());
    else
      durable_sizes_[found.inode] = found.size;
  }
}

void simulated_disk::copy_survivors(const fs::path& target, crash_loss loss) {
  settle();
  fs::remove_all(target);
  std::error_code gone;
  if (!fs::is_directory(directory_, gone))
    return;
  everything_.clear();
  for (const auto& entry : fs::recursive_directory_iterator(directory_))
    if (const std::optional<facts> one = facts_of(entry.path()))
      everything_.emplace(one->inode, entry.path());
  copy_directory(directory_, target, loss);
}

/// The names of the last sync, as far as what they named is still there; or those of now.
simulated_disk::names simulated_disk::surviving_names(const fs::path& directory, bool loses) {
  const names now = names_in(directory);
  if (!loses)
    return now;
  names found;
  for (const auto& [name, node] : durable_names_[facts_of(directory)->inode])
    if (everything_.contains(node))
      found.emplace(name, node);
    else if (const auto other = now.find(name); other != now.end())
      found.emplace(*other);
  return found;
}

void simulated_disk::copy_directory(const fs::path& from, const fs::path& to, crash_loss loss) {
  fs::create_directory(to);
  for (const auto& [name, node] : surviving_names(from, loses(loss))) {
    const fs::path source = everything_.at(node);
    if (fs::is_directory(source))
      copy_directory(source, to / name, loss);
    else
      copy_file(source, to / name, loses(loss));
  }
}

/// What was written since the last sync is gone, in part, or zeros.
void simulated_disk::copy_file(const fs::path& from, const fs::path& to, bool loses) {
  std::string bytes = read_bytes(from);
  const auto durable = static_cast<std::size_t>(durable_sizes_[facts_of(from)->inode]);
  if (loses && bytes.size() > durable) {
    const std::size_t kept = durable + chance_.below(bytes.size() - durable + 1);
    if (chance_.coin())
      bytes.resize(kept);
    else
      std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(kept), bytes.end(), '\0');
  }
  write_bytes(to, bytes);
}

} // namespace troupe::test
