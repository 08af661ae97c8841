// The folder that `troupe certs` makes: what is in it, who may read it, and that nothing in it is ever overwritten.
#include "model/error.hpp"
#include "tests/support/run_program.hpp"
#include "tests/support/tls_peers.hpp"

#include <catch2/catch.hpp>

#include <ctime>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <sys/stat.h>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

namespace fs = std::filesystem;
using names = std::set<std::string>;

certificate_order order_of(const fs::path& directory, const std::vector<std::string>& hosts, int days = 30) {
  return {.directory = directory, .hosts = hosts, .days = days, .now = std::time(nullptr)};
}

std::string refused(const certificate_order& order) {
  return error_text<error>([&] { make_certificates(order); });
}

/// All files below, with what is in them.
std::map<std::string, std::string> contents_of(const fs::path& directory) {
  std::map<std::string, std::string> contents;
  for (const auto& one : fs::recursive_directory_iterator(directory))
    contents[one.path().string()] = one.is_regular_file() ? read_bytes(one.path()) : "";
  return contents;
}

mode_t mode_of(const fs::path& path) {
  struct stat facts = {};
  REQUIRE(::stat(path.c_str(), &facts) == 0);
  return facts.st_mode & ACCESSPERMS;
}

/// Without the user's umask the modes are what the program asks for.
class open_umask {
public:
  open_umask() : former_(::umask(0)) {}
  ~open_umask() { ::umask(former_); }
  open_umask(const open_umask&) = delete;
  open_umask& operator=(const open_umask&) = delete;

private:
  mode_t former_;
};

std::vector<std::string> hosts_in(const fs::path& folder) {
  return hosts_of(*read_certificate(read_bytes(folder / "node.pem"), "node.pem"));
}

} // namespace

TEST_CASE("a job's folder has a CA and three files for each host, and each folder is an identity", "[certificates]") {
  const scratch_directory scratch;
  const certificate_delivery made =
      make_certificates(order_of(scratch / "new" / "job", {"trainer", "10.0.0.1", "fd00::1"}));
  CHECK(made.new_authority);
  const fs::path job = scratch / "new" / "job";
  CHECK(names_in(job) == names{"10.0.0.1", "ca.key", "ca.pem", "fd00::1", "trainer"});
  REQUIRE(made.folders == std::vector<fs::path>{job / "trainer", job / "10.0.0.1", job / "fd00::1"});
  for (const fs::path& folder : made.folders) {
    CHECK(names_in(folder) == names{"ca.pem", "node.key", "node.pem"});
    CHECK(read_bytes(folder / "ca.pem") == read_bytes(job / "ca.pem"));
    CHECK_NOTHROW(tls_identity::load(folder));
    CHECK(hosts_in(folder) == std::vector<std::string>{folder.filename().string()});
  }
  CHECK(read_bytes(job / "trainer" / "node.key") != read_bytes(job / "10.0.0.1" / "node.key"));
}

TEST_CASE("the longest names that hosts may have are certified", "[certificates]") {
  const scratch_directory scratch;
  const std::string label(63, 'a');
  const std::string host = label + "." + label + "." + label + "." + std::string(61, 'b');
  REQUIRE(host.size() == 253);
  const certificate_delivery made = make_certificates(order_of(scratch.path(), {host}));
  CHECK_NOTHROW(tls_identity::load(made.folders.front()));
  CHECK(hosts_in(made.folders.front()) == std::vector<std::string>{host});
}

TEST_CASE("keys are readable by their owner only, whatever the umask", "[certificates]") {
  const scratch_directory scratch;
  const open_umask none;
  make_certificates(order_of(scratch.path(), {"alpha"}));
  CHECK(mode_of(scratch / "ca.key") == 0600);
  CHECK(mode_of(scratch / "ca.pem") == 0644);
  CHECK(mode_of(scratch / "alpha") == 0700);
  CHECK(mode_of(scratch / "alpha" / "node.key") == 0600);
}

TEST_CASE("a second order adds hosts with the same CA and leaves the others alone", "[certificates]") {
  const scratch_directory scratch;
  make_certificates(order_of(scratch.path(), {"alpha"}));
  const auto before = contents_of(scratch.path());
  const certificate_delivery made = make_certificates(order_of(scratch.path(), {"beta", "gamma"}));
  CHECK_FALSE(made.new_authority);
  const auto after = contents_of(scratch.path());
  for (const auto& [name, content] : before)
    CHECK((after.contains(name) && after.at(name) == content));
  tls_pair both = pair_of(tls_identity::load(scratch / "alpha"), tls_identity::load(scratch / "gamma"), "gamma");
  both.shake_hands();
  CHECK(both.server.established());
}

TEST_CASE("a host that has a folder is refused before anything is written", "[certificates]") {
  const scratch_directory scratch;
  make_certificates(order_of(scratch.path(), {"alpha"}));
  fs::create_directory(scratch / "empty");
  fs::create_symlink("nowhere", scratch / "dangling");
  const auto before = contents_of(scratch.path());
  for (const std::string host : {"alpha", "empty", "dangling"})
    CHECK_THAT(refused(order_of(scratch.path(), {"beta", host})),
               Contains(scratch.path(host) + ": found it there, expected a host without certificate"));
  for (const std::string host : {"ca.pem", "ca.key"})
    CHECK_THAT(refused(order_of(scratch.path(), {host})), Contains("found '" + host + "', expected another name"));
  CHECK(contents_of(scratch.path()) == before);
}

TEST_CASE("half a CA, one that others could use, and one whose time is over are refused", "[certificates]") {
  const scratch_directory scratch;
  make_certificates(order_of(scratch.path(), {"alpha"}));
  ::chmod(scratch.path("ca.key").c_str(), 0640);
  CHECK_THAT(refused(order_of(scratch.path(), {"beta"})), Contains("ca.key: found mode 0640, expected 0600"));
  ::chmod(scratch.path("ca.key").c_str(), 0600);
  certificate_order late = order_of(scratch.path(), {"beta"});
  late.now += 31 * day;
  CHECK_THAT(refused(late), Contains("ca.pem: found a CA whose time is over"));
  write_bytes(scratch / "ca.key", read_bytes(scratch / "alpha" / "node.key"));
  CHECK_THAT(refused(order_of(scratch.path(), {"beta"})), Contains("expected the CA's certificate and its key"));
  fs::remove(scratch / "ca.key");
  CHECK_THAT(refused(order_of(scratch.path(), {"beta"})),
             Contains("found ca.pem alone, expected both that and ca.key"));
  CHECK(names_in(scratch.path()) == names{"alpha", "ca.pem"});
}

TEST_CASE("a certificate counts for the days asked for, but never longer than its CA", "[certificates]") {
  const scratch_directory scratch;
  const certificate_order first = order_of(scratch.path(), {"alpha"}, 10);
  CHECK(make_certificates(first).until == first.now + 10 * day);
  CHECK(make_certificates(order_of(scratch.path(), {"beta"}, 30)).until == first.now + 10 * day);
  const certificate_order brief = order_of(scratch.path(), {"gamma"}, 3);
  CHECK(make_certificates(brief).until == brief.now + 3 * day);
  const std::string certificate = read_bytes(scratch / "gamma" / "node.pem");
  CHECK(validity_of(certificate, "gamma").until == brief.now + 3 * day);
  CHECK(validity_of(certificate, "gamma").from == brief.now - hour);
}

TEST_CASE("openssl(1) verifies the certificates for both ends, and shows what they may be used for", "[certificates]") {
  const std::string openssl = "/usr/bin/openssl";
  if (!fs::exists(openssl))
    return;
  const scratch_directory scratch;
  make_certificates(order_of(scratch.path(), {"alpha", "10.0.0.1"}));
  const auto run = [&](const std::vector<std::string>& arguments) {
    return running_program(arguments, openssl).finish();
  };
  const std::string authority = scratch.path("ca.pem");
  for (const std::string purpose : {"sslserver", "sslclient"})
    CHECK(run({"verify", "-x509_strict", "-purpose", purpose, "-CAfile", authority, "-verify_hostname", "alpha",
               scratch.path("alpha/node.pem")})
              .exit_code == 0);
  CHECK(run({"verify", "-CAfile", authority, "-verify_ip", "10.0.0.1", scratch.path("10.0.0.1/node.pem")}).exit_code ==
        0);
  CHECK(run({"verify", "-CAfile", authority, "-verify_ip", "10.0.0.2", scratch.path("10.0.0.1/node.pem")}).exit_code !=
        0);
  const std::string shown = run({"x509", "-noout", "-text", "-in", scratch.path("10.0.0.1/node.pem")}).out;
  CHECK_THAT(shown, Contains("IP Address:10.0.0.1") && Contains("TLS Web Server Authentication, TLS Web Client") &&
                        Contains("CA:FALSE") && Contains("prime256v1"));
  CHECK_THAT(run({"x509", "-noout", "-text", "-in", authority}).out,
             Contains("CA:TRUE, pathlen:0") && Contains("Certificate Sign"));
}
