// The decision log: what the scheduler decided step by step, on disk before anybody acts on it, so that a run that goes
// on from a checkpoint knows how the steps after it went. docs/decision_log.md describes the file.
#pragma once

#include "runtime/appended_file.hpp"
#include "runtime/disk_faults.hpp"
#include "runtime/recovery/decision_record.hpp"
#include "runtime/recovery/logged_decision.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

inline constexpr const char* decision_log_name = "decisions.log";

/// Whether a file of that name in a log's directory is one that is to take the log's name when it is whole.
bool is_unfinished_log(const std::filesystem::path& path);

/// Another process goes on with the run whose log this was.
class foreign_log_error : public checkpoint_error {
public:
  using checkpoint_error::checkpoint_error;
};
[[noreturn]] void refuse_foreign_log(const std::filesystem::path& path);

/// All throw checkpoint_error, a line that names the file; what the log held before the call is then still in it.
class decision_log {
public:
  /// Opens the log in the run's checkpoint directory, or makes both. Of a last record that is cut off or damaged, as a
  /// crash leaves it, nothing is kept, and `warnings` gets a line. Throws when the log is damaged before that, or is of
  /// a run with another result than `spec` and `versions` give, naming the first field that differs. `versions`: the
  /// versions_rule of an asynchronous schedule. `faults` may be null.
  decision_log(const std::filesystem::path& directory, const run_spec& spec, const std::string& versions,
               std::vector<std::string>& warnings, disk_faults* faults = nullptr);

  const std::filesystem::path& path() const { return path_; }
  /// What is in it, ascending; read from disk.
  std::vector<logged_decision> decisions() const;
  /// The file that is written, whatever its name names by now.
  const file_descriptor& file() const { return file_->descriptor(); }
  /// Returns once the disk has it. It must be later than the last one.
  void append(const logged_decision& one);
  /// The same content in another file of the same name: who had opened it before finds it replaced, and so does who is
  /// just doing the same. Of those who do it at the same moment the last one has it.
  void take_over();
  /// The run goes on from its checkpoint after `steps_done` steps: what was decided of later steps is dropped.
  void go_back_to(std::uint64_t steps_done);
  /// No checkpoint before the one after `steps_done` steps is left: what was decided of earlier steps is dropped. Makes
  /// the file again if it has been removed.
  void drop_before(std::uint64_t steps_done);

private:
  decision_log_content content() const;
  void replace(const std::string& content);
  bool put_in_place(const std::string& content);
  bool has_the_name() const;
  void remove_unfinished() const;

  std::filesystem::path directory_;
  std::filesystem::path path_;
  std::filesystem::path unfinished_; ///< no other process, nor another log of this one, uses the same
  disk_faults* faults_;
  std::string head_;
  std::unique_ptr<appended_file> file_;
  bool made_here_ = false;      ///< the file, by us
  std::optional<step_id> last_; ///< of the latest decision
};

} // namespace troupe
