// What a call says when it fails.
#pragma once

#include "model/error.hpp"

#include <string>

namespace troupe::test {

/// The message of the error that `call` throws; empty when it throws none. Another exception than `Error` passes.
template <typename Error, typename Call>
std::string error_text(const Call& call) {
  try {
    call();
  } catch (const Error& failure) {
    return failure.what();
  }
  return {};
}

} // namespace troupe::test
