// The settings that all TLS sessions of a node share. For the sources of runtime/tls only.
#pragma once

#include "runtime/tls/openssl.hpp"

#include <memory>

namespace troupe {

/// Certificates are held to all of RFC 5280, and must be signed by the trusted CA itself.
void set_certificate_rules(X509_VERIFY_PARAM& rules);

/// TLS 1.3 only, with the node's certificate and key and its only trusted CA; no resumption.
std::shared_ptr<SSL_CTX> make_tls_context(X509& certificate, EVP_PKEY& key, X509& authority);

} // namespace troupe
