// The link: a broker that is one connection to another process. For actors that live there it stands in their place: it
// takes the run's messages, and the link at the other end hands them on. Bytes, limits and security are runtime's.
#pragma once

#include "actors/network/messages.hpp"
#include "runtime/local_run.hpp"
#include "runtime/network/liveness.hpp"
#include "runtime/network/newcomers.hpp"
#include "runtime/stage_runner.hpp"
#include "runtime/tls/tls_session.hpp"
#include "runtime/wire/frame_writer.hpp"

#include <caf/io/all.hpp>

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

/// What a connection is made from.
struct link_setup {
  caf::actor owner;                        ///< is told of link_ready, peer_said and peer_lost
  std::shared_ptr<const tls_identity> tls; ///< null: none
  tls_side side = tls_side::server;
  std::string expected_host;               ///< of a client over TLS: whom the peer's certificate must name
  double peer_timeout = 5.0;               ///< seconds; a run may have another
  std::shared_ptr<newcomer_place> place{}; ///< of an accepted link: given back when the peer is identified, or gone
  run_clock clock = seconds_now;           ///< that tells whether the peer lives
};

struct link_state {
  static constexpr const char* name = "link";
  link_setup setup;
  caf::io::connection_handle connection;
  std::optional<tls_session> tls;
  std::optional<frame_writer> writer;
  std::optional<frame_reader> reader;
  std::optional<liveness> alive;
  std::shared_ptr<const link_routes> routes;
  double began = 0.0;
  double ended = 0.0;
  bool identified = false;
  std::size_t read_size = 0;           ///< bytes that the next read takes at most
  std::uint32_t newcomer_messages = 0; ///< that were handed on before the peer was identified
  bool ready_told = false;
  bool closing = false;
  bool over = false;           ///< the owner was told; last words may be on their way
  std::uint64_t in_flight = 0; ///< bytes handed to the middleman and not yet to the system
  std::vector<char> plain;     ///< of TLS
};

using link_broker = caf::io::stateful_broker<link_state>;

/// Ends a connection of `self` now, whatever the peer does: CAF alone would wait for it to close its end, too.
void cut(caf::io::abstract_broker* self, caf::io::connection_handle connection);

/// A link over a connection that the listener accepted.
caf::behavior accepted_link(link_broker* self, caf::io::connection_handle connection, const link_setup& setup);

/// A link over a connected socket, which it owns from now on.
caf::behavior connected_link(link_broker* self, int socket, const link_setup& setup);

} // namespace troupe
