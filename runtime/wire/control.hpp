// What the processes of a run say to each other about the run itself: who they are, who hosts what, and the pieces of a
// checkpoint that travel. Plain data; docs/wire.md tells the order in which they come.
#pragma once

#include "model/error.hpp"
#include "model/tensor.hpp"
#include "runtime/manifest.hpp"
#include "runtime/network/placement.hpp"
#include "runtime/plan.hpp"
#include "runtime/recovery/held_state.hpp"
#include "runtime/run_spec.hpp"
#include "runtime/traffic.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace troupe {

/// Drawn once a run; what belongs to another run is refused by it.
using run_id = std::array<std::uint8_t, 16>;

/// What must be equal in all processes of a run, or its bits would depend on where a rank lives.
struct arithmetic_fingerprint {
  std::string instruction_set; ///< that the matrix products use
  std::string gemm_library;    ///< with its version
  std::string build;           ///< compiler and target of the program
  std::uint32_t threads = 1;   ///< of a matrix product

  friend bool operator==(const arithmetic_fingerprint&, const arithmetic_fingerprint&) = default;
};

/// "AVX512 instructions, oneDNN 2.6.3, built by GCC 12.2.0 for x86-64-v3, 1 thread"
std::string describe(const arithmetic_fingerprint& arithmetic);

/// What the sender of a hello is to its receiver.
enum class peer_role { coordinator, worker, neighbour };

/// The first message in either direction of a connection.
struct hello {
  std::uint32_t protocol = 0; ///< wire_protocol
  std::string version = {};   ///< of the program, for messages
  peer_role role = peer_role::coordinator;
  run_id run = {};
  std::uint32_t source_worker = 0; ///< between neighbours: who calls
  std::uint32_t target_worker = 0; ///< and whom it means to have reached
  arithmetic_fingerprint arithmetic = {};

  friend bool operator==(const hello&, const hello&) = default;
};

/// Why the sender ends the connection, which it does after this.
struct refusal {
  error_kind kind = error_kind::protocol;
  std::string text;

  friend bool operator==(const refusal&, const refusal&) = default;
};

/// How a worker's part of a checkpoint gets to disk: through a directory that all see, or through the coordinator.
enum class checkpoint_route { shared, coordinator };

/// Coordinator to worker: the run, and the worker's place in it. The reader has checked that the plan can run, that
/// `worker` is a place and that each rank lives in one place; whether the spec makes sense is for validate to say.
struct assignment {
  run_id run = {};
  std::uint32_t worker = 0; ///< the receiver's index in `where.workers`
  placement where = {};
  run_spec spec = {};
  plan pipeline = {};
  double peer_timeout_seconds = 0.0;
  checkpoint_route checkpoints = checkpoint_route::shared;
  std::string resume_directory = {}; ///< empty: start afresh
  std::uint64_t steps_done = 0;
  bool resume_through_coordinator = false;
  state_key key = {};     ///< under which snapshots are held when the coordinator is lost
  bool from_held = false; ///< ranks begin with snapshots that workers of a former run have held, after `steps_done`
};

/// Worker to coordinator: the assignment is understood.
struct assignment_taken {
  friend bool operator==(const assignment_taken&, const assignment_taken&) = default;
};
/// Coordinator to worker, once all have taken theirs: connect to the others.
struct connect_neighbours {
  friend bool operator==(const connect_neighbours&, const connect_neighbours&) = default;
};
/// Worker to coordinator: there is a connection to every worker that this placement has and that is not gone.
struct neighbours_connected {
  std::uint64_t version = 0;

  friend bool operator==(const neighbours_connected&, const neighbours_connected&) = default;
};
/// Coordinator to worker: let the ranks begin. Times are seconds of the clock that clock_probe asks for.
struct start_ranks {
  double clock_offset = 0.0; ///< added to the worker's clock gives the run's

  friend bool operator==(const start_ranks&, const start_ranks&) = default;
};
/// Coordinator to worker: the run is over.
struct release {
  friend bool operator==(const release&, const release&) = default;
};
/// Either way, so that a silent peer can be told from a dead one.
struct heartbeat {
  friend bool operator==(const heartbeat&, const heartbeat&) = default;
};

/// What time is it with you? In seconds of the asker's clock.
struct clock_probe {
  double sent = 0.0;
};
struct clock_answer {
  double sent = 0.0; ///< the probe's
  double here = 0.0; ///< of the answerer's clock
};

/// Worker to coordinator: a neighbour cannot be reached any more.
struct link_lost {
  std::uint32_t worker = 0;
  std::string reason;

  friend bool operator==(const link_lost&, const link_lost&) = default;
};

/// Worker to coordinator, for the user: something is wrong with the worker, and the run goes on.
struct worker_warning {
  std::string text;

  friend bool operator==(const worker_warning&, const worker_warning&) = default;
};

/// Worker to coordinator: the actor of this life of the rank is there, and takes messages.
struct rank_hosted {
  std::uint32_t rank = 0;
  incarnation life = 1;

  friend bool operator==(const rank_hosted&, const rank_hosted&) = default;
};

/// Coordinator to worker: give that other worker the snapshot that you keep.
struct snapshot_request {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;
  std::uint32_t worker = 0;

  friend bool operator==(const snapshot_request&, const snapshot_request&) = default;
};

/// Coordinator to worker, when a run is given up: the snapshot that you keep is to become part of a checkpoint.
struct save_request {
  std::uint32_t rank = 0;
  std::uint64_t steps_done = 0;

  friend bool operator==(const save_request&, const save_request&) = default;
};

/// Coordinator to worker, before it assigns anything: what do you still hold of this run?
struct held_request {
  state_key key = {};

  friend bool operator==(const held_request&, const held_request&) = default;
};
struct snapshots_held {
  holding what = holding::nothing;
  std::vector<held_snapshot> snapshots = {}; ///< of holding::some

  friend bool operator==(const snapshots_held&, const snapshots_held&) = default;
};

/// Worker to worker: one layer of a rank's snapshot, to be kept. A rank's layers come in their order, and no other ones
/// of that rank in between.
struct snapshot_part {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
  bool second_copy = false; ///< the layer is of a stage of which the rank holds copy 1
  layer_snapshot layer = {};
  bool last = false;  ///< of all
  bool empty = false; ///< there is no layer in the snapshot; it is the only part
};

/// Worker to coordinator: one layer of a rank's state, to be written for it, once part_written was answered. The next
/// follows after layer_part_taken.
struct layer_part {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
  layer_snapshot layer = {};
  bool last = false; ///< of the rank's layers
};
struct layer_part_taken {
  std::uint32_t rank = 0;
  incarnation life = 1; ///< that the part is of
  std::uint64_t steps_done = 0;
  bool over = false; ///< nothing more is wanted: the checkpoint is committed, or could not be written

  friend bool operator==(const layer_part_taken&, const layer_part_taken&) = default;
};

/// Worker to coordinator: the rank's part of the checkpoint is in the shared directory, in these files. Without any:
/// may the rank write them, or send its layers? The answer is layer_part_taken. With a problem: the disk refused.
struct part_written {
  std::uint32_t rank = 0;
  incarnation source_incarnation = 1;
  std::uint64_t steps_done = 0;
  std::vector<manifest_layers> layers = {};
  std::string problem = {}; ///< why there are none; empty: nothing is wrong

  friend bool operator==(const part_written&, const part_written&) = default;
};

/// Worker to coordinator: read me this parameter from the checkpoint that the run resumes from.
struct parameter_request {
  std::uint64_t number = 0; ///< comes back in the answer
  std::string name = {};
  std::uint32_t states = 0; ///< tensors of optimizer state that are wanted, too; 0: the value only

  friend bool operator==(const parameter_request&, const parameter_request&) = default;
};
struct parameter_answer {
  std::uint64_t number = 0;
  std::vector<tensor> tensors = {}; ///< the value, then the states
  std::string problem = {};         ///< why there are none; empty: there are
};

} // namespace troupe
