// One TLS 1.3 connection without its socket: encrypted bytes in and out, plain bytes out and in. Both sides show a
// certificate of the job's CA; the client also checks that the server's is for the host it meant to reach.
#pragma once

#include "runtime/tls/tls_identity.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace troupe {

enum class tls_side : std::uint8_t { client, server };

/// For one thread at a time. Holds at most one record (16 KiB) in each direction, and before the peer is verified at
/// most 100 KiB of its certificates.
class tls_session {
public:
  /// With AES-GCM a key is good for 2^24.5 records (RFC 8446, 5.5); a new one is agreed on long before.
  static constexpr std::uint64_t default_records_per_key = std::uint64_t{1} << 22;

  /// `expected_host` is the name or address (network_address::host) that the server's certificate must be for; empty on
  /// the server, which takes every certificate of its CA.
  tls_session(const tls_identity& identity, tls_side side, const std::string& expected_host,
              std::uint64_t records_per_key = default_records_per_key);
  tls_session(const tls_session&) = delete;
  tls_session& operator=(const tls_session&) = delete;
  tls_session(tls_session&&) noexcept;
  tls_session& operator=(tls_session&&) noexcept;
  ~tls_session();

  /// Client: appends the first flight to `wire`. Nothing on the server, which waits for it.
  void start(std::vector<char>& wire);
  /// Takes bytes from the peer, in whatever pieces they come. Appends what they decrypt to `plain`, and what is to be
  /// sent in answer to `wire`.
  /// Throws security_error that says what was found: no certificate or one of another CA, expired or for another host,
  /// no TLS at all or an old one, a record that was changed, or that the peer refused our certificate (a client may
  /// learn that only after it is established). `wire` then holds the alert that tells the peer: send it, then close the
  /// connection. The session is of no more use, and throws the same again.
  void receive(std::span<const char> bytes, std::vector<char>& plain, std::vector<char>& wire);
  /// Appends the encrypted `plain` to `wire`: 22 bytes more for each 16 KiB begun. Only once established, and not after
  /// close.
  void send(std::span<const char> plain, std::vector<char>& wire);
  /// Appends the message that nothing follows from our side.
  void close(std::vector<char>& wire);

  /// The peer is verified, as far as it is in our hand, and data may be sent.
  bool established() const;
  /// The first name or address that the peer's certificate is for; empty before its certificate was verified.
  std::string peer_name() const;
  /// The peer has said that nothing follows. A connection that ends without was cut off, by whomever.
  bool closed_by_peer() const;

private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace troupe
