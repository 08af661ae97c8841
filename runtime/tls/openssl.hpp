// Owners for OpenSSL's objects, its errors as text, and PEM from and to strings. For the sources of runtime/tls only.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Calls one of OpenSSL's free functions.
template <auto Free>
struct openssl_free {
  template <typename T>
  void operator()(T* released) const {
    Free(released);
  }
};
template <typename T, auto Free>
using openssl_owner = std::unique_ptr<T, openssl_free<Free>>;

using bio_owner = openssl_owner<BIO, &BIO_free_all>;
using key_owner = openssl_owner<EVP_PKEY, &EVP_PKEY_free>;
using certificate_owner = openssl_owner<X509, &X509_free>;
using names_owner = openssl_owner<GENERAL_NAMES, &GENERAL_NAMES_free>;

/// The oldest error in this thread's queue, as OpenSSL puts it, with the file that it came from left out; empties the
/// queue.
std::string take_openssl_error();
/// For what OpenSSL only refuses when memory is short, or when it was built without what we need: throws run_error.
void expect_done(bool done, const char* what);

/// The certificates in a PEM file. Throws security_error that begins with `origin` unless there is just one.
certificate_owner read_certificate(std::string_view pem, const std::string& origin);
/// The key in a PEM file. Throws security_error that begins with `origin` if there is none, or an encrypted one: nobody
/// is there to be asked for a passphrase.
key_owner read_key(std::string_view pem, const std::string& origin);

/// All names and addresses that a certificate is for, as parse_host writes them.
std::vector<std::string> hosts_of(const X509& certificate);
/// Such as "CN = node-1", in printable ASCII.
std::string text_of(const X509_NAME& name);
/// Such as "Nov 24 22:24:00 2026 GMT".
std::string text_of(const ASN1_TIME& time);

} // namespace troupe
