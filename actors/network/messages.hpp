// What the actors of one process tell each other about connections. None of this leaves the process: what does is in
// runtime/wire.
#pragma once

#include "actors/interfaces.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/network_address.hpp"
#include "runtime/recovery/snapshot_shelf.hpp"
#include "runtime/wire/control.hpp"
#include "runtime/wire/frame_reader.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace troupe {

/// Who is at the two ends of a connection, for messages of a run. What is addressed to or comes from anybody else is a
/// breach of the protocol.
struct link_routes {
  /// The handles of this process's own actors; all others' are null.
  company here;
  caf::actor shelf; ///< of a worker
  /// The peer may speak for any rank that is not here: after a restart its messages can be faster than the news that it
  /// hosts the rank. The ranks tell former lives from the living by themselves.
  bool peer_hosts = false;
  bool peer_schedules = false; ///< the peer is the coordinator
};

/// Owner to link: the peer is who it says; accept messages of this size from now on.
struct identify_peer {
  wire_limits limits;
};

/// Owner to link: hand the run's messages to and from these.
struct open_routes {
  std::shared_ptr<const link_routes> routes;
  wire_limits limits;
  wire_precision precision = wire_precision::fp32;
  double peer_timeout = 5.0; ///< the run's, seconds
};

/// Owner to link: tell the peer.
struct tell_peer {
  wire_message what;
};

/// Owner to link: end the connection when all that was said before is on its way.
struct close_link {};

/// Link to its owner: bytes can be sent (over TLS: the peer's certificate was verified).
struct link_ready {
  caf::actor link;
};

/// Link to its owner: what the peer said besides the run's messages.
struct peer_said {
  caf::actor link;
  wire_message what;
};

/// Link to its owner, at the end: there is no connection any more.
struct peer_lost {
  caf::actor link;
  std::string reason;
  error_kind kind = error_kind::run;
  double silent_for = 0.0; ///< seconds since the peer was last heard
};

/// Link to itself: look whether the peer lives.
struct link_tick {};

/// Connector to its owner: there is a connection to the address of that number.
struct peer_connected {
  std::uint32_t number = 0;
  int socket = -1;
  network_address address; ///< that it was
};

/// Connector to its owner: there is none, and no further attempt is made.
struct connecting_failed {
  std::uint32_t number = 0;
  std::string reason;
};

/// Coordinator to the observer: all workers are claimed, connected and wait; by rank, the link to its worker.
struct workers_ready {
  std::vector<caf::actor> link_of_rank;
  std::vector<std::string> node_of_rank;
  std::optional<std::uint64_t> held_steps = {}; ///< the ranks begin with this state, which workers have held
};

struct scheduler_start;

/// The observer to the coordinator: these run the rest of the company; begin. The scheduler is the coordinator's to
/// start again.
struct begin_run {
  std::shared_ptr<const company> everyone;
  std::function<scheduler_actor(const scheduler_start&)> spawn_scheduler;
};

/// Worker to its shelf: who else keeps the snapshots of each rank; null: nobody.
struct snapshot_routes {
  std::vector<caf::actor> replicas;
};

/// Worker to its shelf: tell me when this snapshot is here.
struct snapshot_wanted {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;
};

/// Shelf to its worker: it is.
struct snapshot_here {
  std::shared_ptr<const rank_snapshot> what;
};

/// Worker to its shelf: another worker is to have this snapshot, too.
struct send_snapshot {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;
  caf::actor link;
};

/// Worker to its shelf: the store is to have this snapshot.
struct save_snapshot {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;
  store_actor store;
};

/// Worker to its shelf: give me all that you have; the run is over for you.
struct hand_over {};

/// Shelf to its worker: all of it.
struct shelf_content {
  snapshot_shelf shelf;
};

/// Worker to itself, later: nobody has come for what is held under this number.
struct holding_over {
  std::uint64_t number = 0;
};

/// Coordinator to itself, later: a worker said that it had lost this one.
struct complaint {
  std::uint32_t about = 0;
  std::uint32_t by = 0;
  std::string text;
};

/// Coordinator to the observer: what a rank needs to live again is lost with the workers that had it. The run can only
/// begin again where all of it is known.
struct state_lost {
  std::string cause;
  bool begun = false; ///< else a worker was lost while others were given what they start from, and nothing else is
};

/// To a worker or the coordinator: let go of everyone and end.
struct leave_run {};

/// Worker or coordinator to its observer: everyone was let go of.
struct left_run {};

} // namespace troupe

CAF_BEGIN_TYPE_ID_BLOCK(troupe_network, caf::id_block::troupe::end)
CAF_ADD_TYPE_ID(troupe_network, (troupe::identify_peer))
CAF_ADD_TYPE_ID(troupe_network, (troupe::open_routes))
CAF_ADD_TYPE_ID(troupe_network, (troupe::tell_peer))
CAF_ADD_TYPE_ID(troupe_network, (troupe::close_link))
CAF_ADD_TYPE_ID(troupe_network, (troupe::link_ready))
CAF_ADD_TYPE_ID(troupe_network, (troupe::peer_said))
CAF_ADD_TYPE_ID(troupe_network, (troupe::peer_lost))
CAF_ADD_TYPE_ID(troupe_network, (troupe::link_tick))
CAF_ADD_TYPE_ID(troupe_network, (troupe::peer_connected))
CAF_ADD_TYPE_ID(troupe_network, (troupe::connecting_failed))
CAF_ADD_TYPE_ID(troupe_network, (troupe::workers_ready))
CAF_ADD_TYPE_ID(troupe_network, (troupe::begin_run))
CAF_ADD_TYPE_ID(troupe_network, (troupe::leave_run))
CAF_ADD_TYPE_ID(troupe_network, (troupe::left_run))
CAF_ADD_TYPE_ID(troupe_network, (troupe::snapshot_part))
CAF_ADD_TYPE_ID(troupe_network, (troupe::snapshot_routes))
CAF_ADD_TYPE_ID(troupe_network, (troupe::snapshot_wanted))
CAF_ADD_TYPE_ID(troupe_network, (troupe::snapshot_here))
CAF_ADD_TYPE_ID(troupe_network, (troupe::send_snapshot))
CAF_ADD_TYPE_ID(troupe_network, (troupe::save_snapshot))
CAF_ADD_TYPE_ID(troupe_network, (troupe::hand_over))
CAF_ADD_TYPE_ID(troupe_network, (troupe::shelf_content))
CAF_ADD_TYPE_ID(troupe_network, (troupe::holding_over))
CAF_ADD_TYPE_ID(troupe_network, (troupe::complaint))
CAF_ADD_TYPE_ID(troupe_network, (troupe::state_lost))
CAF_END_TYPE_ID_BLOCK(troupe_network)

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::identify_peer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::open_routes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::tell_peer)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::close_link)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::link_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::peer_said)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::peer_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::link_tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::peer_connected)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::connecting_failed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::workers_ready)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::begin_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::leave_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::left_run)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_part)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_routes)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_wanted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::snapshot_here)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::send_snapshot)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::save_snapshot)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::hand_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::shelf_content)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::holding_over)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::complaint)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::state_lost)
