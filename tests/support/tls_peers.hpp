// What TLS tests are made of: jobs with certificates, certificates that nobody should accept, two sessions joined by
// memory, and a peer that follows none of our rules.
#pragma once

#include "runtime/tls/certificate_folder.hpp"
#include "runtime/tls/certificates.hpp"
#include "runtime/tls/openssl.hpp"
#include "runtime/tls/tls_session.hpp"
#include "tests/support/error_text.hpp"
#include "tests/support/scratch_directory.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace troupe::test {

constexpr std::time_t hour = 3600; ///< seconds
constexpr std::time_t day = 24 * hour;

/// Around now, since OpenSSL asks the clock.
inline validity valid_now() {
  const std::time_t now = std::time(nullptr);
  return {.from = now - hour, .until = now + hour};
}
inline validity valid_before() {
  return {.from = std::time(nullptr) - 2 * hour, .until = std::time(nullptr) - hour};
}
inline validity valid_later() {
  return {.from = std::time(nullptr) + hour, .until = std::time(nullptr) + 2 * hour};
}

/// A directory of certificates as `troupe certs` makes them.
class tls_job {
public:
  explicit tls_job(const std::vector<std::string>& hosts = {"alpha", "beta", "10.0.0.1", "fd00::1"}) {
    make_certificates({.directory = scratch_.path(), .hosts = hosts, .days = 1, .now = std::time(nullptr)});
  }
  std::filesystem::path folder(const std::string& host) const { return scratch_ / host; }
  tls_identity identity(const std::string& host) const { return tls_identity::load(folder(host)); }
  certificate_and_key authority() const {
    return {.certificate = read_bytes(scratch_ / authority_file), .key = read_bytes(scratch_ / authority_key_file)};
  }
  certificate_and_key issue(const std::string& host, const validity& when) const {
    return issue_certificate(authority(), "the job's CA", host, when);
  }

private:
  scratch_directory scratch_;
};

using extensions = std::vector<std::pair<int, std::string>>;

/// A certificate with just these extensions, signed by `issuer`, or by itself without one.
inline certificate_and_key odd_certificate(const std::string& name, const extensions& wanted,
                                           const std::optional<certificate_and_key>& issuer = std::nullopt) {
  const validity when = valid_now();
  const key_owner key(EVP_EC_gen("P-256"));
  certificate_owner made(X509_new());
  const certificate_owner signer = issuer ? read_certificate(issuer->certificate, "issuer") : nullptr;
  const key_owner signer_key = issuer ? read_key(issuer->key, "issuer") : nullptr;
  X509* by = signer ? signer.get() : made.get();
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 7);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), when.from);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), when.until);
  X509_set_pubkey(made.get(), key.get());
  const std::vector<unsigned char> common_name(name.begin(), name.end());
  X509_NAME_add_entry_by_NID(X509_get_subject_name(made.get()), NID_commonName, MBSTRING_ASC, common_name.data(),
                             static_cast<int>(common_name.size()), -1, 0);
  X509_set_issuer_name(made.get(), X509_get_subject_name(by));
  for (const auto& [kind, value] : wanted) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, by, made.get(), nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    if (extension == nullptr)
      throw std::runtime_error("no extension " + value + ": " + take_openssl_error());
    X509_add_ext(made.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(made.get(), signer ? signer_key.get() : key.get(), EVP_sha256());
  const auto text = [](const auto& write) {
    const bio_owner memory(BIO_new(BIO_s_mem()));
    write(memory.get());
    char* begin = nullptr;
    const long size = BIO_get_mem_data(memory.get(), &begin);
    return std::string(begin, static_cast<std::size_t>(size));
  };
  return {.certificate = text([&](BIO* out) { PEM_write_bio_X509(out, made.get()); }),
          .key = text(
              [&](BIO* out) { PEM_write_bio_PKCS8PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); })};
}

/// Hands `bytes` over in pieces, and empties them.
inline void deliver(std::vector<char>& bytes, tls_session& to, std::vector<char>& plain, std::vector<char>& answer,
                    std::size_t piece = SIZE_MAX) {
  const std::vector<char> sent = std::exchange(bytes, {});
  for (std::size_t at = 0; at < sent.size(); at += std::min(piece, sent.size() - at))
    to.receive(std::span(sent).subspan(at, std::min(piece, sent.size() - at)), plain, answer);
}

/// A client and a server, and the bytes on their way between them.
struct tls_pair {
  tls_session client;
  tls_session server;
  std::vector<char> to_client{}, to_server{}; ///< encrypted
  std::vector<char> at_client{}, at_server{}; ///< decrypted

  void pass_on(std::size_t piece = SIZE_MAX) {
    while (!to_client.empty() || !to_server.empty()) {
      deliver(to_server, server, at_server, to_client, piece);
      deliver(to_client, client, at_client, to_server, piece);
    }
  }
  void shake_hands(std::size_t piece = SIZE_MAX) {
    client.start(to_server);
    pass_on(piece);
  }
};

inline tls_pair pair_of(const tls_identity& client, const tls_identity& server, const std::string& expected) {
  return {.client = tls_session(client, tls_side::client, expected),
          .server = tls_session(server, tls_side::server, {})};
}

/// A TLS peer made of OpenSSL alone, which verifies nothing unless told to.
class lawless_peer {
public:
  struct manner {
    std::optional<certificate_and_key> shows{};
    std::vector<std::string> also_shows{}; ///< certificates on the way to the CA
    std::optional<std::string> trusts{};   ///< a CA by which it verifies its peer
    int version = TLS1_3_VERSION;
    const char* cipher_suites = "TLS_AES_256_GCM_SHA384";
  };

  lawless_peer(tls_side side, const manner& how) : context_(SSL_CTX_new(TLS_method())) {
    SSL_CTX_set_min_proto_version(context_.get(), how.version);
    SSL_CTX_set_max_proto_version(context_.get(), how.version);
    SSL_CTX_set_ciphersuites(context_.get(), how.cipher_suites);
    if (how.shows) {
      SSL_CTX_use_certificate(context_.get(), read_certificate(how.shows->certificate, "shown").get());
      SSL_CTX_use_PrivateKey(context_.get(), read_key(how.shows->key, "shown").get());
    }
    for (const std::string& one : how.also_shows)
      SSL_CTX_add1_chain_cert(context_.get(), read_certificate(one, "shown").get());
    if (how.trusts) {
      X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), read_certificate(*how.trusts, "trusted").get());
      SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (side == tls_side::client)
      SSL_set_connect_state(ssl_.get());
    else
      SSL_set_accept_state(ssl_.get());
  }

  /// Takes the bytes and empties them, and appends the answer.
  void receive(std::vector<char>& bytes, std::vector<char>& answer) {
    BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
    bytes.clear();
    char ignored = 0;
    ERR_clear_error();
    if (SSL_read(ssl_.get(), &ignored, 1) <= 0 && ERR_peek_last_error() != 0)
      complaint_ = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    char* begin = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &begin);
    answer.insert(answer.end(), begin, begin + size);
    BIO_reset(SSL_get_wbio(ssl_.get()));
  }
  /// What OpenSSL said last; empty: nothing.
  const std::string& complaint() const { return complaint_; }
  const SSL_SESSION* session() const { return SSL_get_session(ssl_.get()); }

private:
  openssl_owner<SSL_CTX, &SSL_CTX_free> context_;
  openssl_owner<SSL, &SSL_free> ssl_;
  std::string complaint_;
};

/// Why the session refuses the peer, empty if it does not. The peer gets the alert.
inline std::string refusal(tls_session& session, lawless_peer& peer) {
  std::vector<char> to_session, to_peer, plain;
  std::string why;
  session.start(to_peer);
  peer.receive(to_peer, to_session);
  while (why.empty() && !to_session.empty()) {
    why = error_text<security_error>([&] { deliver(to_session, session, plain, to_peer); });
    peer.receive(to_peer, to_session);
  }
  return why;
}

} // namespace troupe::test
