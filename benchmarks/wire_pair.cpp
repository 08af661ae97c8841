// Two processes on loopback: how long a round trip takes, and how fast tensors go, through plain sockets, through
// links, and through links over TLS, in turn. Usage: troupe_wire_pair DIR, a host's folder made by `troupe certs` for
// 127.0.0.1.
#include "actors/network/connector.hpp"
#include "actors/network/listener.hpp"
#include "actors/network/network_system.hpp"
#include "actors/network/peers.hpp"
#include "actors/run.hpp"
#include "actors/shell.hpp"
#include "model/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace troupe::benchmarks {

namespace {

constexpr const char* here = "127.0.0.1";
constexpr std::uint32_t caller = 0; ///< ranks of the two ends
constexpr std::uint32_t answerer = 1;
constexpr std::uint32_t unanswered = 4; ///< messages on the way at most, as a schedule's credits would have it
constexpr wire_limits limits{.message_bytes = std::uint64_t{128} << 20,
                             .tensors = 1,
                             .record_bytes = 0,
                             .workers = 2,
                             .ranks = 2,
                             .stages = 2,
                             .layers = 1};

using ports = std::array<std::uint16_t, 3>; ///< raw, link, link over TLS

void require(bool good, const char* what) {
  if (!good)
    throw run_error(fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

sockaddr_in address_of(std::uint16_t port) {
  sockaddr_in made{};
  made.sin_family = AF_INET;
  made.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  made.sin_port = htons(port);
  return made;
}

void send_at_once(int socket) {
  const int on = 1;
  require(::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
}

bool read_all(int socket, void* to, std::size_t bytes) {
  for (char* at = static_cast<char*>(to); bytes > 0;) {
    const ssize_t now = ::read(socket, at, bytes);
    if (now <= 0)
      return false;
    at += now;
    bytes -= static_cast<std::size_t>(now);
  }
  return true;
}

void write_all(int socket, const void* from, std::size_t bytes) {
  for (const char* at = static_cast<const char*>(from); bytes > 0;) {
    const ssize_t now = ::write(socket, at, bytes);
    require(now > 0, "write");
    at += now;
    bytes -= static_cast<std::size_t>(now);
  }
}

/// Plain sockets: 8 bytes of length, and the bytes, answered by one byte.
void answer_raw(int door) {
  const int socket = ::accept(door, nullptr, nullptr);
  require(socket >= 0, "accept");
  send_at_once(socket);
  std::vector<char> content;
  for (std::uint64_t bytes = 0; read_all(socket, &bytes, sizeof bytes);) {
    content.resize(std::max<std::size_t>(content.size(), bytes));
    if (!read_all(socket, content.data(), bytes))
      return;
    write_all(socket, "!", 1);
  }
}

void open_routes_between(const caf::actor& link, std::uint32_t us, const caf::actor& receiver) {
  auto routes = std::make_shared<link_routes>();
  routes->here.ranks.resize(2);
  routes->here.ranks[us] = caf::actor_cast<stage_actor>(receiver);
  routes->peer_hosts = true;
  tell(link, identify_peer{limits});
  tell(link, open_routes{routes, limits});
}

/// Answers each activation with a gradient without values.
caf::behavior answering_rank(caf::event_based_actor*, const caf::actor& link) {
  return {[link](const activation_message& in) {
    tell(link, gradient_message{.via = {.source_rank = answerer, .target_rank = caller},
                                .at = in.at,
                                .stage = 0,
                                .microbatch = 0,
                                .values = {}});
  }};
}

caf::behavior answering_owner(caf::event_based_actor* self) {
  return {
      [self](const link_ready& in) { open_routes_between(in.link, answerer, self->spawn(answering_rank, in.link)); },
      [](const peer_lost&) {}, [](const peer_said&) {}};
}

/// The second process, until it is killed.
[[noreturn]] void serve(const tls_identity& identity, int tell_ports) {
  const int door = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in where = address_of(0);
  socklen_t size = sizeof where;
  auto* const generic = reinterpret_cast<sockaddr*>(&where); // NOLINT(*-reinterpret-cast): as sockets ask for
  require(::bind(door, generic, size) == 0 && ::listen(door, 1) == 0 && ::getsockname(door, generic, &size) == 0,
          "listen");
  std::thread raw(answer_raw, door);
  network_config config(usable_processors());
  caf::actor_system system(config);
  close_open_doors(system);
  const caf::actor owner = system.spawn<caf::detached>(answering_owner);
  const auto tls = std::make_shared<const tls_identity>(identity);
  const open_listener plain = listen(system, {here, 0}, {.owner = owner, .tls = nullptr, .expected_host = {}});
  const open_listener secure = listen(system, {here, 0}, {.owner = owner, .tls = tls, .expected_host = {}});
  const ports all{ntohs(where.sin_port), plain.port, secure.port};
  write_all(tell_ports, all.data(), sizeof all);
  for (;;)
    ::pause();
}

/// One way to the other process.
struct channel {
  const char* name;
  std::function<void(const tensor&)> send;
  std::function<void()> await_answer;
};

channel raw_channel(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in where = address_of(port);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&where); // NOLINT(*-reinterpret-cast)
  require(::connect(socket, generic, sizeof where) == 0, "connect");
  send_at_once(socket);
  return {"raw TCP",
          [socket](const tensor& values) {
            const std::uint64_t bytes = values.bytes();
            write_all(socket, &bytes, sizeof bytes);
            write_all(socket, values.data(), bytes);
          },
          [socket] {
            char answer = 0;
            require(read_all(socket, &answer, 1), "read");
          }};
}

channel link_channel(caf::actor_system& system, std::uint16_t port, const std::shared_ptr<const tls_identity>& tls) {
  const auto self = std::make_shared<caf::scoped_actor>(system);
  const auto owner = caf::actor_cast<caf::actor>(*self);
  system.spawn<caf::detached>(connector, connector_setup{.owner = owner,
                                                         .number = 0,
                                                         .address = {here, port},
                                                         .seconds = 10.0,
                                                         .given_up = std::make_shared<std::atomic<bool>>(false)});
  caf::actor link;
  (*self)->receive([&](const peer_connected& in) {
    link = spawn_link(system, in.socket, {.owner = owner, .tls = tls, .side = tls_side::client, .expected_host = here});
  });
  (*self)->receive([](const link_ready&) {});
  open_routes_between(link, caller, owner);
  return {tls ? "link, TLS" : "link",
          [link](const tensor& values) {
            tell(link, activation_message{.via = {.source_rank = caller, .target_rank = answerer},
                                          .at = {},
                                          .stage = 0,
                                          .microbatch = 0,
                                          .values = values});
          },
          [self] { (*self)->receive([](const gradient_message&) {}); }};
}

double seconds_of(const std::function<void()>& act) {
  const auto begin = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> of) {
  std::ranges::sort(of);
  return of[of.size() / 2];
}

double round_trip_us(const channel& way) {
  std::vector<double> trips;
  for (int trip = 0; trip < 500; ++trip)
    trips.push_back(1e6 * seconds_of([&] {
                      way.send({});
                      way.await_answer();
                    }));
  return median(trips);
}

double gigabytes_per_second(const channel& way, const tensor& values) {
  constexpr std::uint64_t bytes_in_all = std::uint64_t{256} << 20;
  const std::uint64_t messages = std::max<std::uint64_t>(bytes_in_all / values.bytes(), 4);
  const double seconds = seconds_of([&] {
    for (std::uint64_t sent = 0; sent < messages; ++sent) {
      if (sent >= unanswered)
        way.await_answer();
      way.send(values);
    }
    for (std::uint64_t left = std::min<std::uint64_t>(messages, unanswered); left > 0; --left)
      way.await_answer();
  });
  return static_cast<double>(messages * values.bytes()) / seconds / 1e9;
}

/// A line: `what`, and for each way the median of several measurements that take turns.
void compare(const std::string& what, const std::vector<channel>& ways,
             const std::function<double(const channel&)>& measure) {
  constexpr int turns = 7;
  std::vector<std::vector<double>> found(ways.size());
  for (int turn = 0; turn <= turns; ++turn)
    for (std::size_t way = 0; way < ways.size(); ++way)
      if (const double one = measure(ways[way]); turn > 0) // the first one warms up
        found[way].push_back(one);
  fmt::print("| {} |", what);
  for (const std::vector<double>& one : found)
    fmt::print(" {:.{}f} |", median(one), median(one) < 10 ? 2 : 0);
  fmt::print("\n");
  std::fflush(stdout);
}

/// Ends the other process, as the system waits for links that nobody closes.
void call(const tls_identity& identity, const ports& at, pid_t other) {
  network_config config(usable_processors());
  caf::actor_system system(config);
  close_open_doors(system);
  const std::vector<channel> ways{raw_channel(at[0]), link_channel(system, at[1], nullptr),
                                  link_channel(system, at[2], std::make_shared<const tls_identity>(identity))};
  fmt::print("| |");
  for (const channel& one : ways)
    fmt::print(" {} |", one.name);
  fmt::print("\n|---|---|---|---|\n");
  compare("round trip of an empty message, us", ways, round_trip_us);
  tensor_pool pool;
  for (const std::int64_t kib : {256, 1024, 4096, 16384, 65536}) {
    const tensor values = pool.make_filled({kib * 256}, 1.5F);
    compare(kib < 1024 ? fmt::format("{} KiB, GB/s", kib) : fmt::format("{} MiB, GB/s", kib / 1024), ways,
            [&](const channel& way) { return gigabytes_per_second(way, values); });
  }
  ::kill(other, SIGKILL);
}

int run(const char* folder) {
  const tls_identity identity = tls_identity::load(folder);
  std::array<int, 2> ends{};
  require(::pipe(ends.data()) == 0, "pipe");
  const pid_t other = ::fork(); // before there are any threads
  require(other >= 0, "fork");
  if (other == 0)
    serve(identity, ends[1]);
  ports at{};
  ::close(ends[1]);
  int code = 1;
  if (read_all(ends[0], at.data(), sizeof at)) {
    call(identity, at, other);
    code = 0;
  }
  ::waitpid(other, nullptr, 0);
  return code;
}

} // namespace

} // namespace troupe::benchmarks

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: troupe_wire_pair DIR, a folder made by `troupe certs ... --hosts 127.0.0.1`\n");
    return 2;
  }
  try {
    return troupe::benchmarks::run(argv[1]);
  } catch (const std::exception& e) {
    fmt::print(stderr, "troupe_wire_pair: {}\n", e.what());
    return 1;
  }
}
