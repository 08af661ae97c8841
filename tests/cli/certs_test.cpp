// `troupe certs` as a user meets it.
#include "tests/support/run_program.hpp"
#include "tests/support/scratch_directory.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <set>
#include <string>
#include <sys/stat.h>
#include <vector>

using namespace troupe::test;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

namespace fs = std::filesystem;

struct bad_order {
  std::vector<std::string> arguments; ///< after certs and the directory
  int exit_code;
  std::string says;
};

} // namespace

TEST_CASE("certs makes the folders, and says what to copy where", "[cli]") {
  const scratch_directory scratch;
  const std::string job = scratch.path("job");
  const program_result first = run_program({"certs", job, "--hosts", "Trainer,10.0.0.1", "--days", "2"});
  INFO(first.err);
  CHECK(first.exit_code == 0);
  CHECK(first.err.empty());
  CHECK_THAT(first.out, StartsWith(job + "/ca.pem  the job's new CA\n" + job + "/ca.key  its key: stays here"));
  CHECK_THAT(first.out, Contains(job + "/trainer  ca.pem, node.pem, node.key, until 20"));
  CHECK_THAT(first.out, Contains("  scp -r " + job + "/trainer trainer:tls\n"));
  CHECK(fs::exists(job + "/10.0.0.1/node.key"));

  const program_result second = run_program({"certs", job, "--hosts", "fd00:0::1"});
  CHECK(second.exit_code == 0);
  CHECK_THAT(second.out, !Contains("new CA") && EndsWith("  scp -r " + job + "/fd00::1 [fd00::1]:tls\n"));
  CHECK(names_in(job) == std::set<std::string>{"10.0.0.1", "ca.key", "ca.pem", "fd00::1", "trainer"});
}

TEST_CASE("certs explains each mistake on one line, and leaves nothing behind", "[cli]") {
  const scratch_directory scratch;
  const std::string job = scratch.path("job");
  REQUIRE(run_program({"certs", job, "--hosts", "alpha"}).exit_code == 0);
  const std::vector<bad_order> orders = {
      {{"--hosts", "beta,alpha"}, 2, "/job/alpha: found it there, expected a host without certificate"},
      {{"--hosts", "beta,BETA"}, 2, "--hosts: found beta twice"},
      {{"--hosts", "../beta"}, 2, "--hosts: found host \"../beta\", expected a name"},
      {{"--hosts", "beta:4000"}, 2, "--hosts: found host \"beta:4000\""},
      {{"--hosts", "ca.pem"}, 2, "--hosts: found 'ca.pem', expected another name"},
      {{"--hosts", ""}, 2, "--hosts"},
      {{"--hosts", "beta,,gamma"}, 2, "--hosts: found host \"\""},
      {{}, 2, "--hosts is required"},
      {{"--hosts", "beta", "--days", "0"}, 2, "--days: found 0, expected 1 to 3650"},
      {{"--hosts", "beta", "--days", "3651"}, 2, "--days: found 3651"},
      {{"--hosts", "beta", "--days", "two"}, 2, "--days"},
      {{"--hosts", "beta", "--day", "2"}, 2, "unknown flag '--day'"},
  };
  for (const bad_order& order : orders) {
    std::vector<std::string> arguments = {"certs", job};
    arguments.insert(arguments.end(), order.arguments.begin(), order.arguments.end());
    const program_result result = run_program(arguments);
    CAPTURE(order.arguments);
    CHECK(result.exit_code == order.exit_code);
    CHECK_THAT(result.err, StartsWith("troupe: ") && Contains(order.says));
    CHECK(result.err.find('\n') == result.err.size() - 1);
    CHECK(result.out.empty());
    CHECK(names_in(job) == std::set<std::string>{"alpha", "ca.key", "ca.pem"});
  }
}

TEST_CASE("certs does not use a CA that others can read", "[cli]") {
  const scratch_directory scratch;
  const std::string job = scratch.path("job");
  REQUIRE(run_program({"certs", job, "--hosts", "alpha"}).exit_code == 0);
  REQUIRE(::chmod((job + "/ca.key").c_str(), 0644) == 0);
  const program_result result = run_program({"certs", job, "--hosts", "beta"});
  CHECK(result.exit_code == 5);
  CHECK_THAT(result.err, Contains("/ca.key: found mode 0644, expected 0600, as others must not read it"));
  CHECK_FALSE(fs::exists(job + "/beta"));
}

TEST_CASE("certs in a place that cannot be written to says so", "[cli]") {
  const scratch_directory scratch;
  const std::string file = scratch.write("file", "");
  const program_result result = run_program({"certs", file + "/job", "--hosts", "alpha"});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.err, Contains("/file/job: cannot create: Not a directory"));
}

TEST_CASE("certs --help teaches the folder and the flags", "[cli]") {
  const program_result result = run_program({"certs", "--help"});
  CHECK(result.exit_code == 0);
  for (const char* word : {"--hosts", "--days", "DIR/HOST/", "node.key", "ca.key", "--tls", "scp -r"})
    CHECK_THAT(result.out, Contains(word));
}
