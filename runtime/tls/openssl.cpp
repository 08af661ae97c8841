#include "runtime/tls/openssl.hpp"

#include "model/error.hpp"
#include "runtime/file_io.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <arpa/inet.h>
#include <array>
#include <climits>
#include <netinet/in.h>

namespace troupe {

namespace {

std::string content_of(BIO& memory) {
  char* begin = nullptr;
  const long size = BIO_get_mem_data(&memory, &begin);
  return {begin, static_cast<std::size_t>(size)};
}

/// Reads from `pem` without a copy; `pem` must outlive it.
bio_owner reader_of(std::string_view pem) {
  TROUPE_CHECK(pem.size() <= INT_MAX, "files of certificates are small");
  return bio_owner(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

/// Without it OpenSSL would ask for a passphrase on the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

std::string bytes_of(const ASN1_STRING& string) {
  const unsigned char* begin = ASN1_STRING_get0_data(&string);
  return {begin, begin + ASN1_STRING_length(&string)};
}

std::string text_of_address(const ASN1_OCTET_STRING& address) {
  const int family = ASN1_STRING_length(&address) == sizeof(in_addr) ? AF_INET : AF_INET6;
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool known = family == AF_INET || ASN1_STRING_length(&address) == sizeof(in6_addr);
  if (!known || ::inet_ntop(family, ASN1_STRING_get0_data(&address), text.data(), text.size()) == nullptr)
    return "an address of unknown kind";
  return text.data();
}

/// The text within printable's quotes, with room for the longest host name.
std::string unquoted(std::string_view text) {
  constexpr std::size_t longest = 255;
  const std::string quoted = printable(text, longest);
  return quoted.substr(1, quoted.size() - 2);
}

} // namespace

std::string take_openssl_error() {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  if (first == 0)
    return "OpenSSL gives no reason";
  if (const char* reason = ERR_reason_error_string(first); reason != nullptr)
    return reason;
  return fmt::format("OpenSSL's error {:#x}", first);
}

void expect_done(bool done, const char* what) {
  if (!done)
    throw run_error(fmt::format("{}: {}", what, take_openssl_error()));
}

certificate_owner read_certificate(std::string_view pem, const std::string& origin) {
  const bio_owner reader = reader_of(pem);
  certificate_owner found(PEM_read_bio_X509(reader.get(), nullptr, &no_passphrase, nullptr));
  if (!found)
    throw security_error(fmt::format("{}: {}, expected one certificate in PEM", origin, take_openssl_error()));
  const certificate_owner another(PEM_read_bio_X509(reader.get(), nullptr, &no_passphrase, nullptr));
  ERR_clear_error();
  if (another)
    throw security_error(fmt::format("{}: found more than one certificate, expected one", origin));
  return found;
}

key_owner read_key(std::string_view pem, const std::string& origin) {
  const bio_owner reader = reader_of(pem);
  key_owner found(PEM_read_bio_PrivateKey(reader.get(), nullptr, &no_passphrase, nullptr));
  if (!found)
    throw security_error(
        fmt::format("{}: {}, expected one private key in PEM, not encrypted", origin, take_openssl_error()));
  return found;
}

std::vector<std::string> hosts_of(const X509& certificate) {
  std::vector<std::string> hosts;
  const names_owner names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error(); // a certificate without names is one for no host
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    const auto* text = static_cast<const ASN1_STRING*>(value);
    if (type == GEN_DNS)
      hosts.push_back(unquoted(bytes_of(*text)));
    else if (type == GEN_IPADD)
      hosts.push_back(text_of_address(*text));
  }
  return hosts;
}

std::string text_of(const X509_NAME& name) {
  const bio_owner writer(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(writer.get(), &name, 0, XN_FLAG_ONELINE);
  return unquoted(content_of(*writer));
}

std::string text_of(const ASN1_TIME& time) {
  const bio_owner writer(BIO_new(BIO_s_mem()));
  ASN1_TIME_print(writer.get(), &time);
  return unquoted(content_of(*writer));
}

} // namespace troupe
