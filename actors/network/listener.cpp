#include "actors/network/listener.hpp"

#include "actors/network/resolved.hpp"
#include "actors/shell.hpp"
#include "model/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

namespace {

using listener_broker = caf::io::stateful_broker<listener_state>;

void welcome(listener_broker* self, caf::io::connection_handle connection, link_setup setup) {
  setup.place = self->state.places.take();
  if (setup.place) {
    self->fork(accepted_link, connection, setup);
  } else {
    cut(self, connection);
    self->close(connection);
  }
}

caf::behavior listener(listener_broker* self, const caf::io::doorman_ptr& doorman, const link_setup& links) {
  self->add_doorman(doorman);
  return {
      [self, links](const caf::io::new_connection_msg& in) { welcome(self, in.handle, links); },
      [](const caf::io::connection_closed_msg&) {}, // one that was not welcome
      [](const caf::io::acceptor_closed_msg&) {},
      on<close_link>(self, [self](const close_link&) { self->quit(); }),
  };
}

[[noreturn]] void refuse(const network_address& address, const std::string& found) {
  throw spec_error(
      fmt::format("--listen: found {}, {}, expected a free address of this machine", to_string(address), found));
}

std::string reason_of(int number) {
  return number == EADDRINUSE ? "which is in use"
                              : "where nobody can listen: " + std::generic_category().message(number);
}

/// At the first of the address's meanings that lets us. CAF opens sockets, too, but does not say what is wrong with
/// one.
caf::io::network::native_socket open_socket(const network_address& address) {
  std::string unknown;
  const resolved_addresses all = resolve(address, unknown);
  if (!all)
    refuse(address, "where nobody can listen: " + unknown);
  int reason = 0;
  for (const addrinfo* one = all.get(); one != nullptr; one = one->ai_next) {
    const int made = ::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
    const int on = 1; // a former worker's connections may linger at the port
    if (made >= 0 && ::setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        ::bind(made, one->ai_addr, one->ai_addrlen) == 0 && ::listen(made, SOMAXCONN) == 0)
      return made;
    reason = errno;
    if (made >= 0)
      ::close(made);
  }
  refuse(address, reason_of(reason));
}

} // namespace

open_listener listen(caf::actor_system& system, const network_address& address, const link_setup& links) {
  return listen(system, system.middleman().backend().new_doorman(open_socket(address)), links);
}

open_listener listen(caf::actor_system& system, const caf::io::doorman_ptr& doorman, const link_setup& links) {
  const std::uint16_t port = doorman->port();
  return {caf::actor_cast<caf::actor>(system.middleman().spawn_broker(listener, doorman, links)), port};
}

} // namespace troupe
