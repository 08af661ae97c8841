// The program's exit codes, one for each kind of trouble; docs and tests rely on them.
#pragma once

#include "model/error.hpp"

namespace troupe {

enum exit_code : int {
  exit_done = 0,
  exit_usage = 2,        ///< a wrong flag or run spec
  exit_files = 3,        ///< unusable training data or checkpoint, or an output that cannot be written
  exit_failed = 4,       ///< the run was lost
  exit_refused = 5,      ///< for security
  exit_interrupted = 130 ///< by Ctrl-C, as shells report it
};

inline exit_code exit_code_of(error_kind kind) {
  switch (kind) {
  case error_kind::spec:
    return exit_usage;
  case error_kind::data:
  case error_kind::checkpoint:
  case error_kind::output:
    return exit_files;
  case error_kind::security:
    return exit_refused;
  case error_kind::protocol:
  case error_kind::run:
    break;
  }
  return exit_failed;
}

} // namespace troupe
