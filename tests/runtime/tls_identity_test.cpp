// The folder that --tls names: what is refused in it, so that no run starts with a certificate that others would
// refuse.
#include "model/error.hpp"
#include "tests/support/tls_peers.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <string>
#include <sys/stat.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

namespace fs = std::filesystem;

/// A folder with the files of a host, to be spoilt.
struct host_folder {
  tls_job job;
  fs::path path = job.folder("alpha");

  std::string refused() const {
    return error_text<security_error>([&] { tls_identity::load(path); });
  }
  void replace(const char* name, const std::string& content) const { write_bytes(path / name, content); }
  void replace(const certificate_and_key& identity) const {
    replace("node.pem", identity.certificate);
    replace("node.key", identity.key);
  }
};

/// The key under a passphrase, as openssl(1) would write it.
std::string encrypted(const std::string& key) {
  const key_owner plain = read_key(key, "key");
  const bio_owner memory(BIO_new(BIO_s_mem()));
  std::string passphrase = "secret";
  PEM_write_bio_PKCS8PrivateKey(memory.get(), plain.get(), EVP_aes_256_cbc(), passphrase.data(),
                                static_cast<int>(passphrase.size()), nullptr, nullptr);
  char* begin = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &begin);
  return {begin, static_cast<std::size_t>(size)};
}

} // namespace

TEST_CASE("a folder as it was made is read", "[tls]") {
  CHECK(host_folder().refused().empty());
}

TEST_CASE("a missing folder or file is named", "[tls]") {
  CHECK_THAT(error_text<security_error>([] { tls_identity::load("/nowhere"); }),
             StartsWith("/nowhere/ca.pem: No such file or directory"));
  for (const char* name : {"ca.pem", "node.pem", "node.key"}) {
    const host_folder folder;
    fs::remove(folder.path / name);
    CHECK_THAT(folder.refused(), StartsWith((folder.path / name).string() + ": No such file"));
    fs::create_directory(folder.path / name);
    CHECK_THAT(folder.refused(), Contains(std::string(name) + ": found a directory, expected a regular file"));
  }
}

TEST_CASE("a key that others can read is refused", "[tls]") {
  const host_folder folder;
  for (const mode_t mode : {0640U, 0604U, 0644U, 0620U, 0601U}) {
    CAPTURE(mode);
    ::chmod((folder.path / "node.key").c_str(), mode);
    CHECK_THAT(folder.refused(),
               Contains("node.key: found mode 06") && Contains("expected 0600, as others must not read"));
  }
  ::chmod((folder.path / "node.key").c_str(), 0400);
  CHECK(folder.refused().empty());
}

TEST_CASE("a certificate that everyone can change is refused", "[tls]") {
  for (const char* name : {"ca.pem", "node.pem"}) {
    const host_folder folder;
    ::chmod((folder.path / name).c_str(), 0666);
    CHECK_THAT(folder.refused(),
               Contains(std::string(name) + ": found mode 0666, expected 0664, as others must not change"));
  }
}

TEST_CASE("files that hold something else are refused by name", "[tls]") {
  for (const char* name : {"ca.pem", "node.pem", "node.key"}) {
    const host_folder folder;
    for (const std::string content :
         {"", "something else", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}) {
      folder.replace(name, content);
      CHECK_THAT(folder.refused(), Contains(std::string(name) + ": ") && Contains("in PEM"));
    }
    folder.replace(name, std::string((1U << 20U) + 1, 'x'));
    CHECK_THAT(folder.refused(), Contains("expected at most 1048576"));
  }
  const host_folder folder;
  const std::string twice = read_bytes(folder.path / "ca.pem") + read_bytes(folder.path / "ca.pem");
  folder.replace("ca.pem", twice);
  CHECK_THAT(folder.refused(), Contains("ca.pem: found more than one certificate, expected one"));
}

TEST_CASE("an encrypted key is refused, and nobody is asked for a passphrase", "[tls]") {
  const host_folder folder;
  folder.replace("node.key", encrypted(read_bytes(folder.path / "node.key")));
  CHECK_THAT(folder.refused(), Contains("node.key: ") && Contains("expected one private key in PEM, not encrypted"));
}

TEST_CASE("the key of another certificate is refused", "[tls]") {
  const host_folder folder;
  folder.replace("node.key", read_bytes(folder.job.folder("beta") / "node.key"));
  CHECK_THAT(folder.refused(), Contains("node.key: key values mismatch, expected the key of") && Contains("node.pem"));
}

TEST_CASE("a certificate of another job is refused", "[tls]") {
  const host_folder folder;
  const tls_job other;
  folder.replace(other.issue("alpha", valid_now()));
  CHECK_THAT(folder.refused(),
             Contains("node.pem: unable to get local issuer certificate (issued by CN = Troupe job ") &&
                 Contains("expected a certificate that ca.pem has signed"));
}

TEST_CASE("a certificate that is not valid now is refused, with its dates", "[tls]") {
  const host_folder folder;
  folder.replace(folder.job.issue("alpha", valid_before()));
  CHECK_THAT(folder.refused(),
             Contains("node.pem: certificate has expired") && Contains("valid from ") && Contains("GMT"));
  folder.replace(folder.job.issue("alpha", valid_later()));
  CHECK_THAT(folder.refused(), Contains("node.pem: certificate is not yet valid"));
}

TEST_CASE("a CA whose time is over is refused by its own name", "[tls]") {
  const host_folder folder;
  const certificate_and_key authority = make_authority(valid_before());
  folder.replace("ca.pem", authority.certificate);
  folder.replace(issue_certificate(authority, "test", "alpha", valid_now()));
  CHECK_THAT(folder.refused(), Contains("ca.pem: certificate has expired"));
}

TEST_CASE("a CA that is none, or may not sign certificates, is refused", "[tls]") {
  const extensions of_node = {{NID_basic_constraints, "critical,CA:FALSE"},
                              {NID_key_usage, "critical,digitalSignature"},
                              {NID_subject_key_identifier, "hash"},
                              {NID_authority_key_identifier, "keyid"},
                              {NID_subject_alt_name, "DNS:alpha"}};
  const auto refused_with = [&](const extensions& of_authority) {
    const host_folder folder;
    const certificate_and_key authority = odd_certificate("authority", of_authority);
    folder.replace("ca.pem", authority.certificate);
    folder.replace(odd_certificate("alpha", of_node, authority));
    return folder.refused();
  };
  const std::pair<int, std::string> authority = {NID_basic_constraints, "critical,CA:TRUE"};
  const std::pair<int, std::string> identifier = {NID_subject_key_identifier, "hash"};
  CHECK(refused_with({authority, identifier, {NID_key_usage, "critical,keyCertSign"}}).empty());
  CHECK_THAT(refused_with({authority, identifier, {NID_key_usage, "critical,digitalSignature"}}),
             Contains("ca.pem: ") && Contains("expected a certificate that ca.pem has signed"));
  CHECK_THAT(refused_with({authority, identifier}), Contains("ca.pem: "));
  CHECK_THAT(refused_with({{NID_basic_constraints, "critical,CA:FALSE"}, identifier}), Contains("ca.pem: "));
}
