// The addresses that the system has for a host and a port.
#pragma once

#include "runtime/network_address.hpp"

#include <memory>
#include <netdb.h>
#include <string>

namespace troupe {

using resolved_addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// Of TCP, in the system's order; null and the system's reason if there are none. Asks name servers, and waits for
/// them.
inline resolved_addresses resolve(const network_address& address, std::string& reason) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  if (const int problem = ::getaddrinfo(address.host.c_str(), port.c_str(), &hints, &found); problem != 0)
    reason = ::gai_strerror(problem);
  return {found, &::freeaddrinfo};
}

} // namespace troupe
