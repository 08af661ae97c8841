// Workers whose port everybody can reach: malformed, silent and forged connections do not touch a run, nor the memory
// of its workers.
#include "tests/support/hostile_peers.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/tls_peers.hpp"
#include "tests/support/wire_bytes.hpp"
#include "tests/support/worker_program.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

using arguments = std::vector<std::string>;

constexpr std::size_t attacks = 1000;
/// Below what a worker holds, so that it hears all of them.
constexpr std::size_t attacks_at_once = 240;
constexpr std::uint64_t most_growth = 64 << 20; ///< bytes

/// Of a worker: connections whose peer has not said who it is.
constexpr std::size_t most_newcomers = 256;

std::string hello_of(peer_role role, std::uint32_t protocol = wire_protocol) {
  return bytes_of({hello{.protocol = protocol, .version = "1", .role = role, .run = {1, 2, 3}}});
}

std::string damaged(std::string bytes) {
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  return bytes;
}

/// Peers without TLS.
class plain_attackers {
public:
  hostile_manner operator()(std::size_t number) {
    const std::string right = hello_of(peer_role::neighbour);
    const std::string kind_of_message = bytes_field(34, ""); // an activation
    switch (number % 16) {
    case 0:
      return saying(garbage(24 + chance_() % 4096));
    case 1:
      return saying(right.substr(0, right.size() / 2)); // stays open
    case 2:
      return saying(to_bytes({.head = head_of(0, forged_start{}), .sizes = little_endian(UINT64_MAX, 8)}));
    case 3:
      return saying(to_bytes({.magic = "TRPV", .head = head_of(0, forged_start{.body = bytes_field(10, "")})}));
    case 4:
      return saying(to_bytes({.version_and_zeros = std::string("\xff\0\0\0", 4),
                              .head = head_of(0, forged_start{.body = bytes_field(10, "")})}));
    case 5:
      return saying(right); // of a run that is not
    case 6:
      return saying(hello_of(peer_role::coordinator, 0));
    case 7:
      return saying(hello_of(peer_role::coordinator)); // one is here already
    case 8:
      return saying(bytes_of({activation_message{}}));
    case 9:
      return saying(damaged(right));
    case 10:
      return saying(right.substr(0, chance_() % right.size())); // stays open
    case 11:
      return saying(right.substr(0, chance_() % right.size()), hostile_end::hangs_up);
    case 12:
      return saying({}); // stays open
    case 13:
      return saying(to_bytes({.head = head_of(0, forged_start{.block_bytes = 1ULL << 40, .body = kind_of_message})}));
    case 14:
      return saying(bytes_of({step_decision{}}));
    default:
      return saying(right + right + right);
    }
  }

private:
  std::string garbage(std::size_t size) {
    std::string bytes;
    while (bytes.size() < size)
      bytes += static_cast<char>(chance_() & 0xff);
    return bytes;
  }

  std::mt19937_64 chance_{7};
};

/// Peers of a worker with TLS: without, with none of the job's certificates, and with one but without manners.
class tls_attackers {
public:
  explicit tls_attackers(const tls_job& job) : ours_(std::make_shared<tls_identity>(job.identity("127.0.0.1"))) {}

  hostile_manner operator()(std::size_t number) {
    switch (number % 4) {
    case 0:
      return plain_(number / 4);
    case 1:
      return {.speech = lawless({})};
    case 2:
      return {.speech = lawless({.shows = other_.issue("127.0.0.1", valid_now())})};
    default:
      return {.speech = inside_tls(plain_(number / 4).speech({}))};
    }
  }

private:
  static hostile_speech lawless(const lawless_peer::manner& how) {
    const auto peer = std::make_shared<lawless_peer>(tls_side::client, how);
    return [peer](const std::string& heard) {
      std::vector<char> bytes(heard.begin(), heard.end());
      std::vector<char> answer;
      peer->receive(bytes, answer);
      return std::string(answer.begin(), answer.end());
    };
  }

  hostile_speech inside_tls(const std::string& first) const {
    struct session {
      std::shared_ptr<const tls_identity> identity;
      tls_session tls;
      std::string unsaid;
    };
    const auto peer = std::make_shared<session>(
        session{.identity = ours_, .tls = tls_session(*ours_, tls_side::client, "127.0.0.1"), .unsaid = first});
    return [peer](const std::string& heard) {
      std::vector<char> plain;
      std::vector<char> answer;
      if (heard.empty())
        peer->tls.start(answer);
      else
        peer->tls.receive(heard, plain, answer);
      if (peer->tls.established())
        peer->tls.send(std::exchange(peer->unsaid, {}), answer);
      return std::string(answer.begin(), answer.end());
    };
  }

  std::shared_ptr<const tls_identity> ours_;
  tls_job other_{{"127.0.0.1"}};
  plain_attackers plain_;
};

/// A run that ends when it is told to.
arguments endless() {
  return {"--steps", "1000000", "--stages", "2"};
}

/// Attacks the first of two workers while they train, then ends the run and compares it with the reference.
void check_run_under_attack(const arguments& tls, const std::function<hostile_manner(std::size_t)>& attacker) {
  const scratch_directory scratch;
  const arguments flags = tls + arguments{"--peer-timeout", "2"};
  worker_program one(flags);
  worker_program two(flags);
  running_program train(words_of_run(scratch, tls + arguments{"--workers", addresses_of(one, two)} + endless()));
  REQUIRE(one.program().wait_for_error_output("ranks 0"));
  REQUIRE(two.program().wait_for_error_output("ranks 1"));
  const std::uint64_t before = memory_of(one.program().process(), "VmHWM");
  attack(one.address(), attacks, attacks_at_once, attacker);
  const std::uint64_t after = memory_of(one.program().process(), "VmHWM");
  if (memory_is_measurable)
    CHECK(after - before <= most_growth);

  train.send(SIGINT);
  const program_result result = train.finish();
  INFO(result.err);
  REQUIRE(result.exit_code == 130); // nothing else had ended it
  const json run = last_report(scratch);
  const std::string steps = std::to_string(run["losses"].size());
  const json reference =
      report_of_run(scratch, {"--schedule", "reference", "--steps", "1000000", "--stop-after", steps});
  CHECK(run["weights_sha256"] == reference["weights_sha256"]);
  CHECK(run["losses"] == reference["losses"]);
}

} // namespace

TEST_CASE("a thousand malformed connections to a worker change nothing in its run, and hardly its memory") {
  plain_attackers attackers;
  check_run_under_attack({}, std::ref(attackers));
}

TEST_CASE("a thousand connections of plaintext, strangers and forgers to a worker with TLS change nothing in its run") {
  const tls_job job({"127.0.0.1"});
  tls_attackers attackers(job);
  check_run_under_attack({"--tls", job.folder("127.0.0.1").string()}, std::ref(attackers));
}

TEST_CASE("a worker holds 256 connections of peers that have not said who they are, and closes more at once") {
  worker_program worker({"--peer-timeout", "3600"}); // none of them ends for being silent
  std::vector<raw_connection> held;
  for (std::size_t i = 0; i < most_newcomers; ++i)
    held.emplace_back(worker.address());
  for (int i = 0; i < 100; ++i)
    CHECK(raw_connection(worker.address()).receive_all().empty());
  for (const raw_connection& one : held) // those were not closed: they get an answer
    one.send(hello_of(peer_role::neighbour));
  for (const raw_connection& one : held)
    CHECK_THAT(one.receive_all(), Contains("expected none"));

  const scratch_directory scratch;
  CHECK(report_of_run(scratch, {"--workers", worker.address(), "--stages", "2"})["losses"].size() == 4);
}

TEST_CASE("what a worker has closed costs it nothing, even when the peer keeps its end open") {
  worker_program worker;
  const pid_t process = worker.program().process();
  const std::size_t before = open_files_of(process);
  plain_attackers attackers;
  std::vector<raw_connection> held;
  for (const std::size_t kind : {0, 3, 5, 8}) // that are closed for what they say
    for (int i = 0; i < 25; ++i) {
      held.emplace_back(worker.address());
      held.back().send(attackers(kind).speech({}));
      held.back().receive_all();
    }
  while (open_files_of(process) > before) // CTest stops a test that waits for ever
    std::this_thread::yield();
  CHECK(held.size() == 100);
}
