#include "runtime/tls/tls_identity.hpp"

#include "model/error.hpp"
#include "runtime/tls/certificate_folder.hpp"
#include "runtime/tls/guarded_file.hpp"
#include "runtime/tls/openssl.hpp"
#include "runtime/tls/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include <string>

namespace troupe {

namespace {

namespace fs = std::filesystem;

using store_owner = openssl_owner<X509_STORE, &X509_STORE_free>;
using verification_owner = openssl_owner<X509_STORE_CTX, &X509_STORE_CTX_free>;

/// Better said here, with the file's name, than by each peer in its turn.
void expect_valid(X509& certificate, X509& authority, int purpose, const fs::path& directory) {
  const store_owner trusted(X509_STORE_new());
  const verification_owner verification(X509_STORE_CTX_new());
  const bool ready = trusted && verification && X509_STORE_add_cert(trusted.get(), &authority) == 1 &&
                     X509_STORE_CTX_init(verification.get(), trusted.get(), &certificate, nullptr) == 1 &&
                     X509_STORE_CTX_set_purpose(verification.get(), purpose) == 1;
  expect_done(ready, "TLS");
  set_certificate_rules(*X509_STORE_CTX_get0_param(verification.get()));
  const bool valid = X509_verify_cert(verification.get()) == 1;
  ERR_clear_error();
  if (valid)
    return;
  const bool of_authority = X509_STORE_CTX_get_current_cert(verification.get()) == &authority;
  X509& found = of_authority ? authority : certificate;
  throw security_error(fmt::format(
      "{}: {} (issued by {}, valid from {} to {}), expected a certificate that {} has signed and that is valid now for "
      "both ends of a connection",
      (directory / (of_authority ? authority_file : certificate_file)).string(),
      X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification.get())),
      text_of(*X509_get_issuer_name(&found)), text_of(*X509_get0_notBefore(&found)),
      text_of(*X509_get0_notAfter(&found)), authority_file));
}

} // namespace

tls_identity tls_identity::load(const fs::path& directory) {
  ERR_clear_error();
  const fs::path authority_path = directory / authority_file;
  const fs::path certificate_path = directory / certificate_file;
  const fs::path key_path = directory / key_file;
  const certificate_owner authority = read_certificate(read_certificate_file(authority_path), authority_path.string());
  const certificate_owner certificate =
      read_certificate(read_certificate_file(certificate_path), certificate_path.string());
  const key_owner key = read_key(read_key_file(key_path), key_path.string());
  if (X509_check_private_key(certificate.get(), key.get()) != 1)
    throw security_error(fmt::format("{}: {}, expected the key of {}", key_path.string(), take_openssl_error(),
                                     certificate_path.string()));
  expect_valid(*certificate, *authority, X509_PURPOSE_SSL_SERVER, directory);
  expect_valid(*certificate, *authority, X509_PURPOSE_SSL_CLIENT, directory);
  return tls_identity(make_tls_context(*certificate, *key, *authority));
}

} // namespace troupe
