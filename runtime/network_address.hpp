// HOST:PORT as flags name it, and the rule that only loopback addresses may do without TLS. Opens no connection; the
// only name that is ever resolved is localhost.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

namespace troupe {

struct network_address {
  std::string host; ///< IPv4 or IPv6 in its shortest form and without brackets, or a name in lower case
  std::uint16_t port = 0;

  friend bool operator==(const network_address&, const network_address&) = default;
};

/// Port 0 asks the system for a free one, which makes sense only to who listens.
enum class port_zero : std::uint8_t { refused, allowed };

/// A host by itself, as `network_address::host` has it. Throws spec_error that begins with `field`, also for spellings
/// that only some resolvers take for an address, such as 127.1 or 0x7f000001.
std::string parse_host(std::string_view text, const std::string& field);
/// Hosts separated by commas: at least one, none twice.
std::vector<std::string> parse_hosts(std::string_view text, const std::string& field);
/// Reads NAME:PORT, IPV4:PORT or [IPV6]:PORT. Throws spec_error that begins with `field`.
network_address parse_address(std::string_view text, const std::string& field, port_zero zero = port_zero::refused);
/// Reads addresses separated by commas: at least one, none twice.
std::vector<network_address> parse_addresses(std::string_view text, const std::string& field);
/// What parse_address gives back.
std::string to_string(const network_address& address);

/// Whether a parsed host is an IPv4 or IPv6 address rather than a name.
bool is_numeric(const std::string& host);
/// 127.0.0.0/8, ::1, and localhost if all that it resolves to are such. No other name is, whatever it resolves to: by
/// the time of the connection it may resolve to something else. Neither are the wildcards 0.0.0.0 and ::.
bool is_loopback(const network_address& address);
/// The same of a socket's address, which has `size` bytes.
bool is_loopback_socket(const sockaddr& address, socklen_t size);
/// Throws security_error for an address that needs TLS, when there is none.
void expect_tls_unless_loopback(const network_address& address, bool tls, const std::string& field);

} // namespace troupe
