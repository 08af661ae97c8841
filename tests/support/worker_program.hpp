// A real `troupe worker` on loopback, at a free port.
#pragma once

#include "tests/support/run_program.hpp"

#include <string>
#include <vector>

namespace troupe::test {

class worker_program {
public:
  explicit worker_program(const std::vector<std::string>& flags = {})
      : program_(with({"worker", "--listen", "127.0.0.1:0"}, flags)) {
    const std::string said = program_.first_line();
    const std::string prefix = "listening on ";
    if (said.rfind(prefix, 0) != 0)
      throw std::runtime_error("a worker said '" + said + "'");
    address_ = said.substr(prefix.size());
  }

  const std::string& address() const { return address_; }
  running_program& program() { return program_; }
  /// Blocks until the worker has let go of a run.
  bool wait_until_free() { return program_.wait_for_error_output("waiting for the next"); }

private:
  static std::vector<std::string> with(std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  running_program program_;
  std::string address_;
};

/// As --workers takes them.
template <class... Workers>
std::string addresses_of(const Workers&... workers) {
  std::string joined;
  ((joined += (joined.empty() ? "" : ",") + workers.address()), ...);
  return joined;
}

} // namespace troupe::test
