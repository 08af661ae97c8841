// The disk of a simulated training: real files in a scratch directory, with failures made up, and a shadow that knows
// what of them has been synced, so that it can say what is left when the power goes.
#pragma once

#include "runtime/disk_faults.hpp"
#include "runtime/schedule/search/dice.hpp"
#include "tests/simulation/scenario.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

/// Stands for the name of a log that is being written anew, which is another one each time.
inline constexpr const char* unfinished_log = "a log that is being written";

/// How much of what was not synced is gone after a crash.
enum class crash_loss : std::uint8_t { everything, some };

/// Watches one directory. It learns of what the product does through the product's own seam, disk_faults: a file is as
/// long, and a directory has the names, that it had at its last sync. What the product changes past that seam (it
/// removes files, it cuts the end of a log) counts as done at once.
class simulated_disk : public disk_faults {
public:
  simulated_disk(std::filesystem::path directory, std::uint64_t seed)
      : directory_(std::move(directory)), chance_(seed) {}

  /// From now on acts count, and fail as said. At act `crash_at` the process dies: what is then on the disk becomes the
  /// image, and no later act succeeds.
  void arm(std::vector<disk_failure> failures, std::optional<std::uint64_t> crash_at);
  bool armed() const { return armed_; }
  bool crashed() const { return crashed_; }
  std::uint64_t failed() const { return failed_; }
  /// Acts that failed on this file.
  std::uint64_t failed_on(const std::string& name) const;

  int fault(disk_act act, const std::filesystem::path& path) override;

  /// The process dies now, between two acts.
  void crash();
  /// Puts what survived the crash in the place of the directory. Who wrote to it must be gone.
  void restart();
  /// The first bytes of a file, as many as would survive any crash; empty if not even its name would.
  std::string durable_bytes(const std::string& name);
  /// Copies to `target` what would be left of the directory.
  void copy_survivors(const std::filesystem::path& target, crash_loss loss);

private:
  using inode = std::uint64_t;
  using names = std::map<std::string, inode>;

  void settle();
  names names_in(const std::filesystem::path& directory) const;
  names surviving_names(const std::filesystem::path& directory, bool loses);
  void copy_directory(const std::filesystem::path& from, const std::filesystem::path& to, crash_loss loss);
  void copy_file(const std::filesystem::path& from, const std::filesystem::path& to, bool loses);
  bool loses(crash_loss loss) { return loss == crash_loss::everything || chance_.coin(); }
  std::filesystem::path image() const { return directory_.string() + ".image"; }

  std::filesystem::path directory_;
  dice chance_;
  std::vector<disk_failure> failures_;
  std::optional<std::uint64_t> crash_at_;
  bool armed_ = false;
  bool crashed_ = false;
  std::uint64_t acts_ = 0;
  std::uint64_t failed_ = 0;
  std::map<std::string, std::uint64_t> failed_on_;    ///< by the file's name
  std::optional<std::filesystem::path> syncing_;      ///< the act that was allowed last, if that was a sync
  std::map<inode, std::uint64_t> durable_sizes_;      ///< of files
  std::map<inode, names> durable_names_;              ///< of directories
  std::map<inode, std::filesystem::path> everything_; ///< below the directory, while survivors are copied
};

} // namespace troupe::test
