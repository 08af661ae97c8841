// The certificates of a job: a CA of its own, and for each host one certificate that serves both ends of a connection.
// X.509 version 3, keys and signatures on the curve P-256, everything as PEM text.
#pragma once

#include <ctime>
#include <string>

namespace troupe {

struct certificate_and_key {
  std::string certificate;
  std::string key; ///< PKCS #8, not encrypted
};

/// When a certificate counts; both in seconds since 1970, both included.
struct validity {
  std::time_t from = 0;
  std::time_t until = 0;
};

/// A new CA, which may sign certificates of hosts but no further CAs.
certificate_and_key make_authority(const validity& when);
/// A certificate for `host` (as parse_host gives it), its subjectAltName. Throws security_error that begins with
/// `origin`, where the authority comes from, if that is not a certificate and its key.
certificate_and_key issue_certificate(const certificate_and_key& authority, const std::string& origin,
                                      const std::string& host, const validity& when);
/// When the certificate counts. Throws security_error that begins with `origin`.
validity validity_of(const std::string& certificate, const std::string& origin);

} // namespace troupe
