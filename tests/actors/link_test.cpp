// Two links over a real connection in one process, and links whose peer is no link: bits arrive as they were, nobody
// speaks for another, and a peer that does not read costs no memory.
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/shell.hpp"
#include "tests/support/hostile_peers.hpp"
#include "tests/support/small_distributed_run.hpp"
#include "tests/support/wire_bytes.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using Catch::Matchers::Contains;

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

/// The two ends of a TCP connection on loopback.
struct connected_pair {
  connected_pair() : one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    auto* const address = reinterpret_cast<sockaddr*>(&here); // NOLINT(*-reinterpret-cast): how the system wants it
    if (::bind(listener, address, size) != 0 || ::listen(listener, 1) != 0 ||
        ::getsockname(listener, address, &size) != 0 || ::connect(one, address, size) != 0)
      throw std::runtime_error("no connection");
    other = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(listener);
  }
  int one;
  int other = -1;
};

/// A process of its own, as far as links can tell: an owner of links, and an actor who stands for all that it hosts.
class hosting {
public:
  explicit hosting(caf::actor_system& system) : system_(system), owner_(system), hosted_(system) {}

  caf::actor link(int socket, double peer_timeout = 3600.0) {
    link_setup setup;
    setup.owner = caf::actor_cast<caf::actor>(owner_);
    setup.peer_timeout = peer_timeout_ = peer_timeout;
    return spawn_link(system_, socket, setup);
  }
  static void identify(const caf::actor& link) { tell(link, identify_peer{ample_limits}); }
  /// As a worker of two ranks does that hosts rank 0, to the neighbour who hosts rank 1.
  void open(const caf::actor& link) const {
    auto routes = std::make_shared<link_routes>();
    routes->here.ranks.resize(2);
    routes->here.ranks[0] = caf::actor_cast<stage_actor>(caf::actor_cast<caf::actor>(hosted_));
    routes->peer_hosts = true;
    identify(link);
    tell(link, open_routes{routes, ample_limits, wire_precision::fp32, peer_timeout_});
  }
  /// Blocks until the hosted actor is told one.
  template <class Message>
  Message next() {
    Message got;
    hosted_->receive([&](const Message& in) {
      const handler_scope scope(mailbox_of(hosted_));
      got = in;
    });
    return got;
  }
  /// Blocks until the owner is told that a link has ended.
  peer_lost next_lost() {
    peer_lost got;
    bool lost = false;
    while (!lost)
      owner_->receive([&](const link_ready&) { const handler_scope scope(mailbox_of(owner_)); },
                      [&](const peer_said&) { const handler_scope scope(mailbox_of(owner_)); },
                      [&](const peer_lost& in) {
                        const handler_scope scope(mailbox_of(owner_));
                        got = in;
                        lost = true;
                      });
    return got;
  }
  bool hosted_was_told_anything() { return !hosted_->mailbox().empty(); }

private:
  caf::actor_system& system_;
  caf::scoped_actor owner_;
  caf::scoped_actor hosted_;
  double peer_timeout_ = 0.0; ///< seconds
};

struct networked {
  networked() { close_open_doors(system); }
  network_config config{1};
  caf::actor_system system{config};
};

/// To rank 0 from rank 1, as `hosting` expects it.
constexpr route to_the_host{.source_rank = 1, .target_rank = 0};

activation_message activation_of(tensor values, const route& via = to_the_host) {
  return {.via = via, .at = {.step = 3}, .stage = 1, .microbatch = 2, .values = std::move(values)};
}

} // namespace

TEST_CASE("NaN with its payload, infinities, signed zeros and denormals cross a link as they are") {
  const std::vector<std::uint32_t> patterns = {
      0x7fc00000, 0x7fc12345, 0xffc54321, 0x7f800001, 0xff8fedcb, // quiet and signalling
      0x7f800000, 0xff800000, 0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff};
  networked world;
  hosting sender(world.system);
  hosting receiver(world.system);
  const connected_pair sockets;
  const caf::actor out = sender.link(sockets.one);
  const caf::actor in = receiver.link(sockets.other);
  sender.open(out);
  receiver.open(in);
  tensor_pool pool;
  tensor values = pool.make({static_cast<std::int64_t>(patterns.size())});
  for (std::size_t i = 0; i < patterns.size(); ++i)
    std::memcpy(values.data() + i, &patterns[i], sizeof(float));
  route via = to_the_host;
  via.source_incarnation = 5;
  via.target_incarnation = 7; // whoever it is for drops it unless he is that
  tell(out, activation_of(values, via));

  const auto got = receiver.next<activation_message>();
  CHECK(got.via.source_incarnation == 5);
  CHECK(got.via.target_incarnation == 7);
  CHECK(got.at.step == 3);
  CHECK(got.microbatch == 2);
  REQUIRE(got.values.size() == static_cast<std::int64_t>(patterns.size()));
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, std::as_const(got.values).data() + i, sizeof bits);
    CHECK(bits == patterns[i]);
  }
  tell(out, close_link{});
  receiver.next_lost();
}

TEST_CASE("a tensor does not wait for the snapshots that were sent before it") {
  networked world;
  hosting host(world.system);
  const connected_pair sockets;
  const caf::actor link = host.link(sockets.one);
  host.open(link);
  tensor_pool pool;
  snapshot_part part;
  part.layer.parameters.push_back({"p", pool.make_filled({64 * mebibyte / sizeof(float)}, 1.0F), {}});
  part.last = true;
  tell(link, tell_peer{part});
  tell(link, activation_of(pool.make_filled({1000}, 2.0F)));
  const raw_connection peer(sockets.other); // which has not read yet, and no system's buffers hold as much
  frame_reader reader(ample_limits);
  std::vector<std::string> order;
  while (order.size() < 2)
    reader.read(as_bytes(peer.receive()), [&](wire_message&& one) {
      if (!std::holds_alternative<heartbeat>(one))
        order.emplace_back(name_of(one));
    });
  CHECK(order == std::vector<std::string>{"activation_message", "snapshot_part"});
}

TEST_CASE("a peer that speaks before its time, for another, to nobody here or as the coordinator loses the link") {
  enum class until { hello, routes, end }; ///< how far the link was told
  struct breach {
    std::string message;
    until told;
    std::string reason;
  };
  const route of_another{.source_rank = 0, .target_rank = 0};
  const route to_nobody{.source_rank = 1, .target_rank = 1};
  const std::vector<breach> breaches = {
      {bytes_of({step_opening{}}), until::hello, "wire: found rank 0, expected no rank before a run is assigned"},
      {bytes_of({activation_of({})}), until::hello, "wire: found 1 tensors in a message, expected at most 0"},
      {bytes_of({assignment_taken{}, assignment_taken{}, assignment_taken{}}), until::hello, "expected it to wait"},
      {bytes_of({activation_of({})}), until::routes, "a message of rank 1, expected one of its own ranks"},
      {bytes_of({step_opening{}}), until::routes, "a message of the scheduler, expected it from the coordinator"},
      {bytes_of({activation_of({}, of_another)}), until::end, "a message of rank 0, expected one of its own ranks"},
      {bytes_of({activation_of({}, to_nobody)}), until::end, "a message to rank 1, expected one that is hosted here"},
      {bytes_of({step_decision{}}), until::end, "a message of the scheduler, expected it from the coordinator"},
      {bytes_of({digest_request{}}), until::end, "a message of the scheduler, expected it from the coordinator"},
      {bytes_of({layer_part_taken{}}), until::end, "layer_part_taken, expected it from the coordinator"},
      {bytes_of({recovery_line_message{}}), until::end, "recovery_line_message, expected it from the coordinator"},
      {bytes_of({snapshot_part{}}), until::end, "a message to the shelf, expected one to whom is here"},
      {bytes_of({rank_ready{.rank = 1, .credit = {}}}), until::end,
       "a message to the scheduler, expected one to whom is here"},
      {bytes_of({slice_batch{.rank = 1, .at = {}, .slices = {}}}), until::end,
       "a message to the recorder, expected one to whom is here"},
  };
  networked world;
  hosting host(world.system);
  for (const breach& one : breaches) {
    INFO(one.reason);
    const connected_pair sockets;
    const caf::actor link = host.link(sockets.one);
    const raw_connection peer(sockets.other);
    if (one.told != until::hello) {
      one.told == until::routes ? hosting::identify(link) : host.open(link);
      tell(link, tell_peer{heartbeat{}});
      peer.receive(); // so it was told
    }
    peer.send(one.message);
    const peer_lost lost = host.next_lost();
    CHECK(lost.link == link);
    CHECK_THAT(lost.reason, Contains(one.reason));
    CHECK(lost.kind == error_kind::protocol);
    peer.receive_all(); // until it is closed
    CHECK_FALSE(host.hosted_was_told_anything());
  }
}

TEST_CASE("a link holds no copies of what its peer does not read, and gives the connection up with the peer") {
  networked world;
  hosting host(world.system);
  const connected_pair sockets;
  const caf::actor link = host.link(sockets.one, 0.5);
  const raw_connection deaf(sockets.other);
  host.open(link);
  tensor_pool pool;
  const tensor large = pool.make({4 * static_cast<std::int64_t>(mebibyte)}); // 16 MiB
  const std::uint64_t before = memory_of(::getpid(), "VmHWM");
  for (int i = 0; i < 64; ++i)
    tell(link, activation_of(large));
  CHECK_THAT(host.next_lost().reason, Contains("was silent for 0.5 s"));
  const std::uint64_t most = memory_of(::getpid(), "VmHWM");
  if (memory_is_measurable)
    CHECK(most < before + 64 * mebibyte);    // of 1 GiB
  while (::fcntl(sockets.one, F_GETFD) >= 0) // CTest stops a test that waits for ever
    std::this_thread::yield();
}

TEST_CASE("closing a link sends all that was put into it before") {
  networked world;
  hosting sender(world.system);
  const connected_pair sockets;
  const caf::actor link = sender.link(sockets.one);
  const raw_connection peer(sockets.other);
  sender.open(link);
  tensor_pool pool;
  tensor large =
      pool.make({4 * static_cast<std::int64_t>(mebibyte)}); // 16 MiB, four times what a link hands on at once
  for (std::int64_t i = 0; i < large.size(); ++i)
    large.data()[i] = static_cast<float>(i % 1001);
  constexpr std::uint32_t messages = 3;
  for (std::uint32_t i = 0; i < messages; ++i) {
    activation_message one = activation_of(large);
    one.microbatch = i;
    tell(link, one);
  }
  tell(link, close_link{});
  std::vector<wire_message> got = read_all(peer.receive_all());
  std::erase_if(got,
                [](const wire_message& one) { return std::holds_alternative<heartbeat>(one); }); // on a slow machine
  CHECK_THAT(sender.next_lost().reason, Contains("closed here"));
  REQUIRE(got.size() == messages);
  for (std::uint32_t i = 0; i < messages; ++i) {
    const auto& one = std::get<activation_message>(got[i]);
    CHECK(one.microbatch == i);
    CHECK(std::ranges::equal(one.values.values(), std::as_const(large).values()));
  }
}

TEST_CASE("a link that has ended is gone, whatever reaches it afterwards") {
  networked world;
  hosting host(world.system);
  const connected_pair sockets;
  caf::actor link = host.link(sockets.one);
  const auto remains = caf::actor_cast<caf::weak_actor_ptr>(link);
  raw_connection(sockets.other).receive(); // closed once the link speaks
  host.next_lost();
  tell(link, tell_peer{heartbeat{}});
  link = nullptr;
  // Its last look at the peer is due before the first one of a link made now; these come by heartbeats.
  const connected_pair later;
  host.link(later.one);
  const raw_connection peer(later.other);
  for (std::size_t heard = 0; heard < 3 * bytes_of({heartbeat{}}).size();)
    heard += peer.receive().size();
  CHECK(caf::actor_cast<caf::strong_actor_ptr>(remains) == nullptr);
}
