// The decision log's format: what its bytes are, and what is made of bytes that a crash or a disk has damaged.
// docs/decision_log.md describes it.
#pragma once

#include "model/error.hpp"
#include "runtime/recovery/logged_decision.hpp"
#include "runtime/run_spec.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// No more than this is written to a log, or read of one.
inline constexpr std::uint64_t largest_decision_log = std::uint64_t{1} << 30;

/// The start of a log of the run of `spec`; `versions` as in a checkpoint's manifest.
std::string decision_log_head(const run_spec& spec, const std::string& versions);
/// What is appended for one decision.
std::string decision_record(const logged_decision& one);

/// What is in a log.
struct decision_log_content {
  run_spec spec;
  std::string versions;
  std::vector<logged_decision> decisions; ///< ascending
  std::vector<std::uint64_t> starts;      ///< of each decision's record, in bytes from the file's start
  std::uint64_t whole_bytes = 0;          ///< up to the end of the last whole record
  std::string damage;                     ///< of what follows, if anything: a line that starts with the log's name
};

/// A log that a crash alone does not leave so. What it says of the run is lost.
class damaged_log_error : public checkpoint_error {
public:
  using checkpoint_error::checkpoint_error;
};

/// Takes the bytes of a log apart. A last record that is cut off or damaged, as a crash leaves it, is left out. Throws
/// damaged_log_error, a line that starts with `name`, when anything before an intact record is damaged, when there is
/// no head, or when a record with a right checksum makes no sense; checkpoint_error when it has another version.
decision_log_content parse_decision_log(std::string_view bytes, const std::string& name);

} // namespace troupe
