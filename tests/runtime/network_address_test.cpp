// HOST:PORT in all spellings, and which addresses may do without TLS.
#include "model/error.hpp"
#include "runtime/network_address.hpp"
#include "tests/support/error_text.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

std::string refused(const std::string& text) {
  return error_text<spec_error>([&] { parse_address(text, "--listen"); });
}

bool loopback(const std::string& host) {
  return is_loopback({.host = parse_host(host, "host"), .port = 1});
}

} // namespace

TEST_CASE("an address is a name, an IPv4 address or an IPv6 address in brackets, and a port", "[address]") {
  const std::vector<std::pair<std::string, network_address>> spellings = {
      {"localhost:1", {.host = "localhost", .port = 1}},
      {"Node-1.Example:65535", {.host = "node-1.example", .port = 65535}},
      {"rank_0:80", {.host = "rank_0", .port = 80}},
      {"10.0.0.1:4000", {.host = "10.0.0.1", .port = 4000}},
      {"[::1]:4000", {.host = "::1", .port = 4000}},
      {"[FD00:0:0:0:0:0:0:1]:7", {.host = "fd00::1", .port = 7}},
      {"0.0.0.0:7", {.host = "0.0.0.0", .port = 7}}};
  for (const auto& [text, expected] : spellings) {
    CAPTURE(text);
    const network_address found = parse_address(text, "--listen");
    CHECK(found == expected);
    CHECK(parse_address(to_string(found), "--listen") == found);
  }
  CHECK(to_string({.host = "fd00::1", .port = 7}) == "[fd00::1]:7");
}

TEST_CASE("what is no address is refused, naming field and text", "[address]") {
  for (const std::string text : {"",
                                 "host",
                                 "host:",
                                 ":80",
                                 "[]:80",
                                 "host:port",
                                 "host:-1",
                                 "host:+1",
                                 "host: 1",
                                 "host:65536",
                                 "host:1x",
                                 "host:0",
                                 "::1:80",
                                 "[10.0.0.1]:80",
                                 "[host]:80",
                                 "[::1]80",
                                 "[::1",
                                 "a b:1",
                                 "-a:1",
                                 "a-:1",
                                 "a..b:1",
                                 "a.:1",
                                 "h\n:1",
                                 "fe80::1%eth0:1",
                                 "[fe80::1%eth0]:1",
                                 "user@host:1",
                                 "http://host:1"}) {
    CAPTURE(text);
    CHECK_THAT(refused(text), StartsWith("--listen: found ") && Contains("expected"));
  }
  CHECK_THAT(refused("host:65536"),
             Contains("found port \"65536\" in \"host:65536\", expected a number from 1 to 65535"));
  CHECK_THAT(refused(std::string(64, 'a') + ":1"), Contains("expected a name"));
  CHECK_THAT(refused(std::string("a\0b:1", 5)), Contains("found host \"a?b\""));
}

TEST_CASE("spellings that only some resolvers take for an address are refused", "[address]") {
  for (const std::string text :
       {"127.1", "2130706433", "0x7f000001", "127.0.0.0x1", "1.2.3.4.5", "256.0.0.1", "010.0.0.1"}) {
    CAPTURE(text);
    CHECK_THAT(refused(text + ":1"), Contains("expected a name, an IPv4 address"));
  }
}

TEST_CASE("port 0 is for who listens", "[address]") {
  CHECK(parse_address("host:0", "--listen", port_zero::allowed).port == 0);
  CHECK_THAT(refused("host:0"), Contains("expected a number from 1"));
}

TEST_CASE("a list of addresses has each once", "[address]") {
  const std::vector<network_address> found = parse_addresses("a:1,[::1]:2,a:3", "--workers");
  CHECK(found == std::vector<network_address>{{"a", 1}, {"::1", 2}, {"a", 3}});
  const auto refused_list = [](const std::string& text) {
    return error_text<spec_error>([&] { parse_addresses(text, "--workers"); });
  };
  CHECK_THAT(refused_list("a:1,b:1,A:1"), Contains("--workers: found a:1 twice"));
  CHECK_THAT(refused_list("[::1]:1,[0:0::1]:1"), Contains("found [::1]:1 twice"));
  for (const std::string text : {"", "a:1,", ",a:1", "a:1,,b:1"})
    CHECK_THAT(refused_list(text), StartsWith("--workers: found \"\", expected HOST:PORT"));
}

TEST_CASE("a list of hosts has each once, whatever its spelling", "[address]") {
  CHECK(parse_hosts("A,10.0.0.1,::1", "--hosts") == std::vector<std::string>{"a", "10.0.0.1", "::1"});
  CHECK(error_text<spec_error>([] { parse_hosts("::1,0::1", "--hosts"); }) ==
        "--hosts: found ::1 twice, expected it once");
  CHECK_THAT(error_text<spec_error>([] { parse_hosts("a,", "--hosts"); }), Contains("--hosts: found host \"\""));
}

TEST_CASE("loopback is 127.0.0.0/8, ::1 and localhost, and nothing else", "[address]") {
  for (const std::string host : {"127.0.0.1", "127.255.0.9", "::1", "localhost", "LOCALHOST"}) {
    CAPTURE(host);
    CHECK(loopback(host));
  }
  for (const std::string host : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "126.255.255.255", "::2", "fe80::1",
                                 "::ffff:10.0.0.1", "localhost.example", "example", "127-0-0-1"}) {
    CAPTURE(host);
    CHECK_FALSE(loopback(host));
  }
}

TEST_CASE("without TLS only loopback is let through", "[address]") {
  const auto refusal = [](const std::string& address, bool tls) {
    return error_text<security_error>(
        [&] { expect_tls_unless_loopback(parse_address(address, "--listen"), tls, "--listen"); });
  };
  CHECK(refusal("127.0.0.1:80", false).empty());
  CHECK(refusal("[::1]:80", false).empty());
  CHECK(refusal("0.0.0.0:80", true).empty());
  CHECK(refusal("10.0.0.1:80", false) == "--listen: 10.0.0.1:80: found no TLS, expected --tls DIR, as only loopback "
                                         "addresses may do without");
  CHECK_THAT(refusal("[::]:80", false), StartsWith("--listen: [::]:80: found no TLS"));
}
