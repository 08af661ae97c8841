// The errors that the world can cause, one type for each kind, and the check for our own mistakes.
#pragma once

#include <stdexcept>
#include <string>

namespace troupe {

/// What went wrong, seen from outside. The program's exit code follows from it; it crosses actors as a number.
enum class error_kind {
  spec,       ///< a flag or a run spec is wrong
  data,       ///< the training data is unusable
  checkpoint, ///< a checkpoint is missing, damaged, or of another model
  protocol,   ///< an actor or a peer broke the rules of the run
  security,   ///< refused for security
  run,        ///< a stage failed and the run cannot go on
  output,     ///< a file that was asked for, or standard output, cannot be written
};

/// The base of all errors that are not our own mistakes. `what()` is one line that names the file or field, what was
/// found and what was expected.
class error : public std::runtime_error {
public:
  error(error_kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  error_kind kind() const noexcept { return kind_; }

private:
  error_kind kind_;
};

/// One type for each kind, so that a caller can catch just what it can handle.
template <error_kind Kind>
class error_of : public error {
public:
  explicit error_of(const std::string& message) : error(Kind, message) {}
};

using spec_error = error_of<error_kind::spec>;
using data_error = error_of<error_kind::data>;
using checkpoint_error = error_of<error_kind::checkpoint>;
using protocol_error = error_of<error_kind::protocol>;
using security_error = error_of<error_kind::security>;
using run_error = error_of<error_kind::run>;
using output_error = error_of<error_kind::output>;

/// Throws the error type that belongs to `kind`.
[[noreturn]] void throw_error(error_kind kind, const std::string& message);

/// Prints the broken invariant and aborts. Called through TROUPE_CHECK only.
[[noreturn]] void check_failed(const char* condition, const char* file, int line, const std::string& message);

} // namespace troupe

/// Aborts when `condition`, an invariant of our own code, does not hold. Never for the world's mistakes.
#define TROUPE_CHECK(condition, message)                                                                               \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      ::troupe::check_failed(#condition, __FILE__, __LINE__, (message));                                               \
  } while (false)
