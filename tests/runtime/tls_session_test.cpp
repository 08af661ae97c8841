// Two TLS sessions that talk through memory: what arrives, in what pieces, and how they end.
#include "runtime/tls/tls_session.hpp"
#include "tests/support/tls_peers.hpp"

#include <catch2/catch.hpp>
#include <openssl/err.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::size_t record = 16384;
constexpr std::size_t record_overhead = 22; // header, content type, tag (RFC 8446, 5.2)

std::vector<char> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

/// Bytes without a period that a mix-up of records could hide in.
std::vector<char> counted_bytes(std::size_t size) {
  std::vector<char> bytes(size);
  std::uint32_t word = 1;
  for (char& one : bytes) {
    word = word * 1664525U + 1013904223U;
    one = static_cast<char>(word >> 24U);
  }
  return bytes;
}

tls_pair established_pair(const tls_job& job) {
  tls_pair made = pair_of(job.identity("alpha"), job.identity("beta"), "beta");
  made.shake_hands();
  REQUIRE(made.client.established());
  REQUIRE(made.server.established());
  return made;
}

} // namespace

TEST_CASE("two sessions of a job shake hands in pieces of every size, and talk both ways", "[tls]") {
  const tls_job job;
  const tls_identity alpha = job.identity("alpha");
  const tls_identity beta = job.identity("beta");
  std::vector<std::size_t> sizes = {500, 1000, SIZE_MAX};
  for (std::size_t size = 1; size < 40; ++size)
    sizes.push_back(size);
  for (const std::size_t piece : sizes) {
    CAPTURE(piece);
    tls_pair both = pair_of(alpha, beta, "beta");
    CHECK_FALSE(both.client.established());
    CHECK(both.client.peer_name().empty());
    both.shake_hands(piece);
    REQUIRE(both.client.established());
    REQUIRE(both.server.established());
    CHECK(both.client.peer_name() == "beta");
    CHECK(both.server.peer_name() == "alpha");
    both.client.send(bytes_of("to the server"), both.to_server);
    both.server.send(bytes_of("to the client"), both.to_client);
    both.pass_on(piece);
    CHECK(both.at_server == bytes_of("to the server"));
    CHECK(both.at_client == bytes_of("to the client"));
  }
}

TEST_CASE("a server is known by its IPv4 or IPv6 address, too", "[tls]") {
  const tls_job job;
  for (const std::string host : {"10.0.0.1", "fd00::1"}) {
    tls_pair both = pair_of(job.identity("alpha"), job.identity(host), host);
    both.shake_hands();
    CHECK(both.server.established());
    CHECK(both.client.peer_name() == host);
  }
}

TEST_CASE("megabytes arrive as they were sent, and cost 22 bytes a record", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  const std::vector<char> sent = counted_bytes(200 * record + 1);
  both.client.send(sent, both.to_server);
  CHECK(both.to_server.size() == sent.size() + 201 * record_overhead);
  both.pass_on(100'000);
  CHECK((both.at_server == sent));
}

TEST_CASE("what is sent is appended to what waits to be sent, and what arrives to what was there", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.at_server = bytes_of("before ");
  both.client.send(bytes_of("one "), both.to_server);
  both.client.send({}, both.to_server);
  both.client.send(bytes_of("two"), both.to_server);
  CHECK(both.to_server.size() == 7 + 2 * record_overhead);
  both.pass_on();
  CHECK(both.at_server == bytes_of("before one two"));
}

TEST_CASE("the wire shows nothing of what is sent", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.client.send(std::vector<char>(1000, 'x'), both.to_server);
  CHECK(std::string(both.to_server.begin(), both.to_server.end()).find("xxx") == std::string::npos);
}

TEST_CASE("half a record waits for its other half", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.client.send(counted_bytes(1000), both.to_server);
  const std::span<const char> all(both.to_server);
  both.server.receive(all.first(all.size() - 1), both.at_server, both.to_client);
  CHECK(both.at_server.empty());
  both.server.receive(all.last(1), both.at_server, both.to_client);
  CHECK(both.at_server == counted_bytes(1000));
}

TEST_CASE("half a handshake establishes nothing", "[tls]") {
  const tls_job job;
  tls_pair both = pair_of(job.identity("alpha"), job.identity("beta"), "beta");
  both.client.start(both.to_server);
  deliver(both.to_server, both.server, both.at_server, both.to_client);
  const std::span<const char> flight(both.to_client);
  both.client.receive(flight.first(flight.size() - 1), both.at_client, both.to_server);
  CHECK_FALSE(both.client.established());
  CHECK_FALSE(both.server.established());
  both.client.receive(flight.last(1), both.at_client, both.to_server);
  CHECK(both.client.established());
  CHECK_FALSE(both.server.established()); // it has not seen the client's certificate yet
}

TEST_CASE("a flipped bit anywhere in a record is never delivered", "[tls]") {
  const tls_job job;
  constexpr std::size_t header = 5;
  for (std::size_t at = 0; at < 100 + record_overhead; ++at) {
    CAPTURE(at);
    tls_pair both = established_pair(job);
    both.client.send(counted_bytes(100), both.to_server);
    both.to_server.at(at) = static_cast<char>(both.to_server.at(at) ^ 4);
    const std::string why =
        error_text<security_error>([&] { deliver(both.to_server, both.server, both.at_server, both.to_client); });
    CHECK(both.at_server.empty());
    if (at >= header) // a changed length may make it wait for more
      CHECK_THAT(why, Catch::Contains("found a record that is not as the peer made it") &&
                          Catch::Contains("bad record mac"));
  }
}

TEST_CASE("records that come before a changed one are delivered", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.client.send(bytes_of("good"), both.to_server);
  both.client.send(bytes_of("bad"), both.to_server);
  both.to_server.back() = static_cast<char>(both.to_server.back() ^ 1);
  CHECK_THROWS_AS(deliver(both.to_server, both.server, both.at_server, both.to_client), security_error);
  CHECK(both.at_server == bytes_of("good"));
}

TEST_CASE("records that are left out, swapped or repeated are refused", "[tls]") {
  const tls_job job;
  const auto attempt = [&](const auto& order) {
    tls_pair both = established_pair(job);
    std::vector<std::vector<char>> records(2);
    both.client.send(bytes_of("first"), records[0]);
    both.client.send(bytes_of("second"), records[1]);
    return error_text<security_error>([&] {
      for (const std::size_t one : order)
        both.server.receive(records[one], both.at_server, both.to_client);
    });
  };
  CHECK(attempt(std::vector<std::size_t>{0, 1}).empty());
  CHECK_THAT(attempt(std::vector<std::size_t>{1}), Catch::Contains("bad record mac"));
  CHECK_THAT(attempt(std::vector<std::size_t>{1, 0}), Catch::Contains("bad record mac"));
  CHECK_THAT(attempt(std::vector<std::size_t>{0, 0}), Catch::Contains("bad record mac"));
}

TEST_CASE("a session that has failed throws the same again, and leaves the thread's errors empty", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.client.send(bytes_of("bad"), both.to_server);
  both.to_server.back() = static_cast<char>(both.to_server.back() ^ 1);
  const auto attempt = [&] { both.server.receive(both.to_server, both.at_server, both.to_client); };
  const std::string why = error_text<security_error>(attempt);
  CHECK(ERR_peek_error() == 0);
  CHECK(!why.empty());
  CHECK(error_text<security_error>(attempt) == why);
  CHECK_FALSE(both.server.established());
  CHECK(error_text<security_error>([&] { both.server.send(bytes_of("x"), both.to_client); }) == why);
}

TEST_CASE("errors that others left in the thread's queue do not end a session", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_RECORD_TYPE);
  both.client.send(bytes_of("fine"), both.to_server);
  ERR_raise(ERR_LIB_SSL, SSL_R_BAD_RECORD_TYPE);
  both.pass_on(1);
  CHECK(both.at_server == bytes_of("fine"));
  ERR_clear_error();
}

TEST_CASE("who closes says so, the other side may still talk, and a cut is not taken for an end", "[tls]") {
  const tls_job job;
  tls_pair both = established_pair(job);
  both.client.send(bytes_of("last words"), both.to_server);
  both.client.close(both.to_server);
  const std::vector<char> flight = std::exchange(both.to_server, {});
  both.server.receive(std::span(flight).first(flight.size() - 1), both.at_server, both.to_client);
  CHECK_FALSE(both.server.closed_by_peer());
  both.server.receive(std::span(flight).last(1), both.at_server, both.to_client);
  CHECK(both.server.closed_by_peer());
  CHECK(both.at_server == bytes_of("last words"));
  both.server.receive(bytes_of("after the end"), both.at_server, both.to_client); // which nobody could have signed
  CHECK(both.at_server == bytes_of("last words"));
  both.server.send(bytes_of("goodbye"), both.to_client);
  both.pass_on();
  CHECK(both.at_client == bytes_of("goodbye"));
  CHECK_FALSE(both.client.closed_by_peer());
}

TEST_CASE("a session that was never established closes in silence", "[tls]") {
  const tls_job job;
  tls_pair both = pair_of(job.identity("alpha"), job.identity("beta"), "beta");
  both.server.close(both.to_client);
  CHECK(both.to_client.empty());
}

TEST_CASE("keys are changed after so many records, and data go on", "[tls]") {
  const tls_job job;
  constexpr std::size_t key_update_record = 5 + record_overhead; // of a message of 5 bytes (RFC 8446, 4.6.3)
  tls_pair both = {.client = tls_session(job.identity("alpha"), tls_side::client, "beta", 4),
                   .server = tls_session(job.identity("beta"), tls_side::server, {})};
  both.shake_hands();
  const std::vector<char> sent = counted_bytes(9 * record + 10);
  both.client.send(sent, both.to_server);
  CHECK(both.to_server.size() == sent.size() + 10 * record_overhead + 2 * key_update_record);
  both.pass_on(10'000);
  CHECK((both.at_server == sent));
  both.server.send(bytes_of("heard"), both.to_client);
  both.pass_on();
  CHECK(both.at_client == bytes_of("heard"));
}

TEST_CASE("a session may be moved while it talks", "[tls]") {
  const tls_job job;
  tls_pair first = established_pair(job);
  tls_pair both = std::move(first);
  both.client.send(bytes_of("moved"), both.to_server);
  both.pass_on();
  CHECK(both.at_server == bytes_of("moved"));
}
