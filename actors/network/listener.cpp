#include "actors/network/listener.hpp"

#include "actors/shell.hpp"
#include "model/error.hpp"

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

} // namespace

open_listener listen(caf::actor_system& system, const network_address& address, const link_setup& links) {
  auto opened = system.middleman().backend().new_tcp_doorman(address.port, address.host.c_str(), true);
  if (!opened)
    throw run_error(to_string(address) + ": found no way to listen there (" + system.render(opened.error()) +
                    "), expected a free address of this machine");
  const std::uint16_t port = (*opened)->port();
  return {caf::actor_cast<caf::actor>(system.middleman().spawn_broker(listener, *opened, links)), port};
}

} // namespace troupe
