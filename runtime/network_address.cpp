#include "runtime/network_address.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>

namespace troupe {

namespace {

/// The shortest form of a numeric address; nothing if `text` is none. inet_pton takes dotted quads only.
std::optional<std::string> shortest_form(const std::string& text, int family) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  std::array<char, INET6_ADDRSTRLEN> shortest{};
  if (::inet_pton(family, text.c_str(), bytes.data()) != 1 ||
      ::inet_ntop(family, bytes.data(), shortest.data(), shortest.size()) == nullptr)
    return std::nullopt;
  return shortest.data();
}

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/// RFC 1123, 2.1, and the underscore, which names of containers have.
bool is_label(std::string_view label) {
  constexpr std::size_t longest = 63;
  return !label.empty() && label.size() <= longest && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_letter_or_digit(c) || c == '-' || c == '_'; });
}

/// Resolvers read a name whose last label is a number as an IPv4 address, in the manner of 127.1 or 0x7f000001.
bool is_number(std::string_view label) {
  const bool hexadecimal = label.starts_with("0x");
  return label.find_first_not_of(hexadecimal ? "0123456789abcdef" : "0123456789", hexadecimal ? 2 : 0) ==
         std::string_view::npos;
}

bool is_name(std::string_view text) {
  constexpr std::size_t longest = 253; // RFC 1035, 2.3.4, as text
  if (text.size() > longest || is_number(text.substr(text.rfind('.') + 1)))
    return false;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    if (!is_label(text.substr(begin, end - begin)))
      return false;
    begin = end + 1;
  }
  return true;
}

std::uint16_t parse_port(std::string_view text, std::string_view whole, const std::string& field, port_zero zero) {
  std::uint16_t port = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool is_port = problem == std::errc() && end == text.data() + text.size();
  if (!is_port || (port == 0 && zero == port_zero::refused))
    throw spec_error(fmt::format("{}: found port {} in {}, expected a number from {} to 65535", field, printable(text),
                                 printable(whole), zero == port_zero::refused ? 1 : 0));
  return port;
}

const std::string& to_string(const std::string& host) {
  return host;
}

/// What is between commas, each once.
template <typename Item, typename Parse>
std::vector<Item> parse_list(std::string_view text, const std::string& field, const Parse& parse) {
  std::vector<Item> items;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const Item one = parse(text.substr(begin, end - begin));
    if (std::ranges::find(items, one) != items.end())
      throw spec_error(fmt::format("{}: found {} twice, expected it once", field, to_string(one)));
    items.push_back(one);
    begin = end + 1;
  }
  return items;
}

/// `host` is in network byte order.
bool is_loopback_4(const in_addr& host) {
  constexpr std::uint32_t network = 127;
  return ntohl(host.s_addr) >> 24U == network;
}

/// The socket address in its own type.
template <typename Address>
Address as(const sockaddr& found, socklen_t size) {
  TROUPE_CHECK(size >= sizeof(Address), "the family tells the type");
  Address address = {};
  std::memcpy(&address, &found, sizeof address);
  return address;
}

bool resolves_to_loopback_only(const std::string& name) {
  addrinfo* list = nullptr;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM; // else each address comes once for each kind of socket
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0)
    return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  for (const addrinfo* one = list; one != nullptr; one = one->ai_next)
    if (!is_loopback_socket(*one->ai_addr, one->ai_addrlen))
      return false;
  return true;
}

} // namespace

std::string parse_host(std::string_view text, const std::string& field) {
  std::string host(text);
  std::ranges::transform(host, host.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
  if (const auto address = shortest_form(host, AF_INET))
    return *address;
  if (const auto address = shortest_form(host, AF_INET6))
    return *address;
  if (!is_name(host))
    throw spec_error(fmt::format("{}: found host {}, expected a name, an IPv4 address such as 10.0.0.1, or an IPv6 "
                                 "address such as fd00::1",
                                 field, printable(text)));
  return host;
}

network_address parse_address(std::string_view text, const std::string& field, port_zero zero) {
  const std::size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed)
    host = host.substr(1, host.size() - 2);
  // Only an IPv6 address has colons, and only in brackets is it clear where it ends.
  if (colon == std::string_view::npos || host.empty() || (host.find(':') != std::string_view::npos) != bracketed)
    throw spec_error(
        fmt::format("{}: found {}, expected HOST:PORT, where an IPv6 HOST is in brackets", field, printable(text)));
  return {.host = parse_host(host, field), .port = parse_port(text.substr(colon + 1), text, field, zero)};
}

std::vector<std::string> parse_hosts(std::string_view text, const std::string& field) {
  return parse_list<std::string>(text, field, [&](std::string_view one) { return parse_host(one, field); });
}

std::vector<network_address> parse_addresses(std::string_view text, const std::string& field) {
  return parse_list<network_address>(text, field, [&](std::string_view one) { return parse_address(one, field); });
}

std::string to_string(const network_address& address) {
  const bool brackets = address.host.find(':') != std::string::npos;
  return brackets ? fmt::format("[{}]:{}", address.host, address.port)
                  : fmt::format("{}:{}", address.host, address.port);
}

bool is_numeric(const std::string& host) {
  return shortest_form(host, AF_INET) || shortest_form(host, AF_INET6);
}

bool is_loopback_socket(const sockaddr& address, socklen_t size) {
  if (address.sa_family == AF_INET)
    return is_loopback_4(as<sockaddr_in>(address, size).sin_addr);
  if (address.sa_family != AF_INET6)
    return false;
  const in6_addr host = as<sockaddr_in6>(address, size).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&host);
}

bool is_loopback(const network_address& address) {
  if (address.host == "localhost")
    return resolves_to_loopback_only(address.host);
  in_addr numeric{};
  return address.host == "::1" || (::inet_pton(AF_INET, address.host.c_str(), &numeric) == 1 && is_loopback_4(numeric));
}

void expect_tls_unless_loopback(const network_address& address, bool tls, const std::string& field) {
  if (!tls && !is_loopback(address))
    throw security_error(fmt::format("{}: {}: found no TLS, expected --tls DIR, as only loopback addresses may do "
                                     "without",
                                     field, to_string(address)));
}

} // namespace troupe
