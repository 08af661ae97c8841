// Why a TLS session failed, in words for whoever runs the job. For the sources of runtime/tls only.
#pragma once

#include "runtime/tls/openssl.hpp"

#include <string>

namespace troupe {

/// What our own check of the peer's certificates has found first.
struct refused_certificate {
  int reason = X509_V_OK;
  certificate_owner certificate; ///< none: no fault was found
};

struct tls_failure {
  const refused_certificate& refused;
  const std::string& expected_host; ///< empty on the server
  bool established = false;         ///< before it failed
};

/// One line that begins with "TLS: "; empties the thread's queue of OpenSSL errors.
std::string explain(const tls_failure& failure);

} // namespace troupe
