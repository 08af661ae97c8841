// Peers that must not get in: what the session says about each, and what the peer hears of it.
#include "model/error.hpp"
#include "tests/support/tls_peers.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

tls_session server_of(const tls_job& job) {
  return {job.identity("alpha"), tls_side::server, {}};
}
tls_session client_of(const tls_job& job, const std::string& expected = "beta") {
  return {job.identity("alpha"), tls_side::client, expected};
}

std::string refused_client(const tls_job& job, const lawless_peer::manner& how) {
  tls_session server = server_of(job);
  lawless_peer client(tls_side::client, how);
  return refusal(server, client);
}
std::string refused_server(const tls_job& job, const lawless_peer::manner& how, const std::string& expected = "beta") {
  tls_session client = client_of(job, expected);
  lawless_peer server(tls_side::server, how);
  return refusal(client, server);
}

const extensions node_extensions = {
    {NID_basic_constraints, "critical,CA:FALSE"},   {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth,clientAuth"},   {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid:always"}, {NID_subject_alt_name, "DNS:beta"}};

/// Those of a node, but for one kind that gets another value; without one it is left out.
extensions node_extensions_but(int kind, const std::string& value) {
  extensions changed;
  for (const auto& [of, usual] : node_extensions)
    if (of != kind)
      changed.emplace_back(of, usual);
    else if (!value.empty())
      changed.emplace_back(of, value);
  return changed;
}

} // namespace

TEST_CASE("a peer with a certificate of the job is taken, on either side, and given nothing to resume with", "[tls]") {
  const tls_job job;
  const certificate_and_key good = odd_certificate("beta", node_extensions, job.authority());
  CHECK(refused_server(job, {.shows = good}).empty());
  tls_session server = server_of(job);
  lawless_peer client(tls_side::client, {.shows = good});
  CHECK(refusal(server, client).empty());
  CHECK(server.established());
  CHECK(SSL_SESSION_is_resumable(client.session()) == 0);
}

TEST_CASE("a client without a certificate is refused, and told so", "[tls]") {
  const tls_job job;
  tls_session server = server_of(job);
  lawless_peer client(tls_side::client, {});
  CHECK_THAT(refusal(server, client), Contains("found a peer without a certificate, expected one"));
  CHECK_FALSE(server.established());
  CHECK_THAT(client.complaint(), Contains("certificate required"));
}

TEST_CASE("a certificate of another job is refused by both sides, even for the right host", "[tls]") {
  const tls_job job;
  const tls_job other;
  const certificate_and_key foreign = other.issue("beta", valid_now());
  for (const std::string& why : {refused_client(job, {.shows = foreign}), refused_server(job, {.shows = foreign})}) {
    CHECK_THAT(why, StartsWith("TLS: found a peer with a certificate that we refuse: unable to get local issuer"));
    CHECK_THAT(why, Contains("for beta, issued by CN = Troupe job "));
    CHECK_THAT(why, Contains("expected one that our ca.pem has signed"));
  }
}

TEST_CASE("two hosts of different jobs say that neither knows the other's CA", "[tls]") {
  const tls_job job;
  const tls_job other;
  const auto refused = [](const tls_job& of_client, const tls_job& of_server) {
    tls_pair both = pair_of(of_client.identity("alpha"), of_server.identity("beta"), "beta");
    return error_text<security_error>([&] { both.shake_hands(); });
  };
  CHECK_THAT(refused(job, other), StartsWith("TLS: found a peer with a certificate that we refuse: unable to get local "
                                             "issuer certificate (for beta, issued by CN = Troupe job "));
}

TEST_CASE("a certificate that copies the CA's name but not its signature is refused", "[tls]") {
  const tls_job job;
  const tls_job other;
  const std::string ours = text_of(*X509_get_subject_name(read_certificate(job.authority().certificate, "ca").get()));
  const certificate_and_key impostor =
      odd_certificate(ours.substr(ours.find("= ") + 2), {{NID_basic_constraints, "critical,CA:TRUE"},
                                                         {NID_key_usage, "critical,keyCertSign"},
                                                         {NID_subject_key_identifier, "hash"}});
  const certificate_and_key forged = odd_certificate("beta", node_extensions, impostor);
  CHECK_THAT(refused_client(job, {.shows = forged}), Contains("certificate that we refuse"));
  CHECK_THAT(refused_client(job, {.shows = forged, .also_shows = {impostor.certificate}}),
             Contains("certificate that we refuse"));
}

TEST_CASE("a client that the server refuses is established first, and hears why at the next receive", "[tls]") {
  const tls_job job;
  const tls_job other;
  tls_session client = client_of(job);
  lawless_peer server(tls_side::server,
                      {.shows = job.issue("beta", valid_now()), .trusts = other.authority().certificate});
  std::vector<char> to_server, to_client, plain;
  client.start(to_server);
  server.receive(to_server, to_client);
  deliver(to_client, client, plain, to_server);
  CHECK(client.established());
  server.receive(to_server, to_client);
  CHECK(error_text<security_error>([&] { deliver(to_client, client, plain, to_server); }) ==
        "TLS: the peer refused our certificate: unknown CA");
  CHECK_FALSE(client.established());
}

TEST_CASE("the alert that comes with a refusal tells a peer of the same program what was wrong", "[tls]") {
  const tls_job job;
  tls_pair both = pair_of(job.identity("alpha"), job.identity("beta"), "gamma");
  CHECK_THROWS_AS(both.shake_hands(), security_error);
  CHECK_FALSE(both.to_server.empty());
  CHECK_THAT(error_text<security_error>([&] { deliver(both.to_server, both.server, both.at_server, both.to_client); }),
             Contains("the peer refused our certificate"));
}

TEST_CASE("a certificate whose time is over, or has not come, is refused by both sides", "[tls]") {
  const tls_job job;
  const certificate_and_key old = job.issue("beta", valid_before());
  const certificate_and_key early = job.issue("beta", valid_later());
  CHECK_THAT(refused_client(job, {.shows = old}), Contains("certificate has expired") && Contains("valid from "));
  CHECK_THAT(refused_server(job, {.shows = old}), Contains("certificate has expired"));
  CHECK_THAT(refused_client(job, {.shows = early}), Contains("certificate is not yet valid"));
  CHECK_THAT(refused_server(job, {.shows = early}), Contains("certificate is not yet valid"));
}

TEST_CASE("a server of the job with a certificate for another host is refused, naming both", "[tls]") {
  const tls_job job;
  const auto refused = [&](const std::string& host, const std::string& expected) {
    tls_pair both = pair_of(job.identity("alpha"), job.identity(host), expected);
    return error_text<security_error>([&] { both.shake_hands(); });
  };
  CHECK(refused("beta", "beta").empty());
  CHECK_THAT(refused("beta", "gamma"), Contains("found a peer with a certificate for beta, expected one for gamma"));
  CHECK_THAT(refused("beta", "alpha"), Contains("certificate for beta, expected one for alpha"));
  CHECK_THAT(refused("beta", "beta.example"), Contains("certificate for beta, expected one for beta.example"));
  CHECK_THAT(refused("10.0.0.1", "10.0.0.2"), Contains("certificate for 10.0.0.1, expected one for 10.0.0.2"));
  CHECK_THAT(refused("fd00::1", "10.0.0.1"), Contains("certificate for fd00::1, expected one for 10.0.0.1"));
  CHECK_THAT(refused("beta", "10.0.0.1"), Contains("certificate for beta, expected one for 10.0.0.1"));
}

TEST_CASE("a host is looked for in the subjectAltName only, and there in full", "[tls]") {
  const tls_job job;
  const auto refused = [&](const std::string& names, const std::string& expected) {
    const extensions all = node_extensions_but(NID_subject_alt_name, names);
    return refused_server(job, {.shows = odd_certificate("beta.example", all, job.authority())}, expected);
  };
  CHECK(refused("DNS:other,DNS:beta.example", "beta.example").empty());
  CHECK_THAT(refused("", "beta.example"), Contains("certificate for CN = beta.example, expected one for beta.example"));
  CHECK_THAT(refused("DNS:*.example", "beta.example"), Contains("certificate for *.example, expected"));
  CHECK_THAT(refused("DNS:10.0.0.1", "10.0.0.1"), Contains("expected one for 10.0.0.1"));
}

TEST_CASE("a certificate for one end only is refused at the other", "[tls]") {
  const tls_job job;
  const auto with_use = [&](const std::string& use) {
    return odd_certificate("beta", node_extensions_but(NID_ext_key_usage, use), job.authority());
  };
  CHECK_THAT(refused_client(job, {.shows = with_use("serverAuth")}), Contains("unsuitable certificate purpose"));
  CHECK_THAT(refused_server(job, {.shows = with_use("clientAuth")}), Contains("unsuitable certificate purpose"));
  CHECK(refused_client(job, {.shows = with_use("clientAuth")}).empty());
  CHECK(refused_server(job, {.shows = with_use("serverAuth")}).empty());
}

TEST_CASE("a host cannot make certificates with its own, nor can a CA below the job's", "[tls]") {
  const tls_job job;
  const certificate_and_key host = job.issue("beta", valid_now());
  const certificate_and_key below = odd_certificate("below",
                                                    {{NID_basic_constraints, "critical,CA:TRUE"},
                                                     {NID_key_usage, "critical,keyCertSign"},
                                                     {NID_subject_key_identifier, "hash"},
                                                     {NID_authority_key_identifier, "keyid:always"}},
                                                    job.authority());
  for (const certificate_and_key& issuer : {host, below})
    CHECK_THAT(refused_client(job, {.shows = odd_certificate("gamma", node_extensions, issuer),
                                    .also_shows = {issuer.certificate}}),
               Contains("certificate that we refuse"));
}

TEST_CASE("an older TLS is refused from either side, and an unknown cipher suite", "[tls]") {
  const tls_job job;
  const certificate_and_key good = job.issue("beta", valid_now());
  CHECK_THAT(refused_client(job, {.shows = good, .version = TLS1_2_VERSION}),
             Contains("found a peer with an older TLS, expected TLS 1.3"));
  CHECK_THAT(refused_server(job, {.shows = good, .version = TLS1_2_VERSION}),
             Contains("found a peer that does not take TLS 1.3"));
  CHECK_THAT(refused_client(job, {.shows = good, .cipher_suites = "TLS_AES_128_CCM_8_SHA256"}),
             Contains("found a peer without a cipher suite of ours"));
}

TEST_CASE("a peer that closes before the handshake is done is told from one that fails it", "[tls]") {
  const tls_job job;
  std::vector<char> plain, wire;
  tls_session client = client_of(job);
  client.start(wire);
  const std::string close_notify = {21, 3, 3, 0, 2, 1, 0}; // RFC 8446, 5.1 and 6
  CHECK(error_text<security_error>([&] { client.receive(close_notify, plain, wire); }) ==
        "TLS: the peer has closed the session before it was established");
}

TEST_CASE("bytes that are no TLS are refused on either side", "[tls]") {
  const tls_job job;
  std::vector<char> plain, wire;
  for (const std::string& text : {std::string("GET / HTTP/1.0\r\n\r\n"), std::string("TRPE\1 a frame without TLS"),
                                  std::string(8, '\0'), std::string("SSH-2.0-x\r\n")}) {
    CAPTURE(text);
    tls_session server = server_of(job);
    CHECK_THAT(error_text<security_error>([&] { server.receive(text, plain, wire); }),
               Contains("found bytes that are no TLS, expected a peer that speaks TLS 1.3"));
    tls_session client = client_of(job);
    client.start(wire);
    CHECK_THAT(error_text<security_error>([&] { client.receive(text, plain, wire); }),
               Contains("found bytes that are no TLS"));
  }
  CHECK(plain.empty());
}
