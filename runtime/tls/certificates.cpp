#include "runtime/tls/certificates.hpp"

#include "model/error.hpp"
#include "runtime/network_address.hpp"
#include "runtime/tls/openssl.hpp"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/pem.h>

#include <vector>

namespace troupe {

namespace {

using number_owner = openssl_owner<BIGNUM, &BN_free>;
using extension_owner = openssl_owner<X509_EXTENSION, &X509_EXTENSION_free>;
using hex_owner = std::unique_ptr<char, decltype([](char* text) { OPENSSL_free(text); })>;

constexpr const char* failed = "certificate";   ///< what could not be made
constexpr std::size_t longest_common_name = 64; ///< ub-common-name of RFC 5280, appendix A

template <typename Write>
std::string pem_of(const Write& write) {
  const bio_owner memory(BIO_new(BIO_s_mem()));
  expect_done(memory && write(memory.get()) == 1, failed);
  char* begin = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &begin);
  return {begin, static_cast<std::size_t>(size)};
}

certificate_and_key pem_of(X509& certificate, EVP_PKEY& key) {
  return {.certificate = pem_of([&](BIO* out) { return PEM_write_bio_X509(out, &certificate); }),
          .key = pem_of([&](BIO* out) {
            return PEM_write_bio_PKCS8PrivateKey(out, &key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

/// Random, and positive in at most 20 bytes (RFC 5280, 4.1.2.2).
number_owner new_serial() {
  constexpr int bits = 127;
  number_owner serial(BN_new());
  expect_done(serial && BN_rand(serial.get(), bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1, failed);
  return serial;
}

void set_common_name(X509& certificate, const std::string& name) {
  const std::string cut = name.substr(0, longest_common_name);
  const std::vector<unsigned char> bytes(cut.begin(), cut.end());
  expect_done(X509_NAME_add_entry_by_NID(X509_get_subject_name(&certificate), NID_commonName, MBSTRING_ASC,
                                         bytes.data(), static_cast<int>(bytes.size()), -1, 0) == 1,
              failed);
}

certificate_owner new_certificate(EVP_PKEY& key, const BIGNUM& serial, const validity& when) {
  certificate_owner made(X509_new());
  expect_done(made && X509_set_version(made.get(), X509_VERSION_3) == 1 &&
                  BN_to_ASN1_INTEGER(&serial, X509_get_serialNumber(made.get())) != nullptr &&
                  ASN1_TIME_set(X509_getm_notBefore(made.get()), when.from) != nullptr &&
                  ASN1_TIME_set(X509_getm_notAfter(made.get()), when.until) != nullptr &&
                  X509_set_pubkey(made.get(), &key) == 1,
              failed);
  return made;
}

/// `value` as OpenSSL's x509v3_config(5) writes it.
void add_extension(X509& certificate, X509& issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, &issuer, &certificate, nullptr, nullptr, 0);
  const extension_owner extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  expect_done(extension && X509_add_ext(&certificate, extension.get(), -1) == 1, failed);
}

void sign(X509& certificate, EVP_PKEY& key) {
  expect_done(X509_sign(&certificate, &key, EVP_sha256()) != 0, failed);
}

key_owner new_key() {
  key_owner key(EVP_EC_gen("P-256"));
  expect_done(key != nullptr, failed);
  return key;
}

std::time_t seconds_of(const ASN1_TIME& time, const std::string& origin) {
  std::tm parts = {};
  if (ASN1_TIME_to_tm(&time, &parts) != 1)
    throw security_error(fmt::format("{}: found a date that is none, expected a certificate", origin));
  return ::timegm(&parts);
}

} // namespace

certificate_and_key make_authority(const validity& when) {
  const key_owner key = new_key();
  const number_owner serial = new_serial();
  const certificate_owner made = new_certificate(*key, *serial, when);
  // Each CA has a name of its own, so that it is seen at once when certificates of two jobs meet.
  const hex_owner digits(BN_bn2hex(serial.get()));
  expect_done(digits != nullptr, failed);
  set_common_name(*made, fmt::format("Troupe job {:.8}", digits.get()));
  expect_done(X509_set_issuer_name(made.get(), X509_get_subject_name(made.get())) == 1, failed);
  add_extension(*made, *made, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(*made, *made, NID_key_usage, "critical,keyCertSign");
  add_extension(*made, *made, NID_subject_key_identifier, "hash");
  sign(*made, *key);
  return pem_of(*made, *key);
}

certificate_and_key issue_certificate(const certificate_and_key& authority, const std::string& origin,
                                      const std::string& host, const validity& when) {
  TROUPE_CHECK(host == parse_host(host, "host"), "hosts are checked where they come in");
  const certificate_owner issuer = read_certificate(authority.certificate, origin);
  const key_owner issuer_key = read_key(authority.key, origin);
  if (X509_check_private_key(issuer.get(), issuer_key.get()) != 1)
    throw security_error(
        fmt::format("{}: {}, expected the CA's certificate and its key", origin, take_openssl_error()));
  const key_owner key = new_key();
  const certificate_owner made = new_certificate(*key, *new_serial(), when);
  set_common_name(*made, host);
  expect_done(X509_set_issuer_name(made.get(), X509_get_subject_name(issuer.get())) == 1, failed);
  add_extension(*made, *issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(*made, *issuer, NID_key_usage, "critical,digitalSignature");
  add_extension(*made, *issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  add_extension(*made, *issuer, NID_subject_key_identifier, "hash");
  add_extension(*made, *issuer, NID_authority_key_identifier, "keyid:always");
  add_extension(*made, *issuer, NID_subject_alt_name, (is_numeric(host) ? "IP:" : "DNS:") + host);
  sign(*made, *issuer_key);
  return pem_of(*made, *key);
}

validity validity_of(const std::string& certificate, const std::string& origin) {
  const certificate_owner read = read_certificate(certificate, origin);
  return {.from = seconds_of(*X509_get0_notBefore(read.get()), origin),
          .until = seconds_of(*X509_get0_notAfter(read.get()), origin)};
}

} // namespace troupe
