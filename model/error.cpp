#include "model/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace troupe {

void throw_error(error_kind kind, const std::string& message) {
  switch (kind) {
  case error_kind::spec:
    throw spec_error(message);
  case error_kind::data:
    throw data_error(message);
  case error_kind::checkpoint:
    throw checkpoint_error(message);
  case error_kind::protocol:
    throw protocol_error(message);
  case error_kind::security:
    throw security_error(message);
  case error_kind::output:
    throw output_error(message);
  case error_kind::run:
    break;
  }
  throw run_error(message);
}

void check_failed(const char* condition, const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s: %s\n", file, line, condition, message.c_str());
  std::abort();
}

} // namespace troupe
