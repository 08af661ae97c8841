#include "actors/network/connector.hpp"

#include "actors/network/resolved.hpp"
#include "actors/shell.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace troupe {

namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr clock::duration first_pause = 50ms;
constexpr clock::duration longest_pause = 1s;

/// Closes what it holds unless it was given away.
class owned_socket {
public:
  explicit owned_socket(int descriptor) : descriptor_(descriptor) {}
  owned_socket(const owned_socket&) = delete;
  owned_socket& operator=(const owned_socket&) = delete;
  ~owned_socket() {
    if (descriptor_ >= 0)
      ::close(descriptor_);
  }
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

private:
  int descriptor_;
};

std::string reason_of(int number) {
  return std::generic_category().message(number);
}

/// One attempt at one of a host's addresses; -1 and the reason if it fails.
int connect_to(const addrinfo& where, clock::time_point deadline, std::string& reason) {
  owned_socket made(::socket(where.ai_family, where.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, where.ai_protocol));
  if (made.get() < 0) {
    reason = reason_of(errno);
    return -1;
  }
  if (::connect(made.get(), where.ai_addr, where.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) {
      reason = reason_of(errno);
      return -1;
    }
    pollfd wait{.fd = made.get(), .events = POLLOUT, .revents = 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
    if (::poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1000000))) <= 0) {
      reason = "no answer";
      return -1;
    }
    int problem = 0;
    socklen_t size = sizeof problem;
    ::getsockopt(made.get(), SOL_SOCKET, SO_ERROR, &problem, &size);
    if (problem != 0) {
      reason = reason_of(problem);
      return -1;
    }
  }
  return made.release();
}

/// One attempt at all of a host's addresses.
int attempt(const network_address& address, clock::time_point deadline, std::string& reason) {
  const resolved_addresses all = resolve(address, reason);
  for (const addrinfo* one = all.get(); one != nullptr; one = one->ai_next)
    if (const int made = connect_to(*one, deadline, reason); made >= 0)
      return made;
  return -1;
}

} // namespace

void connector(caf::blocking_actor*, const connector_setup& setup) {
  const clock::time_point deadline =
      clock::now() + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(setup.seconds));
  network_address address = setup.address;
  try {
    if (setup.find)
      address = setup.find();
  } catch (const error& failure) {
    return tell(setup.owner, connecting_failed{setup.number, failure.what()});
  }
  std::string reason = "no attempt was made";
  for (clock::duration pause = first_pause; !*setup.given_up; pause = std::min(2 * pause, longest_pause)) {
    if (const int made = attempt(address, deadline, reason); made >= 0)
      return tell(setup.owner, peer_connected{setup.number, made, address});
    if (clock::now() + pause >= deadline)
      break;
    std::this_thread::sleep_for(pause);
  }
  tell(setup.owner,
       connecting_failed{setup.number, fmt::format("could not be reached within {:g} s ({})", setup.seconds, reason)});
}

void spawn_connector(caf::actor_system& system, const connector_setup& setup) {
  system.spawn<caf::detached>(connector, setup);
}

} // namespace troupe
