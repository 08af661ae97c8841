#include "runtime/tls/tls_failure.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/err.h>

namespace troupe {

namespace {

std::string explain_certificate(const refused_certificate& refused, const std::string& expected_host) {
  const X509& found = *refused.certificate;
  const std::vector<std::string> hosts = hosts_of(found);
  const std::string owner =
      hosts.empty() ? text_of(*X509_get_subject_name(&found)) : fmt::format("{}", fmt::join(hosts, ", "));
  if (refused.reason == X509_V_ERR_HOSTNAME_MISMATCH || refused.reason == X509_V_ERR_IP_ADDRESS_MISMATCH)
    return fmt::format("found a peer with a certificate for {}, expected one for {}", owner, expected_host);
  return fmt::format("found a peer with a certificate that we refuse: {} (for {}, issued by {}, valid from {} to {}), "
                     "expected one that our ca.pem has signed and that is valid now",
                     X509_verify_cert_error_string(refused.reason), owner, text_of(*X509_get_issuer_name(&found)),
                     text_of(*X509_get0_notBefore(&found)), text_of(*X509_get0_notAfter(&found)));
}

/// Alerts are how the peer says what it has found (RFC 8446, 6.2).
std::string explain_alert(int alert) {
  switch (alert) {
  case SSL_AD_BAD_CERTIFICATE:
  case SSL_AD_UNSUPPORTED_CERTIFICATE:
  case SSL_AD_CERTIFICATE_REVOKED:
  case SSL_AD_CERTIFICATE_EXPIRED:
  case SSL_AD_CERTIFICATE_UNKNOWN:
  case SSL_AD_UNKNOWN_CA:
  case SSL_AD_ACCESS_DENIED:
    return fmt::format("the peer refused our certificate: {}", SSL_alert_desc_string_long(alert));
  case SSL_AD_CERTIFICATE_REQUIRED: // OpenSSL 3.0 has no text for this one
    return "the peer refused our certificate: found none, expected one";
  case SSL_AD_PROTOCOL_VERSION:
    return "found a peer that does not take TLS 1.3, expected one that does";
  default:
    return fmt::format("the peer ended the session: {}", SSL_alert_desc_string_long(alert));
  }
}

std::string explain_reason(int reason, bool established) {
  switch (reason) {
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return "found a peer without a certificate, expected one that our ca.pem has signed";
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_VERSION_TOO_LOW:
    return "found a peer with an older TLS, expected TLS 1.3";
  case SSL_R_NO_SHARED_CIPHER:
    return "found a peer without a cipher suite of ours, expected AES-GCM or ChaCha20-Poly1305 of TLS 1.3";
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_HTTP_REQUEST:
  case SSL_R_HTTPS_PROXY_REQUEST:
  case SSL_R_BAD_RECORD_TYPE:
  case SSL_R_PACKET_LENGTH_TOO_LONG:
    if (!established)
      return "found bytes that are no TLS, expected a peer that speaks TLS 1.3 (is it run with --tls?)";
    break;
  default:
    break;
  }
  return {};
}

} // namespace

std::string explain(const tls_failure& failure) {
  const unsigned long last = ERR_peek_last_error();
  const int reason = ERR_GET_LIB(last) == ERR_LIB_SSL ? ERR_GET_REASON(last) : 0;
  const std::string text = take_openssl_error();
  if (failure.refused.certificate)
    return "TLS: " + explain_certificate(failure.refused, failure.expected_host);
  if (reason >= SSL_AD_REASON_OFFSET)
    return "TLS: " + explain_alert(reason - SSL_AD_REASON_OFFSET);
  if (const std::string known = explain_reason(reason, failure.established); !known.empty())
    return "TLS: " + known;
  if (last == 0)
    return "TLS: the peer has closed the session before it was established";
  return failure.established ? fmt::format("TLS: found a record that is not as the peer made it ({}), expected bytes "
                                           "that nobody has changed",
                                           text)
                             : fmt::format("TLS: the handshake failed: {}", text);
}

} // namespace troupe
