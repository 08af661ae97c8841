// Worker processes on this machine that live as long as the run: what --spawn asks for.
#pragma once

#include "runtime/network_address.hpp"

#include <cstdint>
#include <string>
#include <sys/types.h>
#include <vector>

namespace troupe {

class local_workers {
public:
  /// Starts `count` workers that listen on 127.0.0.1, each at a free port. Throws run_error when one does not start.
  local_workers(std::uint32_t count, const std::string& tls_directory, double peer_timeout);
  local_workers(const local_workers&) = delete;
  local_workers& operator=(const local_workers&) = delete;
  /// Ends them and waits until they are gone.
  ~local_workers();

  const std::vector<network_address>& addresses() const { return addresses_; }

private:
  void start(const std::string& tls_directory, double peer_timeout);
  void end();

  std::vector<pid_t> processes_;
  std::vector<network_address> addresses_;
};

} // namespace troupe
