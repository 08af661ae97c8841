#include "runtime/tls/tls_context.hpp"

namespace troupe {

namespace {

constexpr const char* cipher_suites = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
constexpr int security_level = 2; ///< keys of at least 112 bits of strength, no SHA-1 (SSL_CTX_set_security_level(3))

} // namespace

void set_certificate_rules(X509_VERIFY_PARAM& rules) {
  X509_VERIFY_PARAM_set_flags(&rules, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_depth(&rules, 0); // between the certificate and the CA
}

std::shared_ptr<SSL_CTX> make_tls_context(X509& certificate, EVP_PKEY& key, X509& authority) {
  std::shared_ptr<SSL_CTX> shared(SSL_CTX_new(TLS_method()), &SSL_CTX_free);
  SSL_CTX* context = shared.get();
  expect_done(context != nullptr, "TLS");
  SSL_CTX_set_security_level(context, security_level);
  expect_done(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
                  SSL_CTX_set_ciphersuites(context, cipher_suites) == 1,
              "TLS 1.3");
  // A resumed session would not look at certificates again, and connections here live as long as the run.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  expect_done(SSL_CTX_set_num_tickets(context, 0) == 1, "TLS");
  // The peer has our CA's certificate, or refuses us: with that of another job in the chain it would only find it too
  // long.
  SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
  set_certificate_rules(*SSL_CTX_get0_param(context));
  expect_done(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), &authority) == 1 &&
                  SSL_CTX_use_certificate(context, &certificate) == 1 && SSL_CTX_use_PrivateKey(context, &key) == 1,
              "TLS certificate");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return shared;
}

} // namespace troupe
